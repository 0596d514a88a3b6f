"""One line that says how far a training run is, how fast it goes and how long it will take."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from .input_checks import count_examples
from .metrics import StepMetrics
from .notebook_output import Output, in_notebook
from .observers import Observer

if TYPE_CHECKING:
    from .trainer import Trainer

LONG_RUN_SECONDS = 300
WARM_UP_SECONDS = 10
SHORT_WORK_SECONDS = 2  # which needs no line


class Progress(Observer):
    """Count and time the batches of a run, and say how far it is.

    The line is redrawn in place, in a terminal and in a notebook, and disappears at the end.

    Args:
        total: Number of training and validation batches in the whole run.
        slow: Whether to say early, should the run be long, how long it will take.
        shown: Whether to draw the line.
    """

    def __init__(self, total: int, slow: bool, shown: bool = True):
        self.batch_examples = 0  # in the batch that was given last
        self.batch_total = 0  # in that batch, with the shards of it that other processes have
        self._shown = shown
        self.train_examples = self.val_examples = self.train_batches = 0
        self.train_seconds = 0.0
        self._paused_seconds = 0.0  # since the batch before
        self.output = Output()
        self._slow = slow
        self._notice = ""
        self._total = total
        self._done = 0  # before this run began, where it resumes one
        self._kinds: set[tuple[bool, int]] = set()  # of batches so far: training or validation, and the examples
        self._timed = 0  # batches of a kind that had come before, whose step was compiled by then
        self._timed_seconds = 0.0
        self._started = self._batch_started = time.monotonic()

    def before_fit(self, trainer: "Trainer") -> None:
        """Draw the line."""
        self._bar = _Bar(
            total=self._total,
            disable=not self._shown or self._done == self._total,
            initial=self._done,
            **_line(_NotebookLine(self.output, lambda: self._notice)),
        )

    def before_epoch(self, trainer: "Trainer") -> None:
        """Say which epoch it is."""
        self._bar.set_description_str(f"epoch {trainer.epoch + 1}/{trainer.num_epochs} ", refresh=False)

    def before_pass(self, trainer: "Trainer", train: bool) -> None:
        """Begin to time the first batch."""
        self._batch_started, self._paused_seconds = time.monotonic(), 0.0

    def before_batch(self, trainer: "Trainer", train: bool, batch: Any) -> None:
        """Count the batch's examples."""
        self.batch_examples = self.batch_total = count_examples(batch)

    def recount(self, metrics: StepMetrics) -> None:
        """Take the batch's examples from its step, which knows them where shards differ or images are left out."""
        if metrics.count is not None:
            self.batch_examples = metrics.count
        if metrics.total is not None:
            self.batch_total = metrics.total

    def after_batch(self, trainer: "Trainer", train: bool) -> None:
        """Add the batch to the counts, and begin to time the next one."""
        seconds = time.monotonic() - self._batch_started
        self._time(train, seconds)
        if train:
            self.train_batches += 1
            self.train_examples += self.batch_total
            self.train_seconds += seconds - self._paused_seconds
            self._bar.set_postfix_str(f"{self.examples_per_second:,.0f} examples/s", refresh=False)
        else:
            self.val_examples += self.batch_total
        self._bar.update()
        self._announce()
        self._batch_started, self._paused_seconds = time.monotonic(), 0.0

    def after_fit(self, trainer: "Trainer", error: BaseException | None) -> None:
        """Remove the line."""
        self._bar.close()

    @property
    def examples_per_second(self) -> float:
        """Training examples per second of training, validation not counted."""
        return self.train_examples / self.train_seconds if self.train_seconds else 0.0

    def resume(self, done: int, train_examples: int, train_seconds: float) -> None:
        """Go on from an earlier run, which had done so many batches; before this one begins."""
        self._done, self.train_examples, self.train_seconds = done, train_examples, train_seconds

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the time within as that of training."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._paused_seconds += time.monotonic() - start

    def _time(self, train: bool, seconds: float) -> None:
        """Take a batch's time into the estimate, unless its step may have been compiled in it."""
        kind = train, self.batch_examples
        if kind in self._kinds:
            self._timed += 1
            self._timed_seconds += seconds
            self._bar.seconds_per_batch = self._timed_seconds / self._timed
        self._kinds.add(kind)

    def _announce(self) -> None:
        if not self._slow or self._timed_seconds < WARM_UP_SECONDS or self._timed < 2:
            return
        self._slow = False
        left = self._total - self._bar.n
        seconds = time.monotonic() - self._started + left * self._bar.seconds_per_batch
        if seconds > LONG_RUN_SECONDS:
            self._notice = (
                f"No GPU in use: this run will take about {duration(seconds)}. "
                "With D2L_PROFILE=smoke in the environment it does a small part in seconds."
            )
            if not in_notebook():
                self._bar.write(self._notice, file=sys.stderr)


class _Bar(tqdm):
    """A line of progress whose time left follows from ``seconds_per_batch``, once that is known."""

    seconds_per_batch = 0.0

    @property
    def format_dict(self) -> Any:
        """What the line is made of."""
        rate = {"rate": 1 / self.seconds_per_batch} if self.seconds_per_batch else {}
        return {**super().format_dict, **rate}


class _NotebookLine:
    """The stream that tqdm writes its line to in a notebook, below what `notice` gives."""

    encoding = "utf-8"  # without it, tqdm would draw the bar with number signs

    def __init__(self, output: Output, notice: Callable[[], str] = str):
        self._output, self._notice = output, notice

    def write(self, text: str) -> None:
        line = text.strip()
        if line:
            self._output.show({"text/plain": "\n".join(filter(None, (self._notice(), line)))})

    def flush(self) -> None:
        pass


def counted(batches: Any, name: str, shown: bool) -> Iterator[Any]:
    """Go through batches, of which the number is known, with a line that disappears at the end.

    It is drawn after some seconds only: most such work is done by then.

    Args:
        name: What to call the work.
        shown: Whether to draw the line.
    """
    output = Output()
    line = _line(_NotebookLine(output))
    try:
        yield from tqdm(batches, f"{name} ", disable=not shown, delay=SHORT_WORK_SECONDS, **line)
    finally:
        output.clear()


def _line(in_notebook_to: _NotebookLine) -> dict[str, Any]:
    """How every line of progress looks, and where it goes."""
    return {
        "file": in_notebook_to if in_notebook() else sys.stderr,
        "ncols": 72 if in_notebook() else None,
        "dynamic_ncols": not in_notebook(),
        "mininterval": 0.5,
        "smoothing": 0,  # the last batches say little of the rest: those of validation are quicker
        "leave": False,
        "bar_format": "{desc}{percentage:3.0f}%|{bar}| {elapsed}, {remaining} left{postfix}",
    }


def duration(seconds: float) -> str:
    """Seconds as people say them: ``45 s``, ``12 min``, ``2 h 5 min``."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
