"""The public names of the helper, how each is called and what its docstring says, in every framework.

All is read from the source and no framework is imported, so the pages are the same wherever they are built.
"""

import functools
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import griffe
from griffe import (
    Alias,
    Attribute,
    Class,
    Docstring,
    DocstringSection,
    Function,
    Module,
    Object,
    Parameter,
    ParameterKind,
)

from .errors import BookError
from .files import ROOT
from .frameworks import FRAMEWORKS
from .helper_examples import examples

SOURCES = "d2l/**/*.py"
TENSORS = {"pytorch": "torch.Tensor", "tensorflow": "tf.Tensor", "mxnet": "np.ndarray", "jax": "jax.Array"}
WIDTH = 76  # of a signature, before it takes a line for each parameter
STARS: dict[ParameterKind | None, str] = {
    ParameterKind.keyword_only: "",
    ParameterKind.var_positional: "*",
    ParameterKind.var_keyword: "**",
}
LAMBDA = re.compile(r"lambda \*?\w+(?:, \*args, \*\*kwargs)?: ")


@dataclass(frozen=True)
class Text:
    """A docstring, or a part of one.

    Attributes:
        text: Its lines.
        of: What it documents, for messages and for the names of parameters.
    """

    text: str
    of: Object = field(compare=False)

    @property
    def summary(self) -> str:
        """Its first sentence or line."""
        return re.split(r"(?<=[.:]) |\n", self.text, maxsplit=1)[0]

    @property
    def returned(self) -> str:
        """What it says of the result, in which a parser would take what stands before a colon for a type."""
        found = re.search(r"^(?:Returns|Yields):\n((?: .*\n?|\n)+)", self.text, re.M)
        return textwrap.dedent(found[1]) if found else ""

    def sections(self) -> list[DocstringSection]:
        """Its paragraphs, arguments, errors and so on, in order."""
        return Docstring(self.text).parse("google", warnings=False)


def names_in(item: Any) -> list[str]:
    """The names that an item of a list documents, such as ``X, Y``, of which a parser takes the second for a type."""
    whole = f"{item.name} {item.annotation}" if item.name.endswith(",") else item.name
    return re.findall(r"\w+", whole)


@dataclass(frozen=True)
class Entry:
    """A public name.

    Attributes:
        name: Such as ``Trainer`` or ``Trainer.fit``.
        calls: How it is called, by the tabs of the frameworks that have it; empty for what is not called.
        common: What all of them say of it.
        own: What a framework says of it besides, or in place of that, by tab.
        bases: The classes that a class is of, by tab: public ones, or the framework's own.
        inherited: Frameworks that have a method as its class's base class has it, with that class.
        members: The methods and properties of a class.
    """

    name: str
    calls: dict[str, str]
    common: Text | None
    own: dict[str, Text]
    bases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    inherited: dict[str, str] = field(default_factory=dict)
    members: tuple["Entry", ...] = ()


