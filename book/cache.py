"""What earlier builds have made, kept below ``_build/cache`` as long as all that it was made from is the same.

Each result has a name and a file, which holds the last one and the hash of what that was made from.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, cast

import nbformat
from nbformat import NotebookNode

from .files import BUILD, atomic_write

CACHE = BUILD / "cache"
Found = TypeVar("Found", bound=NotebookNode | None)


def digest(parts: Iterable[str | bytes]) -> str:
    """The one hash of the book, in hexadecimal digits: of texts in their order, and of where each of them ends."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big") + data)
    return total.hexdigest()


def cached(name: str, made_from: Iterable[str], make: Callable[[], Any]) -> Any:
    """What ``make`` gives, or gave in an earlier build if all that it makes it from is the same.

    Args:
        name: Of the result, such as ``compiled/jax/chapter_cnn/alexnet``.
        made_from: Texts that say all that the result depends on.
        make: Gives something that JSON can hold.
    """
    key = digest(made_from)
    kept = _read(_path(name))
    if kept.get("key") == key and "value" in kept:
        return kept["value"]
    value = make()
    _write(name, key, value)
    return value


def cached_notebook(name: str, made_from: Iterable[str], make: Callable[[], Found]) -> Found:
    """A notebook, or the news that there is none, as `cached` gives it."""
    return cast(Found, nbformat.from_dict(cached(name, made_from, make)))


def keep(name: str, made_from: Iterable[str], value: Any = None) -> None:
    """Keep a result for the next builds; without a value, that it was made."""
    _write(name, digest(made_from), value)


def kept(name: str, made_from: Iterable[str]) -> Any:
    """What `keep` or `cached` has kept under a name, made from the same; ``None`` if there is nothing."""
    found = _read(_path(name))
    return found.get("value") if found.get("key") == digest(made_from) else None


def kept_notebook(name: str, made_from: Iterable[str]) -> NotebookNode | None:
    """A notebook, as `kept` gives it."""
    return cast(NotebookNode | None, nbformat.from_dict(kept(name, made_from)))


def is_kept(name: str, made_from: Iterable[str]) -> bool:
    """Whether a result is there, made from the same."""
    return _read(_path(name)).get("key") == digest(made_from)


def forget(name: str) -> None:
    """Have a result made again by the next build."""
    _path(name).unlink(missing_ok=True)


def _path(name: str) -> Path:
    return CACHE / f"{name}.json"


def _write(name: str, key: str, value: Any) -> None:
    atomic_write(json.dumps({"key": key, "value": value}), _path(name))


def _read(path: Path) -> dict[str, Any]:
    """What is kept; nothing if there is no such file, or one that is damaged."""
    try:
        kept = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}
