"""Helper package of the executable AlexNet chapter.

Import one framework's module under the name that the chapter uses::

    from d2l import torch as d2l        # or tensorflow, mxnet, or jax

The modules offer the same names in the same order. Importing one of them imports no other framework.
"""

from .installation import VERSION as __version__

__all__ = ["__version__"]
