"""Files with a checkpoint's name that are none, are damaged, or lie: each kind made by code out of a whole one."""

import gzip
import io
import json
import os
import pickle
import random
import socket
import struct
import tarfile
import zipfile

import numpy as np
from safetensors.numpy import load, save

from d2l import checkpoint_file as checkpoint

F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
DEEP = 100_000


def header_of(content):
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])


def safetensors(header, data=b"", length=None):
    """A file of this header, which may be bytes that are none, and of a length that it may not have."""
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def forged(content, state=None, arrays=None, **metadata):
    """A checkpoint with another state, as a dict or as text, other arrays or other metadata, and the SHA-256 of that.

    Metadata of None are left out.
    """
    known = header_of(content)["__metadata__"]
    arrays = load(content) if arrays is None else arrays
    text = known["state"] if state is None else state if isinstance(state, str) else json.dumps(state)
    given = {**known, "state": text, "sha256": checkpoint._digest(arrays, text), **metadata}
    return save(arrays, {name: value for name, value in given.items() if value is not None})


def state_of(content):
    return json.loads(header_of(content)["__metadata__"]["state"])


def own(**header):
    """Metadata that say that this is a checkpoint."""
    return {"__metadata__": {"d2l_checkpoint": checkpoint.FORMAT, "state": "{}", "sha256": "0" * 64}, **header}


def zipped(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"a")
    return file.getvalue()


def tarred():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())
    return file.getvalue()


def numpy_file():
    file = io.BytesIO()
    np.save(file, np.zeros(2))
    return file.getvalue()


def foreign_files():
    """Files of other programs: by what they are, their content and what is to be said of it."""
    return {
        "torch.save": (zipped("archive/data.pkl", "archive/version"), r"torch\.save"),
        "npz": (zipped("a.npy"), r"\.npz"),
        "keras": (zipped("metadata.json", "config.json", "model.weights.h5"), r"\.keras"),
        "zip": (zipped("a.txt"), "a zip file"),
        "empty zip": (zipped(), "a zip file"),
        "zip whose directory is cut off": (zipped("a.npy")[:-30], r"\.npz"),
        "zip whose directory lies": (zipped("a.txt").replace(b"PK\1\2", rb"PK\9\9"), "a zip file"),
        "pickle": (pickle.dumps({"a": 1}), "a pickle"),
        "npy": (numpy_file(), "an array of NumPy"),
        "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
        "mxnet": (b"\x12\x01" + bytes(14) + b"\x01", r"\.params file of MXNet"),
        "flax": (b"\x81\xa1a\xc7", "MessagePack"),
        "gzip": (gzip.compress(bytes(100)), "gzip"),
        "tar": (tarred(), "a tar file"),
        "html": (b"<!DOCTYPE html><html>", "HTML page"),
        "json": (b'{"a": 1}', "a JSON file"),
        "json nested without end": (b"[" * DEEP, "a JSON file"),
        "lfs": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        "text": (b"hello, this is a text", "header"),
        "png": (b"\x89PNG\r\n\x1a\n" + bytes(200), "header"),
        "elf": (b"\x7fELF" + bytes(200), "header"),
        "empty": (b"", "an empty file"),
        "one byte": (b"\0", "header"),
        "zeros": (bytes(1000), "header"),
        "safetensors of another program": (save({"a": np.zeros(2, np.float32)}), "of another program"),
        "safetensors of transformers": (save({"a": np.zeros(2)}, {"format": "pt"}), "of another program"),
    }


