# All that is in it is Any; see stubPath in pyproject.toml.
from typing import Any

def __getattr__(name: str) -> Any: ...