class _Helper:
    """The helper's module of one framework, as it stands in the source.

    Attributes:
        names: Its public classes and functions, in order.
    """

    def __init__(self, package: Module, tab: str):
        self._package, self.tab = package, tab
        self.module = package[FRAMEWORKS[tab].module]
        exports = [str(name) for name in self.module.exports or ()]
        own = [name for name, member in self.module.members.items() if self._is_own(member)]
        public = dict.fromkeys([*exports, *own])
        self.names = [name for name in public if isinstance(self.find(name), Class | Function)]

    def _is_own(self, member: Object | Alias) -> bool:
        """Whether this module, or the package of its framework's backend, has defined something."""
        backend = f"d2l.backends.{self.module.name}."
        return (
            self.origin(member).startswith(backend)
            if isinstance(member, Alias)
            else isinstance(member, Class | Function)
        )

    def find(self, path: str) -> Object | None:
        """What has a public name, or a member's such as ``Trainer.fit``; none where another package has it."""
        name, _, member = path.partition(".")
        named = self.module.members.get(name)
        if named is None or (isinstance(named, Alias) and not self.origin(named).startswith("d2l.")):
            return None
        found = _resolved(named)
        return self.lookup(found, member) if member and isinstance(found, Class) else found

    def mro(self, cls: Class) -> list[Class]:
        """A class and its base classes in the helper, in the order in which Python looks through them."""
        if found := cls.mro():
            return [cls, *found]
        # What the chapter defines names its base class through the module itself.
        for base in map(str, cls.bases):
            found = self.find(base.removeprefix("d2l.")) if base.startswith("d2l.") else None
            if isinstance(found, Class):
                return [cls, *self.mro(found)]
        return [cls]

    def lookup(self, cls: Class, name: str) -> Object | None:
        """The method or property of a class, wherever it is defined; none where there is no such."""
        found = (base.members.get(name) for base in self.mro(cls))
        return next((_resolved(member) for member in found if member and _is_called(member)), None)

    def public_bases(self, cls: Class) -> list[str]:
        """The public classes that a class is of, the nearest first."""
        public = {id(self.find(name)): name for name in self.names}
        return [public[id(base)] for base in self.mro(cls)[1:] if id(base) in public]

    def foreign_bases(self, cls: Class) -> list[str]:
        """The framework's own classes among those that a class names as its bases."""
        imported = {name: member for name, member in cls.module.members.items() if isinstance(member, Alias)}
        names = ((str(base), imported.get(str(base).partition(".")[0])) for base in cls.bases)
        return [base for base, alias in names if alias and not self.origin(alias).startswith("d2l.")]

    def origin(self, alias: Alias) -> str:
        """Where what a module imports comes from in the end, such as ``torch.nn``."""
        path = alias.target_path
        found = self._package[path.removeprefix("d2l.")] if path.startswith("d2l.") else None
        return self.origin(found) if isinstance(found, Alias) else path

    def members(self, cls: Class) -> list[str]:
        """The public methods and properties of a class but for those that a public base class has."""
        names = dict.fromkeys(name for base in reversed(self.mro(cls)) for name in base.members)
        bases = [self.find(name) for name in self.public_bases(cls)]
        return [
            name
            for name in names
            if (not name.startswith("_") or name == "__call__")
            and (found := self.lookup(cls, name)) is not None
            and not any(isinstance(base, Class) and self.lookup(base, name) is found for base in bases)
        ]

    def call(self, name: str) -> str:
        """How something is called; nothing for a property, and for a class whose arguments are the framework's."""
        found, last = self.find(name), name.rpartition(".")[2]
        if found is None:
            return ""
        if isinstance(found, Function):
            return _signature(last, _parameters(found, skip="." in name), str(found.returns or ""))
        if not isinstance(found, Class):
            return ""
        if self._is_dataclass(found):
            return _signature(last, self._fields(found))
        makers = [base.members["__init__"] for base in self.mro(found) if "__init__" in base.members]
        if not makers and self.foreign_bases(found):
            return ""
        parameters = [_parameters(maker, skip=True) for maker in makers if isinstance(maker, Function)]
        return _signature(last, parameters[0] if parameters else [])

    def _is_dataclass(self, cls: Class) -> bool:
        """Whether Flax makes the constructor of a class, from its fields."""
        return self.tab == "jax" and any("nn.Module" in self.foreign_bases(base) for base in self.mro(cls))

    def _fields(self, cls: Class) -> list[str]:
        """The fields of a class and of its base classes, as parameters."""
        fields = {}
        for base in reversed(self.mro(cls)):
            if "nn.Module" in self.foreign_bases(self.mro(base)[-1]) or self._is_dataclass(base):
                fields |= {name: member for name, member in base.members.items() if _is_field(member)}
        return [_parameter(name, _annotation(member), member.value) for name, member in fields.items()]

    def text(self, name: str) -> tuple[Text | None, Text | None]:
        """The docstring that this framework shares with others, and its own, where it refers to that one."""
        found = self.find(name)
        if found is None or found.docstring is None:
            return None, None
        text, last = found.docstring.value, name.rpartition(".")[2]
        # Either a first line that says little more, or a sentence.
        reference = re.search(rf"(?:^.*: see|\bSee) `(d2l\.[\w.]*\b{last})`\.\n?", text, re.M)
        if reference is None:
            return Text(text, found), None
        shared = _resolved(self._package[reference[1].removeprefix("d2l.")])
        if shared.docstring is None:
            raise BookError(f"{found.path}: its docstring refers to that of {reference[1]}, which has none")
        rest = (text[: reference.start()] + text[reference.end() :]).strip()
        return Text(shared.docstring.value, shared), Text(rest, found) if rest else None


@functools.cache
def reference() -> dict[str, Entry]:
    """The entries of all public classes and functions, by name.

    Raises:
        BookError: A docstring refers to one that is not there.
    """
    helpers = _helpers()
    return {name: _entry(name, helpers) for name in _in_order(helper.names for helper in helpers)}


@functools.cache
def _helpers() -> list[_Helper]:
    loader = griffe.GriffeLoader(search_paths=[ROOT], docstring_parser="google", allow_inspection=False)
    package = loader.load("d2l", submodules=True)
    loader.resolve_aliases(external=False)
    assert isinstance(package, Module)
    return [_Helper(package, tab) for tab in FRAMEWORKS]


def _entry(name: str, helpers: Sequence[_Helper]) -> Entry:
    having = [helper for helper in helpers if name in helper.names]
    classes = {helper: found for helper in having if isinstance(found := helper.find(name), Class)}
    members = _in_order(helper.members(cls) for helper, cls in classes.items())
    return Entry(
        name,
        _calls(name, having),
        *_texts(name, having),
        bases={helper.tab: _bases(helper, cls) for helper, cls in classes.items()},
        members=tuple(sorted((_member(f"{name}.{member}", classes) for member in members), key=_rank)),
    )


def _member(name: str, classes: dict[_Helper, Class]) -> Entry:
    member = name.rpartition(".")[2]
    having = [helper for helper, cls in classes.items() if member in helper.members(cls)]
    inherited = {
        helper.tab: next(base for base in helper.public_bases(cls) if helper.find(f"{base}.{member}") is not None)
        for helper, cls in classes.items()
        if helper not in having and helper.lookup(cls, member) is not None
    }
    return Entry(name, _calls(name, having), *_texts(name, having), inherited=inherited)


