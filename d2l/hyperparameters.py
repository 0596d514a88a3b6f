"""Keep a constructor's arguments as attributes, and add methods to a class after its definition."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any


class HyperParameters:
    """Base class of objects that remember the arguments they were made with.

    Attributes:
        hparams: The arguments by name, once `save_hyperparameters` has been called.
    """

    def save_hyperparameters(self, ignore: str | Iterable[str] = ()) -> None:
        """Save the arguments of the calling method as attributes, and all of them in ``self.hparams``.

        Args:
            ignore: Names of arguments not to save, or one of them. Those that begin with an underscore are not saved.
        """
        frame: Any = inspect.currentframe()
        names, varargs, varkw, values = inspect.getargvalues(frame.f_back)
        names = [*names[1:], *filter(None, (varargs, varkw))]
        ignored = {ignore} if isinstance(ignore, str) else set(ignore)
        new = {name: values[name] for name in names if name not in ignored and not name.startswith("_")}
        self.hparams = {**getattr(self, "hparams", {}), **new}
        for name, value in new.items():
            setattr(self, name, value)


def add_to_class(cls: type) -> Callable[[Any], Any]:
    """Decorator that registers a function as a method of ``cls``, also for objects that exist already.

    Args:
        cls: The class, of the helper or of one's own. A method of the same name is replaced.

    Returns:
        The decorator; the function keeps its own name as well.
    """

    def wrapper(obj: Any) -> Any:
        setattr(cls, obj.__name__, obj)
        return obj

    return wrapper