def headers():
    """Safetensors files whose headers are none, or lie."""
    huge = "x" * 10_000
    return {
        "length beyond the file": (safetensors(b"{}", length=1000), "header"),
        "length of 2^63": (safetensors({}, length=2**63), "header too large"),
        "length of 2^64 - 1": (safetensors({}, length=2**64 - 1), "header too large"),
        "length beyond the format": (safetensors({}, length=100_000_001), "header too large"),
        "length of nothing": (safetensors(b""), "header"),
        "no JSON": (safetensors(b"{hello"), "JSON"),
        "a list": (safetensors([]), "JSON"),
        "a number": (safetensors(b"7"), "header"),
        "null": (safetensors(b"null"), "header"),
        "lists nested without end": (safetensors(b"[" * DEEP), "JSON"),
        "objects nested without end": (safetensors(b'{"a":' * DEEP), "recursion"),
        "no UTF-8": (safetensors(b'{"\xe9":1}'), "UTF-8"),
        "half a surrogate": (
            safetensors(b'{"\\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)),
            "JSON",
        ),
        "metadata of numbers": (safetensors({"__metadata__": {"a": 1}}), "JSON"),
        "metadata of a list": (safetensors({"__metadata__": []}), "JSON"),
        "metadata nested": (safetensors({"__metadata__": {"a": {"b": "c"}}}), "JSON"),
        "offsets that overlap": (safetensors(own(a=F32, b=F32), bytes(4)), "offset"),
        "offsets with a gap": (safetensors(own(a={**F32, "data_offsets": [4, 8]}), bytes(8)), "offset"),
        "offsets the wrong way": (safetensors(own(a={**F32, "data_offsets": [4, 0]}), bytes(4)), "offset"),
        "offsets below zero": (safetensors(own(a={**F32, "data_offsets": [-4, 0]}), bytes(4)), "JSON"),
        "offsets beyond the file": (safetensors(own(a=F32)), "not fully covered"),
        "bytes behind the last": (safetensors(own(a=F32), bytes(8)), "not fully covered"),
        "a size below zero": (safetensors(own(a={**F32, "shape": [-1]}), bytes(4)), "JSON"),
        "a shape beyond its bytes": (safetensors(own(a={**F32, "shape": [2]}), bytes(4)), "invalid shape"),
        "a shape without limit": (safetensors(own(a={**F32, "shape": [2**62, 4]}), bytes(4)), "overflow"),
        "nothing of endless length": (
            safetensors(own(a={**F32, "shape": [2**62, 0], "data_offsets": [0, 0]})),
            "none that NumPy can hold",
        ),
        "a hundred axes": (safetensors(own(a={**F32, "shape": [1] * 100}), bytes(4)), "none that NumPy can hold"),
        "a type that there is not": (safetensors(own(a={**F32, "dtype": "Q7"}), bytes(4)), "Q7"),
        "a type with an endless name": (safetensors(own(a={**F32, "dtype": huge}), bytes(4)), r"\.\.\."),
        "float8": (
            safetensors(own(a={**F32, "dtype": "F8_E4M3", "shape": [4]}), bytes(4)),
            "F8_E4M3.* none that NumPy",
        ),
        "float4": (safetensors(own(a={**F32, "dtype": "F4", "shape": [8]}), bytes(4)), "F4.* none that NumPy"),
        "a name that orders the terminal about": (
            safetensors(own(**{"\x1b[2J\x07": {**F32, "dtype": "F4", "shape": [8]}}), bytes(4)),
            r"\\x1b\[2J",
        ),
        "no SHA-256": (safetensors({"__metadata__": {"d2l_checkpoint": checkpoint.FORMAT}}), "SHA-256 differs"),
        "another SHA-256": (safetensors(own(a=F32), bytes(4)), "SHA-256 differs"),
        "another format": (safetensors({"__metadata__": {"d2l_checkpoint": "9"}}), "of format 9"),
        "a format that orders the terminal about": (
            safetensors({"__metadata__": {"d2l_checkpoint": "\x1b]0;x\x07"}}),
            r"of format \\x1b",
        ),
        "a format of endless length": (safetensors({"__metadata__": {"d2l_checkpoint": huge}}), r"of format x+\.\.\."),
    }


def damaged(content, seed=0):
    """A whole checkpoint, cut off or with other bytes somewhere."""
    draw = random.Random(seed)
    header = 8 + int.from_bytes(content[:8], "little")
    cuts = {
        "the length": 4,
        "the header": header // 2,
        "the header's end": header,
        "the arrays": (header + len(content)) // 2,
    }
    cases = {f"cut off in {name}": (content[:place], "") for name, place in cuts.items()}
    for i in range(20):
        place = draw.randrange(8, len(content))
        other = content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]
        cases[f"byte {i} changed"] = (other, "")
    return cases


