"""The door to everything: ``python -m book VERB``, on every system. ``make VERB`` comes here, too."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036, which is for whoever has an older one
    sys.exit(f"error: Python 3.11, 3.12 or 3.13 is needed, and {sys.executable} is {sys.version.split()[0]}")

from .verbs import main

if __name__ == "__main__":
    sys.exit(main())
