"""Checkpoints of a training run: files that are whole or not there, with nothing in them but numbers and text.

A checkpoint is one file in the safetensors format. It has the arrays of the model and of the optimizer by name and, as
JSON in its metadata, all else that the run goes on from: its place, random states, curves. A SHA-256 over all of
this tells a damaged file from a whole one.
"""

import errno
import hashlib
import json
import os
import re
import secrets
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .folder_lock import FolderInUse, locked
from .input_checks import printable
from .machine import physical_memory
from .mime import as_json
from .plotting import to_numpy
from .process_group import ProcessGroup

FORMAT = "2"
NAME = re.compile(r"step-([0-9]{8}|[1-9][0-9]{8,})\.safetensors")  # one name for each number
PART = re.compile(rf"{NAME.pattern}\.[0-9a-f]{{16}}\.part")  # a checkpoint that is being written
MOST_LINES, MOST_CHARACTERS = 20, 300  # of what a message quotes


class CheckpointError(RuntimeError):
    """A checkpoint could not be saved, read, or used here. The message names the file and what is wrong with it."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file has in it.

    Attributes:
        path: The file.
        arrays: Arrays by name: ``model/...`` and ``optimizer/...``.
        state: All else.
    """

    path: Path
    arrays: dict[str, np.ndarray]
    state: dict[str, Any]

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The model's arrays by their names in the model."""
        return model_arrays(self.arrays)


class CheckpointFolder:
    """The checkpoints of one run, of which the last few are kept.

    Others may write to the folder, too. What has a checkpoint's name and is no file, such as a link, is passed over
    and named; no link is followed; and files that other runs put there stay as they are.

    Args:
        path: The folder; it is made if it is not there.
        keep: Checkpoints to keep.

    Raises:
        CheckpointError: Nothing can be written there.
    """

    def __init__(self, path: Path, keep: int):
        self.path, self.keep = path, keep
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):  # so that this is known before the training, not hours later
                pass
        except (OSError, ValueError) as error:  # that a name is none is a ValueError
            raise CheckpointError(f"{path}: no checkpoint can be written here: {error}") from error
        for other in self._named(lambda entry: not _is_file(entry)):
            print(f"Passing over {other}: {_kind(other.lstat().st_mode)}, not a checkpoint's file", file=sys.stderr)
        self._own = set(self.steps().values())  # this run's: those that it may go on from, and those that it saves

    @contextmanager
    def locked(self, processes: ProcessGroup) -> Iterator[None]:
        """Keep other runs out of the folder; this one may have several processes, which all call this.

        Raises:
            CheckpointError: Another run uses it, or the lock cannot be written.
        """
        refused = ""
        with ExitStack() as stack:
            if processes.is_main:
                try:
                    if stack.enter_context(locked(self.path)):
                        self._remove_parts()
                except FolderInUse as error:
                    refused = f"{error}. Give another checkpoint_dir, or end that run first"
                except OSError as error:
                    refused = f"{self.path}: no checkpoint can be written here: {error}"
            refused = processes.all_gather(refused)[0]
            if refused:
                raise CheckpointError(refused)
            self._own = set(self.steps().values())
            yield

    def _named(self, fits: Callable[[os.DirEntry], bool]) -> list[Path]:
        """What there is with a checkpoint's name, the oldest first, as far as it fits."""
        with os.scandir(self.path) as entries:
            found = [(match[1], entry) for entry in entries if (match := NAME.fullmatch(entry.name)) and fits(entry)]
            return [self.path / entry.name for _, entry in sorted(found, key=lambda numbered: int(numbered[0]))]

    def _remove_parts(self) -> None:
        """Remove what runs have left that were killed while they saved. This one has the lock, so none writes on."""
        for path in self.path.iterdir():
            if PART.fullmatch(path.name):
                with suppress(OSError):  # it is a folder, or somebody else's
                    path.unlink()

    def steps(self) -> dict[int, Path]:
        """The files by the number of training batches that they were saved after, the oldest first."""
        paths = self._named(_is_file)
        return {int(match[1]): path for path in paths if (match := NAME.fullmatch(path.name))}

    def newest(self, check: Callable[[Checkpoint], None] = lambda checkpoint: None) -> Checkpoint | None:
        """The last checkpoint that is whole; ``None`` if there is no file at all. Damaged ones are named.

        Args:
            check: Raises `CheckpointError` for one that is not to be gone on from, either.

        Raises:
            CheckpointError: There are files, but none is whole.
        """
        damaged = []
        for path in reversed(self.steps().values()):
            try:
                checkpoint = read(path)
                check(checkpoint)
                return checkpoint
            except CheckpointError as error:
                damaged.append(str(error))
                print(f"Passing over a damaged checkpoint: {error}", file=sys.stderr)
        if damaged:
            remedy = "give another checkpoint_dir, or remove them to start from the beginning"
            raise CheckpointError("\n  ".join([f"{self.path}: none of the checkpoints is whole; {remedy}:", *damaged]))
        return None

    def save(self, step: int, arrays: Mapping[str, np.ndarray], state: Any) -> None:
        """Write a checkpoint, which is there under its name only once it is whole; then remove what is not kept.

        Arrays with ``nan`` in them are not saved: a line says so, and the checkpoints before stay.

        Args:
            step: Training batches that it is saved after.
            arrays: Its arrays by name.
            state: All else, as JSON can hold it; numbers may be NumPy's or a framework's.

        Raises:
            CheckpointError: It could not be written; the others are as they were.
        """
        path = self.path / f"step-{step:08}.safetensors"
        arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        lost = find_nan(arrays)
        if lost:
            print(f"No checkpoint after {step} batches: {lost}", file=sys.stderr)
            return
        if path not in self._own and path.is_file() and not path.is_symlink():
            raise CheckpointError(
                f"{path} is of another run, which uses this folder, too, and stays as it is: give each run a "
                "checkpoint_dir of its own"
            )
        text = as_json(state)
        try:
            content = save(arrays, {"d2l_checkpoint": FORMAT, "sha256": _digest(arrays, text), "state": text})
        except SafetensorError as error:
            raise CheckpointError(
                f"{path} could not be saved: {error}. Beside its arrays it takes {len(text) / 1e6:,.1f} MB."
            ) from error
        try:
            write_whole(path, content)
            self._own.add(path)
        except OSError as error:
            raise CheckpointError(
                f"{path} could not be saved: {error}. It takes {len(content) / 1e6:,.1f} MB. "
                "The checkpoints before it are as they were: make room and go on with resume=True."
            ) from error
        # A later one was passed over as damaged, and will be written again.
        for old in [own for number, own in self.steps().items() if number <= step and own in self._own][: -self.keep]:
            self._own.remove(old)
            try:
                old.unlink(missing_ok=True)
            except OSError as error:
                print(f"An old checkpoint stays, for it cannot be removed: {error}", file=sys.stderr)