def lost(content):
    """Checkpoints of a run that was lost: full of nan."""
    arrays = load(content)
    floats = {name: array for name, array in arrays.items() if array.dtype.kind == "f"}
    full = {name: np.full_like(array, np.nan) for name, array in floats.items()}
    cases = {"full of nan": (forged(content, arrays={**arrays, **full}), "nan is in model/")}
    for name, array in floats.items():
        one = array.copy()
        one.flat[-1] = np.nan
        cases[f"one nan in {name}"] = (forged(content, arrays={**arrays, name: one}), "nan is in ")
    return cases


def texts(content):
    """Checkpoints whose SHA-256 is right, and whose state is none."""
    state = "its state is "
    return {
        "without a state": (forged(content, state="", **{"sha256": None}), "SHA-256 differs"),
        "with no state but its SHA-256": (save({}, own_of_nothing()), f"{state}missing"),
        "an empty state": (forged(content, state=" "), f"{state}no JSON"),
        "a state cut off": (forged(content, state=json.dumps(state_of(content))[:-1]), f"{state}no JSON"),
        "a state nested without end": (forged(content, state="[" * DEEP), f"{state}no JSON"),
        "objects nested without end": (forged(content, state='{"a":' * DEEP), f"{state}no JSON"),
        "a state of one endless number": (forged(content, state="1" * 10_000), f"{state}no JSON"),
        "a state of text": (forged(content, state='"run"'), f"{state}a JSON str"),
        "a state of null": (forged(content, state="null"), f"{state}a JSON NoneType"),
        "a state of a list": (forged(content, state="[1]"), f"{state}a JSON list"),
        "a state of nan": (forged(content, state="NaN"), f"{state}a JSON float"),
    }


def own_of_nothing():
    return {"d2l_checkpoint": checkpoint.FORMAT, "sha256": checkpoint._digest({}, "")}


def nested(depth):
    tree = 0
    for _ in range(depth):
        tree = {"list": [tree]}
    return tree


def states(content):
    """Checkpoints whose SHA-256 is right, and from whose state no run can go on."""
    whole = state_of(content)
    (random_state,) = whole["random"]
    version, numbers, gauss = random_state["python"]
    kind, keys, place, *rest = random_state["numpy"]

    def of_random(**parts):
        return {"random": [{**random_state, **parts}]}

    def of_board(**parts):
        return {"board": {**whole["board"], **parts}}

    average = {"points": [[0.5, 1.0]], "weight": 1.0, "x": 0.5, "y": 1.0}
    changes = {
        "run a list": {"run": []},
        "epoch text": {"epoch": "1"},
        "epoch below zero": {"epoch": -1},
        "epoch true": {"epoch": True},
        "epoch half": {"epoch": 0.5},
        "epoch beyond all runs": {"epoch": 2**63},
        "batch null": {"batch": None},
        "optimizer of a kind that there is not": {"optimizer": {"code": "1"}},
        "optimizer of two kinds": {"optimizer": {"list": [], "dict": []}},
        "optimizer of no kind": {"optimizer": {}},
        "optimizer of a bare list": {"optimizer": [1]},
        "optimizer of an array that is missing": {"optimizer": {"array": "model/none"}},
        "optimizer of an array with a list for a name": {"optimizer": {"array": ["a"]}},
        "optimizer of pairs that are none": {"optimizer": {"dict": [["a"]]}},
        "optimizer with lists for names": {"optimizer": {"dict": [[["a"], 1]]}},
        "optimizer nested deep": {"optimizer": nested(400)},
        "schedulers a list": {"schedulers": [1]},
        "schedulers of numbers": {"schedulers": {"a": 1}},
        "schedulers of a kind that there is not": {"schedulers": {"a": {"b": {"code": 1}}}},
        "random empty": {"random": []},
        "random a number": {"random": [7]},
        "random of Python cut off": of_random(python=[version, numbers[:-1], gauss]),
        "random of Python of another version": of_random(python=[99, numbers, gauss]),
        "random of Python with a text": of_random(python=[version, numbers, "x"]),
        "random of Python beyond its numbers": of_random(python=[version, [2**70] * 625, gauss]),
        "random of NumPy cut off": of_random(numpy=[kind, keys[:-1], place, *rest]),
        "random of NumPy of another kind": of_random(numpy=["PCG64", keys, place, *rest]),
        "random of NumPy behind its numbers": of_random(numpy=[kind, keys, 10**6, *rest]),
        "random of NumPy before its numbers": of_random(numpy=[kind, keys, -5, *rest]),
        "random of NumPy null": of_random(numpy=None),
        "random of the epoch a text": {"epoch_random": ["a"]},
        "random of the epoch unknown in its middle": {"epoch_random": [None], "batch": 1},
        "random of the epoch for fewer processes": {"epoch_random": [random_state], "random": 2 * [random_state]},
        "board a list": {"board": []},
        "board with curves of text": of_board(curves={"train_loss": "abc"}),
        "board with points beyond floats": of_board(curves={"train_loss": [[1, 10**4000]]}),
        "board with points of three": of_board(curves={"train_loss": [[1, 2, 3]]}),
        "board with pending of nothing": of_board(pending={"train_loss": {}}),
        "board with pending without points": of_board(pending={"train_loss": {**average, "points": []}}),
        "board with pending of text": of_board(pending={"train_loss": {**average, "weight": "1"}}),
        "board with pending of no weight known": of_board(pending={"train_loss": {**average, "weight": float("nan")}}),
        "board with pending of less than no weight": of_board(pending={"train_loss": {**average, "weight": -1.0}}),
        "board with pending without end": of_board(pending={"val_loss": {**average, "x": float("inf")}}),
        "board with a loss of nan": of_board(pending={"train_loss": {**average, "y": float("nan")}}),
        "board with a loss without end": of_board(pending={"train_loss": {**average, "y": float("inf")}}),
        "progress a number": {"progress": 1},
        "progress of text": {"progress": {"train_examples": "1", "train_seconds": 1.0}},
        "progress beyond floats": {"progress": {"train_examples": 10**400, "train_seconds": 10**400}},
        "progress without end": {"progress": {"train_examples": 1, "train_seconds": float("inf")}},
        "progress below zero": {"progress": {"train_examples": -1, "train_seconds": 1.0}},
    }
    cases = {name: (forged(content, {**whole, **change}), next(iter(change))) for name, change in changes.items()}
    for part in ("run", "epoch", "batch", "optimizer", "random", "epoch_random", "board", "progress"):
        rest_of = {name: value for name, value in whole.items() if name != part}
        cases[f"{part} missing"] = (forged(content, rest_of), f"its {part} is missing")
    return cases