def _rank(member: Entry) -> tuple[int, bool]:
    """What users call themselves comes first, in the order of the examples; then other methods, and properties."""
    shown = list(examples())
    place = shown.index(member.name) if member.name in shown else len(shown)
    return place, not any(member.calls.values())


def _calls(name: str, having: Sequence[_Helper]) -> dict[str, str]:
    """How something is called in each framework, with one word for their tensors where nothing else differs."""
    calls = {helper.tab: helper.call(name) for helper in having}
    alike = {tab: re.sub(rf"\b{re.escape(TENSORS[tab])}\b", "Tensor", call) for tab, call in calls.items()}
    return alike if len(having) > 1 and len(set(alike.values())) == 1 else calls


def _texts(name: str, having: Sequence[_Helper]) -> tuple[Text | None, dict[str, Text]]:
    """What all frameworks that have a name say of it, and what each says by itself."""
    texts = {helper.tab: helper.text(name) for helper in having}
    shared = {text for text, _ in texts.values()}
    if len(shared) == 1:
        return shared.pop(), {tab: own for tab, (_, own) in texts.items() if own}
    return None, {tab: text for tab, own in texts.items() for text in own if text}


def _bases(helper: _Helper, cls: Class) -> tuple[str, ...]:
    return (*helper.public_bases(cls)[:1], *helper.foreign_bases(cls))


def _in_order(lists: Iterable[Iterable[str]]) -> list[str]:
    """All names of some lists that have most of them in the same order, each once, behind the one before it."""
    merged: list[str] = []
    for names in lists:
        place = 0
        for name in names:
            if name in merged:
                place = merged.index(name) + 1
            else:
                merged.insert(place, name)
                place += 1
    return merged


def _resolved(thing: Object | Alias) -> Object:
    """What a name of the helper stands for."""
    return thing.final_target if isinstance(thing, Alias) else thing


def _is_called(thing: Object | Alias) -> bool:
    """Whether a member of a class is a method or a property."""
    return isinstance(thing, Function) or (isinstance(thing, Attribute) and "property" in thing.labels)


def _is_field(thing: Object | Alias) -> bool:
    """Whether a member of a dataclass is an argument of its constructor."""
    if not isinstance(thing, Attribute) or _is_called(thing):
        return False
    return bool(thing.annotation) and "init=False" not in str(thing.value)


def _annotation(thing: Attribute | Parameter) -> str:
    return str(thing.annotation or "")


def _parameters(function: Function, skip: bool) -> list[str]:
    """The parameters of a function as they stand in its signature; of a method, without the first."""
    written, kinds = [], set()
    for parameter in list(function.parameters)[skip:]:
        if parameter.kind is ParameterKind.keyword_only and not kinds & set(STARS):
            written.append("*")
        kinds.add(parameter.kind)
        stars = STARS.get(parameter.kind, "")
        written.append(_parameter(stars + parameter.name, _annotation(parameter), None if stars else parameter.default))
    return written


def _parameter(name: str, annotation: str, default: object) -> str:
    typed = f"{name}: {annotation}" if annotation else name
    between = " = " if annotation else "="
    return typed if default is None else f"{typed}{between}{default}"


def _signature(name: str, parameters: Sequence[str], returns: str = "") -> str:
    """A call as it would stand in code, in several lines if it is long."""
    end = f") -> {returns}" if returns not in ("", "None") else ")"
    line = f"{name}({', '.join(parameters)}{end}"
    return line if len(line) <= WIDTH else "\n".join([f"{name}(", *(f"    {one}," for one in parameters), end])


@functools.cache
def libraries() -> dict[str, dict[str, str]]:
    """The packages that users reach through the helper, such as ``nn``, with what these are, by tab."""
    return _by_name(_libraries)


@functools.cache
def aliases() -> dict[str, dict[str, str]]:
    """The helper's names for what the frameworks call differently, such as ``concat``, with what these are, by tab."""
    return _by_name(_aliases)


def _by_name(read: Callable[[_Helper], Iterator[tuple[str, str]]]) -> dict[str, dict[str, str]]:
    names = _in_order([name for name, _ in read(helper)] for helper in _helpers())
    found = {helper.tab: dict(read(helper)) for helper in _helpers()}
    return {name: {tab: own[name] for tab, own in found.items() if name in own} for name in names}


def _libraries(helper: _Helper) -> Iterator[tuple[str, str]]:
    for name, member in helper.module.members.items():
        if isinstance(member, Alias):
            origin = helper.origin(member)
            if origin.partition(".")[0] not in {"d2l", *sys.stdlib_module_names}:
                yield name, origin


def _aliases(helper: _Helper) -> Iterator[tuple[str, str]]:
    for name, member in helper.module.members.items():
        if isinstance(member, Attribute) and name not in ("__all__", "d2l"):
            yield name, LAMBDA.sub("", str(member.value)).replace("(*args, **kwargs)", "(...)")
