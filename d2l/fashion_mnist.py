"""The four files of Fashion-MNIST: find, check, fetch and read them.

Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
2017, arXiv:1708.07747 (MIT licence). The files have the IDX format that MNIST introduced.
"""

import gzip
import hashlib
import math
import operator
import os
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from .data_error import DataError
from .download import download, unpack
from .input_checks import printable
from .smoke_profile import Profile

# SHA-256 of each file's content after decompression: how a copy was compressed does not matter.
CHECKSUMS = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
# How many bytes that content has.
SIZES = {
    "train-images-idx3-ubyte": 16 + 60_000 * 28 * 28,
    "train-labels-idx1-ubyte": 8 + 60_000,
    "t10k-images-idx3-ubyte": 16 + 10_000 * 28 * 28,
    "t10k-labels-idx1-ubyte": 8 + 10_000,
}
SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")
SAMPLE_FOLDER = Path(__file__).parent / "sample"
ADDRESSES = (
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
)
MESSAGE_LENGTH = 300  # characters of what a server or a layer below says
NOT_THERE = ": not there"  # what is said of a place without the file
CLASSES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


def _as_stored(image: np.ndarray, label: int) -> tuple[np.ndarray, int]:
    return image, label


@dataclass(frozen=True)
class Images:
    """Labelled grey images. An index gives one of them with its label.

    Attributes:
        images: ``uint8`` of shape (n, height, width).
        labels: ``uint8`` of shape (n,), indices into `CLASSES`.
        transform: Makes what an index gives of an image (height, width) and its label: by default, these.
    """

    images: np.ndarray
    labels: np.ndarray
    transform: Callable[[np.ndarray, int], tuple[Any, int]] = _as_stored

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        index = operator.index(index)
        return self.transform(self.images[index], int(self.labels[index]))

    def first(self, n: int | None) -> "Images":
        """The first ``n`` images, or all of them if ``n`` is ``None``."""
        return replace(self, images=self.images[:n], labels=self.labels[:n])


def load_fashion_mnist(root: str | Path, profile: Profile) -> tuple[Images, Images]:
    """Read the training and the test set, fetching what is missing into the data folder.

    Args:
        root: The data folder; the variable ``D2L_DATA`` goes before it.
        profile: A smoke run reads the few real images that come with the package.

    Raises:
        DataError: A file is in none of the known places and could not be downloaded.
    """
    if profile.smoke:
        contents = (gzip.decompress((SAMPLE_FOLDER / f"{name}.gz").read_bytes()) for name in CHECKSUMS)
    else:
        contents = (_find(name, data_folder(root)) for name in CHECKSUMS)
    train_images, train_labels, test_images, test_labels = map(read_idx, contents)
    sets = Images(train_images, train_labels), Images(test_images, test_labels)
    train, test = (images.first(profile.images) for images in sets)
    return train, test


def data_folder(root: str | Path) -> Path:
    """The folder that data are looked for in first and fetched into."""
    return Path(os.path.expanduser(os.environ.get("D2L_DATA") or root))


def read_idx(content: bytes) -> np.ndarray:
    """Decode an IDX file of unsigned bytes.

    Raises:
        ValueError: The header is not that of such a file, or the length does not fit it.
    """
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise ValueError(f"not an IDX file of unsigned bytes: it starts with {content[:4].hex(' ')}")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise ValueError(f"the IDX file ends in its header, after {len(content):,} of {start:,} bytes")
    shape = np.frombuffer(content[4:start], ">u4").tolist()
    if len(content) != start + math.prod(shape):
        raise ValueError(f"the IDX header says {shape}, the file holds {len(content) - start:,} values")
    # A copy, since frameworks share an array's memory only if it may be written to.
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def _find(name: str, folder: Path) -> bytes:
    """The content of one file, from the first place that has it whole."""
    own = folder / "fashion-mnist" / f"{name}.gz"
    tried: list[str] = []
    for path in (own, folder / f"{name}.gz", SYSTEM_FOLDER / f"{name}.gz"):
        content = _read_checked(path, name, tried)
        if content is not None:
            return content
        if not tried[-1].endswith(NOT_THERE):
            print(f"Passing over a damaged file: {tried[-1]}", file=sys.stderr)
    try:
        own.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(own.with_suffix(".lock")):
            # Another process may have fetched the file while this one waited.
            content = _read_checked(own, name, [])
            return content if content is not None else _fetch(name, own, tried)
    except OSError as error:
        raise _not_found(name, own, [*tried, f"downloading into {own.parent}: {error}"]) from error


def _fetch(name: str, target: Path, tried: list[str]) -> bytes:
    """Download one file to ``target``, which changes only once the new content is whole."""
    for address in ADDRESSES:
        url = f"{address}/{name}.gz"
        try:
            compressed = download(url, _most_compressed(name))
            content = unpack(compressed, SIZES[name])
        except Exception as error:  # whatever an odd answer raises in the layers below
            tried.append(f"{url}: {printable(str(error) or repr(error))[:MESSAGE_LENGTH]}")
            continue
        actual = hashlib.sha256(content).hexdigest()
        if actual != CHECKSUMS[name]:
            tried.append(f"{url}: SHA-256 is {actual}, expected {CHECKSUMS[name]}")
            continue
        part = target.with_suffix(".part")
        part.unlink(missing_ok=True)  # of a process that was killed
        try:
            with open(part, "xb") as file:  # follows no link
                file.write(compressed)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return content
    raise _not_found(name, target, tried)


def _not_found(name: str, target: Path, tried: list[str]) -> DataError:
    places = "\n".join(f"  {line}" for line in tried)
    return DataError(
        f"Fashion-MNIST: no whole copy of {name}.gz. Tried:\n{places}\n"
        f"Put the file into {target.parent}, or install the Debian or Ubuntu package dataset-fashion-mnist, "
        "or set D2L_DATA to a folder that has it. D2L_PROFILE=smoke runs on images that come with the package."
    )


def _most_compressed(name: str) -> int:
    """How many bytes a file may have as a gzip file: little more than its content, even where that cannot be packed."""
    return SIZES[name] + SIZES[name] // 1000 + 1024


def _read_checked(path: Path, name: str, tried: list[str]) -> bytes | None:
    """The file's content if it is there and whole; else ``None``, with the reason added to ``tried``."""
    try:
        if not path.exists():
            tried.append(f"{path}{NOT_THERE}")
            return None
        if not path.is_file():
            raise OSError("not a file")
        if path.stat().st_size > _most_compressed(name):
            raise OSError(f"{path.stat().st_size:,} bytes are more than the file can have")
        content = unpack(path.read_bytes(), SIZES[name])
        actual = hashlib.sha256(content).hexdigest()
    except (OSError, EOFError, ValueError, zlib.error) as error:
        actual = f"not to be had ({error})"
    if actual == CHECKSUMS[name]:
        return content
    tried.append(f"{path}: SHA-256 of its content is {actual}, expected {CHECKSUMS[name]}")
    return None