def with_numbers(tree, value):
    """What `d2l.checkpoint_file.pack` made, with another value in the place of all numbers that are no flags."""
    if isinstance(tree, dict):
        ((kind, content),) = tree.items()
        if kind == "dict":
            return {kind: [[key, with_numbers(part, value)] for key, part in content]}
        return tree if kind == "array" else {kind: [with_numbers(part, value) for part in content]}
    return value if type(tree) in (int, float) else tree


def misfits(content):
    """Checkpoints of a run with an optimizer that has a state, from which that run cannot go on."""
    whole, arrays = state_of(content), load(content)
    of_optimizer = {name: np.stack([x, x]) for name, x in arrays.items() if name.startswith("optimizer/")}
    yield "arrays of other shapes", forged(content, arrays=arrays | of_optimizer)
    yield "no optimizer", forged(content, {**whole, "optimizer": None})
    for value in (float("nan"), float("inf"), 2**63, "x", None):
        optimizer = with_numbers(whole["optimizer"], value)
        schedulers = {
            name: {key: with_numbers(entry, value) for key, entry in entries.items()}
            for name, entries in whole["schedulers"].items()
        }
        for name, part in (("optimizer", optimizer), ("schedulers", schedulers)):
            if part != whole[name]:
                yield f"{value} in the place of each number of its {name}", forged(content, {**whole, name: part})


# What has a checkpoint's name and is no file: how it is made at a path, beside a file that a link may point to.


def make_socket(path, _):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


PLACES = {
    "a FIFO": lambda path, _: os.mkfifo(path),
    "a folder": lambda path, _: path.mkdir(),
    "a folder that is full": lambda path, other: (path.mkdir(), (path / "a").write_bytes(b"a")),
    "a link to a checkpoint": lambda path, other: path.symlink_to(other),
    "a link to nothing": lambda path, other: path.symlink_to("nothing"),
    "a link to itself": lambda path, other: path.symlink_to(path.name),
    "a link to a device": lambda path, other: path.symlink_to("/dev/zero"),
    "a link to a folder": lambda path, other: path.symlink_to("."),
    "a socket": make_socket,
}
