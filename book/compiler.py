"""d2lbook's modules, which take a moment to import."""

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from types import ModuleType


@contextlib.contextmanager
def old_setuptools() -> Iterator[None]:
    """For imports of d2l-notedown and pybtex: both import pkg_resources, which says on import that it will go away."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)
        yield


def d2lbook(module: str) -> ModuleType:
    """One of d2lbook's modules, such as ``build``."""
    with old_setuptools():
        return importlib.import_module(f"d2lbook.{module}")
