"""Steps in compiled form, for the frameworks that compile them; one that cannot be compiled runs as it is."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .modules import Module

if TYPE_CHECKING:
    from .backend import Backend

Step = Callable[..., Any]


class CompiledSteps:
    """Compiles each step once for a model and an optimizer.

    Args:
        backend: Says to the user what cannot be compiled.
        compile_step: Compiles a step for arguments like these: ``compile_step(step, *arguments)``.
    """

    def __init__(self, backend: "Backend", compile_step: Callable[..., Step]):
        self._backend, self._compile = backend, compile_step
        self._compiled: dict[str, tuple[Module, Any, dict[str, float], Step]] = {}

    def get(self, step: Step, model: Module, optimizer: Any, *arguments: Any) -> Step:
        """A step in compiled form.

        Numbers that the optimizer has as attributes are constants in it, so with others it is compiled anew.
        """
        name = step.__name__
        own = vars(optimizer) if hasattr(optimizer, "__dict__") else {}
        numbers = {key: value for key, value in own.items() if type(value) in (int, float)}
        known_model, known_optimizer, known_numbers, compiled = self._compiled.get(name, (None, None, {}, step))
        if known_model is not model or known_optimizer is not optimizer or known_numbers != numbers:
            try:
                compiled = self._compile(step, *arguments)
            except Exception as error:  # whatever a model's own code may raise
                compiled = self._as_it_is(step, type(error).__name__)
            self._compiled[name] = model, optimizer, numbers, compiled
        return compiled

    def _as_it_is(self, step: Step, reason: str) -> Step:
        """The step, which says so when it has gone through once: an error of its own says more."""
        lines = [f"A step that cannot be compiled runs as it is, slower ({reason})"]

        def run(*arguments: Any) -> Any:
            result = step(*arguments)
            while lines:
                self._backend.say(lines.pop())
            return result

        return run
