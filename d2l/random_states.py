"""The random states that a run draws from, to be saved and restored together."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .backend import Backend


class GeneratorKind(NamedTuple):
    """A class of random generators, and how the state of one is had and set, as JSON can hold it."""

    type: type
    get: Callable[[Any], Any]
    set: Callable[[Any, Any], None]


def _set_python(generator: random.Random, state: Any) -> None:
    version, numbers, gauss = state
    generator.setstate((version, tuple(numbers), gauss))


def _set_numpy(generator: np.random.Generator, state: Any) -> None:
    generator.bit_generator.state = state


GENERATORS = (
    GeneratorKind(random.Random, random.Random.getstate, _set_python),
    GeneratorKind(
        np.random.RandomState, partial(np.random.RandomState.get_state, legacy=False), np.random.RandomState.set_state
    ),
    GeneratorKind(np.random.Generator, lambda generator: generator.bit_generator.state, _set_numpy),
)


@dataclass
class RandomStates:
    """The random states of Python, of NumPy, of a framework, and of generators that model and data have of their own.

    Attributes:
        backend: The framework's.
        generators: Generators by name.
    """

    backend: "Backend"
    generators: Mapping[str, Any] = field(default_factory=dict)

    def find_generators(self, named: Iterator[tuple[str, Any]]) -> None:
        """Keep the random generators among some objects, by name."""
        types = tuple(kind.type for kind in self._kinds)
        self.generators = {name: value for name, value in named if isinstance(value, types)}

    def get(self) -> dict[str, Any]:
        """All states, as JSON can hold them. A framework that does not expose its own is seeded anew here."""
        return {**self._own(), "framework": self.backend.rng_state()}

    def set(self, states: Mapping[str, Any]) -> None:
        """Go on from such states."""
        self._set_own(states)
        self.backend.load_rng_state(states["framework"])

    def checkpoint(self) -> Callable[[], None]:
        """A function that brings back the states as they are now, those that can be read."""
        if self.backend.exposes_rng_state:
            return partial(self.set, self.get())
        return partial(self._set_own, self._own())

    @contextmanager
    def preserved(self) -> Iterator[None]:
        """Have the states afterwards as they are now, those that can be read."""
        restore = self.checkpoint()
        try:
            yield
        finally:
            restore()

    def _own(self) -> dict[str, Any]:
        state: Any = np.random.get_state()
        kind, keys, *rest = state
        return {
            "python": random.getstate(),
            "numpy": [kind, keys.tolist(), *rest],
            "generators": {name: self._kind(value).get(value) for name, value in self.generators.items()},
        }

    def _set_own(self, states: Mapping[str, Any]) -> None:
        version, numbers, gauss = states["python"]
        random.setstate((version, tuple(numbers), gauss))
        np.random.set_state(tuple(states["numpy"]))
        saved = states.get("generators", {})
        for name in self.generators.keys() & saved.keys():
            self._kind(self.generators[name]).set(self.generators[name], saved[name])

    @property
    def _kinds(self) -> tuple[GeneratorKind, ...]:
        return (*GENERATORS, *self.backend.generator_kinds)

    def _kind(self, generator: Any) -> GeneratorKind:
        return next(kind for kind in self._kinds if isinstance(generator, kind.type))
