"""Checkpoints of a training run: files that are whole or not there, with nothing in them but numbers and text.

A checkpoint is one file in the safetensors format. It has the arrays of the model and of the optimizer by name and, as
JSON in its metadata, all else that the run goes on from: its place, random states, curves. A SHA-256 over all of
this tells a damaged file from a whole one.
"""

import errno
import hashlib
import json
import os
import random
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .plotting import to_numpy

FORMAT = "2"
NAME = re.compile(r"step-(\d+)\.safetensors")
PART = "checkpoint.part"
MOST_LINES = 20


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
        return {name.removeprefix("model/"): array for name, array in self.arrays.items() if name.startswith("model/")}


class CheckpointFolder:
    """The checkpoints of one run, of which the last few are kept.

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
        except OSError as error:
            raise CheckpointError(f"{path}: no checkpoint can be written here: {error}") from error

    def steps(self) -> dict[int, Path]:
        """The files by the number of training batches that they were saved after, the oldest first."""
        found = {int(match[1]): path for path in self.path.iterdir() if (match := NAME.fullmatch(path.name))}
        return dict(sorted(found.items()))

    def newest(self) -> Checkpoint | None:
        """The last checkpoint that is whole; ``None`` if there is no file at all. Damaged ones are named.

        Raises:
            CheckpointError: There are files, but none is whole.
        """
        damaged = []
        for path in reversed(self.steps().values()):
            try:
                return read(path)
            except CheckpointError as error:
                damaged.append(str(error))
                print(f"Passing over a damaged checkpoint: {error}", file=sys.stderr)
        if damaged:
            remedy = "give another checkpoint_dir, or remove them to start from the beginning"
            raise CheckpointError("\n  ".join([f"{self.path}: none of the checkpoints is whole; {remedy}:", *damaged]))
        return None

    def save(self, step: int, arrays: Mapping[str, np.ndarray], state: Any) -> None:
        """Write a checkpoint, which is there under its name only once it is whole; then remove what is not kept.

        Args:
            step: Training batches that it is saved after.
            arrays: Its arrays by name.
            state: All else, as JSON can hold it; numbers may be NumPy's or a framework's.

        Raises:
            CheckpointError: It could not be written; the others are as they were.
        """
        path, part = self.path / f"step-{step:08}.safetensors", self.path / PART
        arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        text = as_json(state)
        content = save(arrays, {"d2l_checkpoint": FORMAT, "sha256": _digest(arrays, text), "state": text})
        try:
            try:
                with part.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())  # else a power cut may leave the name without the content
                part.replace(path)
                _sync(self.path)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise CheckpointError(
                f"{path} could not be saved: {error}. It takes {len(content) / 1e6:,.1f} MB. "
                "The checkpoints before it are as they were: make room and go on with resume=True."
            ) from error
        # A later one was passed over as damaged, and will be written again.
        for old in [path for number, path in self.steps().items() if number <= step][: -self.keep]:
            old.unlink(missing_ok=True)


def read(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: The file is not there, is none of this format, or is damaged.
    """
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not iterable itself
    except (OSError, SafetensorError) as error:
        other = _other_kind(path)
        raise CheckpointError(f"{path}: {f'{other}, not a checkpoint' if other else error}") from error
    if metadata.get("d2l_checkpoint") != FORMAT:
        of = f"of format {metadata['d2l_checkpoint']}" if "d2l_checkpoint" in metadata else "of another program"
        raise CheckpointError(
            f"{path}: not a checkpoint that this version of d2l has written, but a safetensors file {of}: "
            "safetensors.numpy.load_file reads its arrays"
        )
    if metadata.get("sha256") != _digest(arrays, metadata.get("state", "")):
        raise CheckpointError(f"{path}: its content is not what was saved: the SHA-256 differs")
    return Checkpoint(path, arrays, json.loads(metadata["state"]))


def check_fits(path: Path, found: Mapping[str, np.ndarray], own: Mapping[str, Any], what: str) -> None:
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
    if len(lines) > MOST_LINES:
        lines[MOST_LINES:] = [f"and {len(lines) - MOST_LINES} more"]
    if lines:
        raise CheckpointError("\n  ".join([f"{path} does not fit this {what}:", *lines]))


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


def unpack(packed: Any, arrays: Mapping[str, np.ndarray], tensor: Callable[[np.ndarray], Any]) -> Any:
    """What was packed, with what ``tensor`` makes of the arrays."""
    if not isinstance(packed, dict):
        return packed
    ((kind, content),) = packed.items()
    if kind == "array":
        return tensor(arrays[content])
    if kind == "dict":
        return {key: unpack(value, arrays, tensor) for key, value in content}
    values = [unpack(value, arrays, tensor) for value in content]
    return tuple(values) if kind == "tuple" else values


def as_json(state: Any) -> str:
    """A state as JSON; numbers may be NumPy's or a framework's."""
    return json.dumps(state, default=lambda number: to_numpy(number).tolist())


def random_states() -> dict[str, Any]:
    """The random states of Python and NumPy, as JSON can hold them."""
    kind, keys, *rest = np.random.get_state()
    return {"python": random.getstate(), "numpy": [kind, keys.tolist(), *rest]}


def set_random_states(states: Mapping[str, Any]) -> None:
    """Go on from such states."""
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    np.random.set_state(tuple(states["numpy"]))


def generator_state(generator: Any) -> Any:
    """The state of a random generator of Python's or NumPy's, as JSON can hold it."""
    if isinstance(generator, random.Random):
        return generator.getstate()
    if isinstance(generator, np.random.RandomState):
        return generator.get_state(legacy=False)
    return generator.bit_generator.state


def set_generator_state(generator: Any, state: Any) -> None:
    """Have such a generator go on from such a state."""
    if isinstance(generator, random.Random):
        version, numbers, gauss = state
        generator.setstate((version, tuple(numbers), gauss))
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.bit_generator.state = state


def _described(array: Any) -> str:
    array = to_numpy(array)
    return f"{array.shape} {array.dtype}"


def _digest(arrays: Mapping[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {_described(arrays[name])}".encode())
        digest.update(arrays[name].reshape(-1).view(np.uint8))
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
)
# And, of a zip file, what it has in it.
ZIPPED = (
    (r".*data\.pkl", "a file of torch.save (torch.load(path, weights_only=True) reads it)"),
    (r"model\.weights\.h5|config\.json", "a .keras file (keras.saving.load_model reads it)"),
    (r".*\.npy", "an .npz file of NumPy (numpy.load reads it)"),
)


def _other_kind(path: Path) -> str | None:
    """What a file is that is no safetensors file, if its content says so; nothing of it is decoded."""
    if path.is_dir():
        return f"a folder (give a file of it, such as {path / 'step-00000001.safetensors'})"
    if not path.is_file():
        return None
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
        return next((kind for name, kind in ZIPPED if any(re.fullmatch(name, own) for own in names)), "a zip file")
    with path.open("rb") as file:
        beginning = file.read(264)
    if not beginning:
        return "an empty file"
    if beginning[8:9] == b"{":  # after the length of a safetensors file's header, of any number
        return None
    return next((kind for pattern, kind in OTHER_KINDS if re.match(pattern, beginning)), None)


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
