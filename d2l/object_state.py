"""What objects have as attributes, looked into: random generators, numbers that are counted in, states of their own."""

from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

# Attributes that a model has for its trainer.
OF_TRAINER = {"trainer", "board", "hparams"}
DEPTH, MOST_PARTS = 4, 20  # how far attributes are looked into for a state of their own, and how many parts of a list


def attributes(owners: Mapping[str, Any], held: Iterable[Any] = ()) -> Iterator[tuple[str, Any]]:
    """What objects have as attributes, and what these have, by names such as ``data.transform.rng``.

    Left out are tensors, what begins with an underscore, what the trainer adds, and all that ``held`` is of.
    """
    seen = {id(thing) for thing in held}
    waiting = [(name, owner, DEPTH) for name, owner in owners.items()]
    while waiting:
        name, owner, depth = waiting.pop(0)
        if isinstance(owner, (list, tuple)):
            parts = {f"{name}[{i}]": part for i, part in enumerate(owner[:MOST_PARTS])}
        else:
            own = getattr(owner, "__dict__", {})
            parts = {f"{name}.{key}": part for key, part in own.items() if key[:1] != "_" and key not in OF_TRAINER}
        for path, part in parts.items():
            if type(part) in (int, float):
                yield path, part
            elif not (hasattr(part, "shape") or isinstance(part, (type, ModuleType)) or id(part) in seen):
                seen.add(id(part))
                yield path, part
                if depth > 1:
                    waiting.append((path, part, depth - 1))


def counters(owners: Mapping[str, Any], held: Iterable[Any] = ()) -> dict[str, float]:
    """The plain numbers among the attributes of objects, by name: see `attributes`."""
    return {name: value for name, value in attributes(owners, held) if type(value) in (int, float)}
