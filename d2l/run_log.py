"""A training run as lines of JSON in a file, for programs to read and for people to follow with ``tail -f``."""

import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .mime import json_safe
from .observers import Observer

if TYPE_CHECKING:
    from .trainer import Trainer

TIME = b'{"time": "'  # what each line begins with
LONGEST_READ = 1 << 16  # bytes of a file that are looked at, to tell whether it is a log


class RunLog:
    """Lines of JSON, appended to a file, each of them whole as soon as it is written.

    A file that can no longer be written to, such as one on a full disk, is named once; the run goes on without it.
    One that has been renamed or removed, as programs do that keep logs small, is followed by a new one of its name.

    Args:
        path: The file; ``None`` writes nothing.

    Raises:
        OSError: The file cannot be opened.
        ValueError: It has something else in it than lines of JSON objects, and stays as it is.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self._file: FileIO | None = None
        self._of_earlier_run = self._begun = False
        self._prepared = b""
        if path is None:
            return
        last = self._open(path)
        self._of_earlier_run = bool(last)
        if last not in (b"", b"\n"):
            self._prepared = b"\n"  # the disk was full, or the power went

    def _open(self, path: Path) -> bytes:
        """Open the file to append to it; the last byte that is in it, if there is one."""
        beginning, last = _ends(path) if path.is_file() else (b"", b"")
        if not _is_log(beginning):
            raise ValueError(f"{path} is there and is no log of a run, and stays as it is: give another file")
        # A line is one call of the system, which a signal does not part.
        self._file = open(path, "ab", buffering=0, opener=_without_waiting)  # noqa: SIM115
        return last

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Write nothing from now on."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def prepare(self, **line: Any) -> None:
        """Have a line with the time of now and these values written before all others, when there is another."""
        self._prepared += _as_line(line)

    def begin(self) -> None:
        """Write what has been prepared: the run has begun."""
        prepared, self._prepared = self._prepared, b""
        for line in prepared.splitlines(keepends=True):
            self._append(line)
        self._begun = True

    def write(self, **line: Any) -> None:
        """Append a line with the time and these values. Numbers that are not finite, which JSON lacks, become null."""
        self.begin()
        self._append(_as_line(line))

    def conclude(self, **line: Any) -> None:
        """Write how a run has ended; one that never began leaves the log of an earlier run as it is."""
        if self._begun or not self._of_earlier_run:
            self.write(**line)

    def _append(self, line: bytes) -> None:
        if self._file is None or self.path is None:
            return
        try:
            if _is_gone(self._file, self.path):
                self._file.close()
                self._open(self.path)
            while line:  # of which a disk that is nearly full may take a part
                line = line[self._file.write(line) :]
        except (OSError, ValueError) as error:
            print(f"{self.path}: the log ends here, the training goes on: {error}", file=sys.stderr)
            self.close()


def _is_gone(file: FileIO, path: Path) -> bool:
    """Whether a file no longer has its name, but has been renamed or removed."""
    try:
        return not os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return True


def _ends(path: Path) -> tuple[bytes, bytes]:
    """What a file begins with, and its last byte."""
    with path.open("rb") as file:
        beginning = file.read(LONGEST_READ)
        file.seek(-1 if beginning else 0, os.SEEK_END)
        return beginning, file.read(1)


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a FIFO that nobody reads from is an error, and not waited for."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    if hasattr(os, "O_NONBLOCK"):
        os.set_blocking(descriptor, True)
    return descriptor


def _is_log(beginning: bytes) -> bool:
    """Whether a file's first line is a JSON object, or one of a log's own lines that was cut off."""
    if beginning[: len(TIME)] == TIME[: len(beginning)]:
        return True
    try:
        return isinstance(json.loads(beginning.split(b"\n", 1)[0]), dict)
    except (ValueError, RecursionError):
        return False


def _as_line(values: Mapping[str, Any]) -> bytes:
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps(json_safe({"time": time, **values}), default=str).encode() + b"\n"


class LogObserver(Observer):
    """Writes the points of a run's curves into a log as they come.

    What still waits for its mean when a run is stopped is no point of the run's curves.

    Args:
        log: The log.
    """

    def __init__(self, log: RunLog):
        self.log = log

    def before_fit(self, trainer: "Trainer") -> None:
        """Begin the log, or say where the run was taken up again; points from before that are in it already."""
        self._known = {label: len(points) for label, points in trainer.model.board.curves.items()}
        if trainer.checkpointing is not None and trainer.checkpointing.checkpoint is not None:
            self.log.write(event="resumed", epoch=trainer.epochs_done)
        elif trainer.num_epochs:
            self.log.begin()

    def after_batch(self, trainer: "Trainer", train: bool) -> None:
        """Write new points."""
        for label, points in trainer.model.board.curves.items():
            known = self._known.get(label, 0)
            self._known[label] = len(points)
            for x, y in points[known:]:
                self.log.write(epoch=x, **{label: y})

    def after_epoch(self, trainer: "Trainer") -> None:
        """Write what the end of the epoch has added."""
        self.after_batch(trainer, train=False)