def read(path: Path) -> Checkpoint:
    """Read a checkpoint. Its arrays are loaded only if its header is that of one.

    Raises:
        CheckpointError: The file is not there, is none of this format, or is damaged.
    """
    arrays, metadata = read_arrays(path, _check_format)
    if metadata.get("sha256") != _digest(arrays, metadata.get("state", "")):
        raise CheckpointError(f"{path}: its content is not what was saved: the SHA-256 differs")
    if lost := find_nan(arrays):
        raise CheckpointError(f"{path}: {lost}")
    return Checkpoint(path, arrays, _parsed(path, metadata))


def read_arrays(
    path: Path, check: Callable[[Path, Mapping[str, str]], None] = lambda path, metadata: None
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read the arrays and the metadata of a safetensors file.

    Args:
        path: The file.
        check: Looks at the metadata before the arrays are loaded.

    Raises:
        CheckpointError: The file is not there, is of another kind, or has arrays that NumPy cannot hold.
    """
    _check_file(path)
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            check(path, metadata)
            arrays = {name: _array(path, file, name) for name in file.keys()}  # noqa: SIM118, not iterable itself
    except (OSError, SafetensorError, MemoryError) as error:
        other = _other_kind(path)
        said = f"{other}, not a checkpoint" if other else quoted(str(error)) or type(error).__name__
        raise CheckpointError(f"{path}: {said}") from error
    return arrays, metadata


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there under its name only once it is whole.

    Raises:
        OSError: It could not be written; what was there before is as it was.
    """
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:  # which is new, and so no link
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the name without the content
        part.replace(path)
        _sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def model_arrays(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those of a checkpoint's arrays that are the model's, by their names in the model."""
    return {name.removeprefix("model/"): array for name, array in arrays.items() if name.startswith("model/")}


def _check_file(path: Path) -> None:
    """See that there is a file, and that this machine can hold its arrays."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    if stat.S_ISDIR(status.st_mode):
        example = path / "step-00000001.safetensors"
        raise CheckpointError(f"{path}: a folder (give a file of it, such as {example}), not a checkpoint")
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"{path}: {_kind(status.st_mode)}, not a checkpoint")
    memory = physical_memory()
    if status.st_size > memory:
        raise CheckpointError(
            f"{path}: its {status.st_size / 1e9:,.1f} GB are more than this machine's memory ({memory / 1e9:,.1f} GB)"
        )


def _check_format(path: Path, metadata: Mapping[str, str]) -> None:
    """See that a safetensors file's header is that of a checkpoint."""
    if "d2l_checkpoint" not in metadata and "framework" in metadata and "model" in metadata:
        raise CheckpointError(
            f"{path}: not a checkpoint, but the weights alone of a model ({quoted(metadata['model'])}), which "
            f"save_weights has written: model.load_weights({str(path)!r}) takes them"
        )
    if metadata.get("d2l_checkpoint") != FORMAT:
        of = f"of format {metadata['d2l_checkpoint']}" if "d2l_checkpoint" in metadata else "of another program"
        raise CheckpointError(
            f"{path}: not a checkpoint that this version of d2l has written, but a safetensors file {quoted(of)}: "
            "safetensors.numpy.load_file reads its arrays"
        )


def _array(path: Path, file: Any, name: str) -> np.ndarray:
    """An array of a file, of which NumPy may not have the type, or the shape."""
    try:
        return file.get_tensor(name)
    except (AttributeError, TypeError, ValueError) as error:
        described = file.get_slice(name)
        kind, shape = described.get_dtype(), described.get_shape()
        raise CheckpointError(
            f"{path}: {quoted(f'its array {name}, {kind} of shape {shape},')} is none that NumPy can hold"
        ) from error


def _parsed(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """The state in a checkpoint's metadata."""
    try:
        state = json.loads(metadata["state"])
    except KeyError as error:
        raise CheckpointError(f"{path}: its state is missing") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its state is no JSON that can be read: {quoted(str(error))}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: its state is a JSON {type(state).__name__}, and not an object")
    return state


def find_nan(arrays: Mapping[str, np.ndarray]) -> str:
    """Which arrays have ``nan`` in them, in words; nothing if none has."""
    with np.errstate(invalid="ignore"):
        lost = [name for name, x in arrays.items() if x.dtype.kind in "fc" and x.size and np.isnan(x.min())]
    return quoted(f"nan is in {', '.join(lost[:MOST_LINES])}") if lost else ""


def quoted(text: str) -> str:
    """Text of a file as a message can quote it: not endless, and with nothing that a terminal takes for an order."""
    return printable(text[:MOST_CHARACTERS]) + ("..." if len(text) > MOST_CHARACTERS else "")


def check_fits(path: Path, found: Mapping[str, Any], own: Mapping[str, Any], what: str) -> None:
    """Compare arrays of a file with those that they are for.

    Args:
        path: The file.
        found, own: The file's arrays and one's own, by name.
        what: What one's own are of, such as ``"model"``.

    Raises:
        CheckpointError: Names, shapes or types differ; the message lists them.
    """
    found, own = ({name: _described(array) for name, array in arrays.items()} for arrays in (found, own))
    lines = [f"{name} {own[name]} is missing in the file" for name in own if name not in found]
    lines += [f"{name} {found[name]} is in the file, but not in the {what}" for name in found if name not in own]
    lines += [
        f"{name} is {found[name]} in the file, {own[name]} in the {what}"
        for name in own
        if name in found and found[name] != own[name]
    ]
    if lines:
        more = [f"and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
        shown = [quoted(line) for line in lines[:MOST_LINES]]
        raise CheckpointError("\n  ".join([f"{path} does not fit this {what}:", *shown, *more]))


def pack(tree: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Dicts, lists, tuples and plain values, as JSON can hold them, with names in the place of arrays.

    Args:
        tree: What to pack.
        name: What names of arrays begin with.
        arrays: Takes the arrays by these names.

    Raises:
        CheckpointError: Something in it is none of these.
    """
    if hasattr(tree, "shape"):
        arrays[name] = to_numpy(tree)
        return {"array": name}
    if isinstance(tree, Mapping):
        return {"dict": [[key, pack(value, f"{name}/{key}", arrays)] for key, value in tree.items()]}
    if isinstance(tree, (list, tuple)):
        kind = "tuple" if isinstance(tree, tuple) else "list"
        return {kind: [pack(value, f"{name}/{i}", arrays) for i, value in enumerate(tree)]}
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    raise CheckpointError(f"{name} is of the type {type(tree).__name__}: a checkpoint holds arrays, numbers and text")


def pack_entries(
    entries: Mapping[str, Any], name: str, arrays: dict[str, np.ndarray], lost: list[str]
) -> dict[str, Any]:
    """What `pack` makes of each entry; those that no checkpoint can hold are left out, and named in ``lost``."""
    packed = {}
    for key, value in entries.items():
        try:
            packed[key] = pack(value, f"{name}/{key}", arrays)
        except CheckpointError:
            lost.append(f"{name}/{key} ({type(value).__name__})")
    return packed


def unpack(packed: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """What was packed, with the arrays in the place of their names."""
    if not isinstance(packed, dict):
        return packed
    ((kind, content),) = packed.items()
    if kind == "array":
        return arrays[content]
    if kind == "dict":
        return {key: unpack(value, arrays) for key, value in content}
    values = [unpack(value, arrays) for value in content]
    return tuple(values) if kind == "tuple" else values


def _described(array: Any) -> str:
    array = to_numpy(array)
    return f"{array.shape} {array.dtype}"


def _digest(arrays: Mapping[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {_described(arrays[name])}".encode())
        digest.update(arrays[name].reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


# How files begin that are taken for checkpoints: what each is, and what reads it.
OTHER_KINDS = (
    (
        rb"\x80[\x02-\x05][^\0]",
        "a pickle, such as an older torch.save makes (torch.load(path, weights_only=True) reads it)",
    ),
    (rb"\x93NUMPY", "an array of NumPy (numpy.load reads it)"),
    (rb"\x89HDF\r\n", "an HDF5 file, such as Keras's weights.h5 (model.load_weights of Keras reads it)"),
    (rb"\x12\x01\0{14}", "a .params file of MXNet (net.load_parameters reads it)"),
    (
        rb"[\x81-\x8f][\xa0-\xbf\xd9][^\0]",
        "a MessagePack file, as Flax makes (flax.serialization.msgpack_restore reads it)",
    ),
    (rb"\x1f\x8b\x08", "a gzip file"),
    (rb"version https://git-lfs", "a pointer of Git LFS (git lfs pull brings the file)"),
    (rb"(?i)\s*<(!doctype|html)", "an HTML page, perhaps of a download that failed"),
    (rb"\s*[{\[][^\0]", "a JSON file"),
    (rb"(?s).{257}ustar", "a tar file"),
    # Of a zip file, what it has in it first.
    (
        rb"(?s)PK\x03\x04.{26}[^\0]*data\.pkl",
        "a file of torch.save (torch.load(path, weights_only=True) reads it)",
    ),
    (
        rb"(?s)PK\x03\x04.{26}(metadata\.json|config\.json|model\.weights\.h5)",
        "a .keras file (keras.saving.load_model reads it)",
    ),
    (rb"(?s)PK\x03\x04.{26}[^\0]*\.npy", "an .npz file of NumPy (numpy.load reads it)"),
    (rb"PK\x03\x04|PK\x05\x06", "a zip file"),
)


def _other_kind(path: Path) -> str | None:
    """What a file is that is no safetensors file, if it says so at its beginning; nothing of it is decoded."""
    try:
        with path.open("rb") as file:
            beginning = file.read(264)
    except OSError:
        return None
    if not beginning:
        return "an empty file"
    if beginning[8:9] == b"{":  # after the length of a safetensors file's header, of any number
        return None
    return next((kind for pattern, kind in OTHER_KINDS if re.match(pattern, beginning)), None)


def _is_file(entry: os.DirEntry) -> bool:
    return entry.is_file(follow_symlinks=False)


def _kind(mode: int) -> str:
    """What something is that is no file, by its mode."""
    kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def _sync(folder: Path) -> None:
    """Have the names in a folder written to the disk, on systems that leave this to the program."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # which say that the file system has no such thing
            raise
    finally:
        os.close(descriptor)
