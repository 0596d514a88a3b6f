"""Outputs in a notebook that can be replaced while a cell runs."""

from collections.abc import Callable
from typing import Any

from IPython import get_ipython
from IPython.display import display


def in_notebook() -> bool:
    """Whether the code runs in a Jupyter kernel (and not in a terminal or a plain script)."""
    return hasattr(get_ipython(), "kernel")


class Output:
    """A place in the running cell's output. Showing something there replaces what it held."""

    def __init__(self):
        self._handle = None

    def show(self, data: dict[str, Any]) -> None:
        """Show a bundle of media types; outside a notebook, do nothing."""
        if not in_notebook():
            return
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)

    def clear(self) -> None:
        """Show nothing there any more."""
        if self._handle is not None:
            self.show({})


def at_end_of_cell(function: Callable[[], None]) -> None:
    """Call ``function`` once, when the cell that runs now has ended."""
    events = get_ipython().events

    def once(*_: Any) -> None:
        events.unregister("post_run_cell", once)
        function()

    events.register("post_run_cell", once)
