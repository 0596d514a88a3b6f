"""The helper's public interface as plain data: ``python -m contract.interface`` in ``tests`` writes interface.yml.

A name stands there with how it is called, and where that differs between the frameworks, or only some have it, with
how it is called in which. Annotations are left out, and so are defaults that are no plain values: they are ``...``.
"""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from .adapters import NAMES

PATH = Path(__file__).with_name("interface.yml")
HEADER = """\
# What chapters and users of the helper call, and how. `make contract` writes this; what it changes is for review.
"""
# Modules that chapters may reach through the helper's.
LIBRARIES = ("torch", "nn", "np", "npx", "autograd", "gluon", "tf", "jax", "jnp", "optax")
# Below it stands what d2lbook takes from the chapter and from config.ini.
GENERATED = "#################   WARNING   ################"
# Defaults that differ from one machine to the next.
OF_MACHINE = {"num_workers"}


def interface(name: str) -> dict[str, str]:
    """A framework's public names, those of members as ``Class.member``, each with how it is called.

    ``(x, y=1)`` is a signature, and the classes of a class stand under ``Class.__mro__``.
    """
    module = importlib.import_module(f"d2l.{name}")
    found = {}
    for public in _public_names(module):
        thing = getattr(module, public)
        found[public] = _call(thing)
        if inspect.isclass(thing) and _is_ours(thing):
            found[f"{public}.__mro__"] = ", ".join(_bases(module, thing)) or "object"
            found |= {f"{public}.{member}": call for member, call in _members(module, thing)}
    for library in LIBRARIES:
        if inspect.ismodule(getattr(module, library, None)):
            found[library] = f"module {getattr(module, library).__name__}"
    return found


def merged(interfaces: dict[str, dict[str, str]]) -> dict[str, str | dict[str, str]]:
    """The interfaces of all frameworks in one: what is the same in all of them is said once."""
    everywhere = ", ".join(interfaces)
    found = {}
    for name in sorted({name for one in interfaces.values() for name in one}, key=lambda name: (name.lower(), name)):
        calls: dict[str, list[str]] = {}
        for framework, one in interfaces.items():
            if name in one:
                calls.setdefault(one[name], []).append(framework)
        by_frameworks = {", ".join(frameworks): call for call, frameworks in calls.items()}
        found[name] = by_frameworks.get(everywhere, by_frameworks)
    return found


def stored(name: str) -> dict[str, str]:
    """What interface.yml says of one framework."""
    whole = yaml.safe_load(PATH.read_text("utf-8"))
    return {
        key: call
        for key, calls in whole.items()
        for frameworks, call in ({name: calls} if isinstance(calls, str) else calls).items()
        if name in frameworks.split(", ")
    }


def changes(was: dict[str, str], now: dict[str, str]) -> list[str]:
    """A line for each name that is gone, new, or called in another way."""
    return [
        *(f"{name} is gone; it was {call}" for name, call in was.items() if name not in now),
        *(f"{name} is new: {call}" for name, call in now.items() if name not in was),
        *(f"{name} was {call} and is {now[name]}" for name, call in was.items() if now.get(name, call) != call),
    ]


def write() -> None:
    """Write interface.yml, and print what has changed."""
    interfaces = {name: interface(name) for name in NAMES}
    for name, now in interfaces.items():
        for line in changes(stored(name) if PATH.exists() else {}, now):
            print(f"d2l.{name}: {line}")
    text = yaml.safe_dump(merged(interfaces), sort_keys=False, width=1000)
    PATH.write_text(HEADER + text, "utf-8")


def _public_names(module: ModuleType) -> list[str]:
    """What the module lists as public, its other classes and functions, and what d2lbook has written into it."""
    own = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and _is_of(module, value)
    ]
    source = inspect.getsource(module)
    first = source[: source.index(GENERATED)].count("\n")
    generated = [
        target.id
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and node.lineno > first
        for target in node.targets
    ]
    return list(dict.fromkeys([*module.__all__, *own, *generated]))


def _is_of(module: ModuleType, thing: Any) -> bool:
    """Whether a module, or the package of its framework's backend, has defined a class or a function."""
    home = getattr(thing, "__module__", None) or ""
    return home == module.__name__ or home.startswith(module.__name__.replace("d2l.", "d2l.backends.") + ".")


def _is_ours(thing: Any) -> bool:
    return getattr(thing, "__module__", "").partition(".")[0] == "d2l"


def _call(thing: Any) -> str:
    """How something is called; of what is not the helper's own, only that it is an alias."""
    if not _is_ours(thing) or getattr(thing, "__name__", "") == "<lambda>":
        return "alias"
    if not inspect.isclass(thing):
        return _signature(thing)
    return "()" if thing.__init__ is object.__init__ else _signature(thing.__init__, skip=1)


def _signature(function: Any, skip: int = 0) -> str:
    parameters = list(inspect.signature(function).parameters.values())[skip:]
    plain = [
        p.replace(annotation=p.empty, default=p.empty if p.default is p.empty else _Default(p))
        for p in parameters
        if _says_more_than_flax(p)
    ]
    return str(inspect.Signature(plain))


def _says_more_than_flax(parameter: inspect.Parameter) -> bool:
    """Flax gives each of its modules these two."""
    return not (parameter.name == "parent" or (parameter.name == "name" and parameter.default is None))


class _Default:
    """A default as it is to be seen in a signature."""

    def __init__(self, parameter: inspect.Parameter):
        self.plain = parameter.name not in OF_MACHINE and _is_plain(parameter.default)
        self.value = parameter.default

    def __repr__(self) -> str:
        return repr(self.value) if self.plain else "..."


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _bases(module: ModuleType, cls: type) -> list[str]:
    """The public classes that a class is of, and the framework's own where none of these is of that."""
    bases = _public_bases(module, cls)
    names = {getattr(module, name): name for name in module.__all__ if inspect.isclass(getattr(module, name))}
    foreign = next(base for base in cls.__mro__ if not _is_ours(base))
    of_framework = [] if any(issubclass(base, foreign) for base in bases) else [foreign]
    return [
        *(names[base] for base in bases),
        *(f"{base.__name__} of {base.__module__.partition('.')[0]}" for base in of_framework if base is not object),
    ]


def _public_bases(module: ModuleType, cls: type) -> list[type]:
    public = {getattr(module, name) for name in module.__all__ if inspect.isclass(getattr(module, name))}
    return [base for base in cls.__mro__[1:] if base in public]


def _members(module: ModuleType, cls: type) -> Iterator[tuple[str, str]]:
    """Public methods and properties, but for those that are a public base class's."""
    bases = _public_bases(module, cls)
    names = {name for base in cls.__mro__ if _is_ours(base) for name in vars(base)}
    for name in sorted(name for name in names if not name.startswith("_") or name == "__call__"):
        member = inspect.getattr_static(cls, name)
        if any(inspect.getattr_static(base, name, None) is member for base in bases):
            continue
        if isinstance(member, property):
            yield name, "property"
        elif callable(member) and _is_ours(member):
            yield name, _signature(member)


if __name__ == "__main__":
    write()
