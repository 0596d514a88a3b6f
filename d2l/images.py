"""Labelled image files, in folders by class or in WebDataset shards: list them, decode them, augment them, batch them.

The augmentation is that of Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
networks", 2012, section 4.1. All random numbers are NumPy's, so that they are the same in every framework.
"""

import json
import os
import sys
import tarfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from .data import DataError
from .profile import Profile
from .workers import Workers

# Pillow tries no other decoder, whatever a file says that it is: some of them start other programs.
FORMATS = ("JPEG", "PNG", "WEBP")
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
LAYOUT = "{0}/train/CLASS/*.jpg and {0}/val/CLASS/*.jpg, or shards {0}/train/*.tar and {0}/val/*.tar"
MEMBERS = "Expected: for every image KEY.jpg a member KEY.cls"

# Of ImageNet's pixels in [0, 1], red, green, blue: the mean, and principal components as columns with their magnitudes.
# Published with fb.resnet.torch (Facebook, 2016, datasets/imagenet.lua), and used so by MXNet.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
MAGNITUDES = np.array([0.2175, 0.0188, 0.0045])
COMPONENTS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
COLOUR_DEVIATION = 0.1

BATCHES_AHEAD = 2  # decoded while the one before them is trained on
SMOKE_IMAGES = {"train": 256, "val": 128}
LABEL_DIGITS = 6
NAMES_SHOWN = 3


class Example(NamedTuple):
    """An image file, or a member of a shard, with its class.

    Attributes:
        file: The image file or the shard.
        label: Number of the class.
        member: Name in the shard. It is shown to people only, and never a path.
        start, size: The bytes of ``file`` that are the image; a size of -1 is all of them.
    """

    file: str
    label: int
    member: str = ""
    start: int = 0
    size: int = -1

    @property
    def name(self) -> str:
        """What to call the image in a message."""
        return f"{self.file}: {self.member}" if self.member else self.file

    def read(self) -> bytes:
        """The image as it is stored."""
        with open(self.file, "rb") as file:
            file.seek(self.start)
            return file.read(self.size)


@dataclass(frozen=True)
class ImageSet:
    """The images of a training or a validation set.

    Attributes:
        examples: The images, sorted by class or by shard.
        corrupt: Those that were found to be no whole image, by name, with the decoder's reason.
    """

    examples: Sequence[Example]
    corrupt: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.examples)


def list_images(root: str | Path, profile: Profile) -> tuple[list[str], ImageSet, ImageSet]:
    """The classes' names, the training set and the validation set that are in a folder.

    Of shards, each is read through once, from header to header; the names of their classes are the classes' numbers.

    Args:
        root: Has ``train`` and ``val``, each with a folder of images per class, or with shards: uncompressed tar files
            with members ``KEY.jpg`` and ``KEY.cls``, the number of the class in digits.
        profile: May limit the number of images; those taken are spread evenly over all.

    Raises:
        DataError: Something is not there or does not fit; the message says what was expected where.
    """
    folders = [Path(root) / part for part in SMOKE_IMAGES]
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder. Expected: {LAYOUT.format(root)}")
    shards = [sorted(folder.glob("*.tar")) for folder in folders]
    classes, sets = _list_shards(folders, shards) if any(shards) else _list_folders(folders)
    limits = SMOKE_IMAGES.values() if profile.smoke else [profile.images] * 2
    return classes, *(ImageSet(_spread(examples, limit)) for examples, limit in zip(sets, limits, strict=True))


def _list_folders(folders: Sequence[Path]) -> tuple[list[str], list[list[Example]]]:
    """The names of the classes, and the images of each folder."""
    found = [_images_by_class(folder) for folder in folders]
    _require_same_classes(folders, *found)
    _require_same_classes(folders[::-1], *found[::-1])
    classes = sorted(found[0])
    sets = [[Example(path, label) for label, name in enumerate(classes) for path in part[name]] for part in found]
    return classes, sets


def _images_by_class(folder: Path) -> dict[str, list[str]]:
    """The paths of the images in each sub-folder that has any."""
    found, loose = {}, 0
    for entry in os.scandir(folder):
        if entry.is_dir() and (images := [image.path for image in os.scandir(entry) if _is_image(image.name)]):
            found[entry.name] = sorted(images)
        loose += _is_image(entry.name)
    if not found:
        hint = f" It has {loose:,} images itself: sort them into folders by class." if loose else ""
        raise DataError(
            f"{folder}: no images. Expected: {folder}/CLASS/*.jpg ({', '.join(EXTENSIONS)}), or shards "
            f"{folder}/*.tar.{hint}"
        )
    return found


def _list_shards(folders: Sequence[Path], shards: Sequence[list[Path]]) -> tuple[list[str], list[list[Example]]]:
    """The numbers of the classes as names, and the images of each folder's shards."""
    for folder, files in zip(folders, shards, strict=True):
        if not files:
            raise DataError(f"{folder}: no shards. Expected: {LAYOUT.format(folder.parent)}")
        mixed = [path.name for path in folder.iterdir() if path.is_dir()]
        if mixed:
            raise DataError(
                f"{folder} has shards, such as {files[0].name}, and folders, such as {mixed[0]}: keep one kind"
            )
    sets = [[], []]
    with tqdm(total=sum(map(len, shards)), desc="reading shards", file=sys.stderr, leave=False) as bar:
        for examples, files in zip(sets, shards, strict=True):
            for file in files:
                examples += _list_shard(file)
                bar.update()
    train, val = ({example.label for example in examples} for examples in sets)
    # A small validation set may lack a class; what is never trained cannot be validated.
    _require_same_classes(folders[::-1], val, train)
    return [str(label) for label in range(max(train) + 1)], sets


def _list_shard(file: Path) -> list[Example]:
    """The images of one shard."""
    images, labels = {}, {}
    try:
        with tarfile.open(file, "r:") as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                extension = name.partition(".")[2]
                key = member.name.removesuffix(f".{extension}")
                if not member.isreg() or member.issparse() or name.startswith("."):
                    continue
                if f".{extension}".lower() in EXTENSIONS:
                    images[key] = member
                elif extension == "cls":
                    labels[key] = _read_label(file, member, tar)
    except tarfile.TarError as error:
        raise DataError(f"{file}: not a whole, uncompressed tar file ({error})") from error
    alone = next((key for key in (*images, *labels) if (key in images) != (key in labels)), None)
    if alone is not None:
        kind = "no label" if alone in images else "a label and no image"
        raise DataError(f"{file}: {alone} has {kind}. {MEMBERS}")
    if not images:
        raise DataError(f"{file}: no images. {MEMBERS}")
    return [Example(str(file), labels[key], m.name, m.offset_data, m.size) for key, m in images.items()]


def _read_label(file: Path, member: tarfile.TarInfo, tar: tarfile.TarFile) -> int:
    content = tar.extractfile(member).read(2 * LABEL_DIGITS).strip()
    if not content.isdigit() or len(content) > LABEL_DIGITS:
        raise DataError(f"{file}: {member.name} is {content!r}. Expected: a class number of 1 to {LABEL_DIGITS} digits")
    return int(content)


def _is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


def _require_same_classes(folders: Sequence[Path], these: Iterable[Any], those: Iterable[Any]) -> None:
    """Raises a `DataError` if not all classes of the first folder are those of the second, too."""
    missing = sorted(set(these) - set(those))
    if missing:
        names = _first_few([str(name) for name in missing])
        raise DataError(f"{folders[0]} has images of classes that have none in {folders[1]}: {names}")


def _first_few(names: Sequence[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _spread(examples: list[Example], limit: int | None) -> list[Example]:
    """At most ``limit`` examples, spread evenly: they are sorted by class."""
    n = min(limit or len(examples), len(examples))
    return [examples[i * len(examples) // n] for i in range(n)]


def decode(content: bytes, size: int) -> np.ndarray:
    """The central square of an image: (size, size, 3) ``uint8``, red, green, blue.

    The shorter side is resized to ``size``, bilinearly and smoothed. A photograph that says how it was held is turned
    upright; what is transparent shows white.

    Raises:
        Exception: The content is no whole image of a known format; the class is the decoder's choice.
    """
    with Image.open(BytesIO(content), formats=FORMATS) as image:
        # Of a JPEG that is far larger, a half or a quarter is decoded at once.
        image.draft(None, (2 * size, 2 * size))
        upright = ImageOps.exif_transpose(image)
    return np.asarray(ImageOps.fit(_as_rgb(upright), (size, size), Image.Resampling.BILINEAR))


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # grey in 16 bits, which Pillow would cut off at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def augment(square: np.ndarray, crop: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random part of an image, flipped half of the time, and a random shift of its colour.

    Args:
        square: Pixels (size, size, 3).
        crop: Height and width of the part.

    Returns:
        The part (crop, crop, 3), and what to add (3,) to its pixels in [0, 1]: multiples of the colours' principal
        components, each drawn from N(0, 0.1²) times the component's magnitude.
    """
    top, left = rng.integers(0, len(square) - crop + 1, 2)
    part = square[top : top + crop, left : left + crop]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    return part, COMPONENTS @ (MAGNITUDES * rng.normal(0, COLOUR_DEVIATION, 3))


def central(square: np.ndarray, crop: int) -> np.ndarray:
    """The middle (crop, crop, 3) of an image (size, size, 3)."""
    start = (len(square) - crop) // 2
    return square[start : start + crop, start : start + crop]


def ahead(pool: Executor, function: Callable[[Any], Any], items: Iterable[Any], count: int) -> Iterator[Any]:
    """Results of a function in the items' order, of which at most ``count`` wait or are computed ahead of need."""
    waiting: deque = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > count:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@dataclass(frozen=True)
class ImageLoader:
    """Iterate over images in batches, decoded in threads while the batches before them are trained on.

    Images that cannot be decoded are left out, which makes their batches smaller, and are named at the end of the epoch
    in which they are found. A file that cannot be read at all is an error, as a disk that fails would be.

    Attributes:
        images: The images.
        batch_size: Examples in a batch; the last one may be shorter.
        workers: The processes that train together: each batch given is this one's part of it.
        resize: What an image's shorter side is resized to.
        crop: Height and width of the images in a batch.
        augment: Whether to crop, flip and shift colours at random, which takes a seed.
        num_workers: Threads that decode.
        draw_seed: Gives the seed of an epoch's random numbers; without it, images come in order.
        make_batch: Makes a batch of pixels (n, crop, crop, 3) ``uint8``, of what to add (n, 3) ``float32`` to them in
            [0, 1], and of class numbers (n,).
    """

    images: ImageSet
    batch_size: int
    workers: Workers
    resize: int
    crop: int
    augment: bool
    num_workers: int
    draw_seed: Callable[[], int] | None
    make_batch: Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[Any, ...]]

    @property
    def examples(self) -> int:
        """Images in the data set."""
        return len(self.images)

    def __len__(self) -> int:
        return -(-self.examples // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self.after(0)

    def draw(self) -> int | None:
        """The seed of an epoch, if it has random numbers."""
        return self.draw_seed() if self.draw_seed else None

    def example(self) -> tuple[Any, ...]:
        """A batch of black images with the shapes of the others: nothing is drawn, and no file is read."""
        part = self.workers.part(min(self.examples, self.batch_size))
        return self.make_batch(*self._black(part.stop - part.start))

    def after(self, batches: int) -> Iterator[tuple[Any, ...]]:
        """What an epoch has after so many batches; the images of these are not read."""
        return self._batches(batches, self.draw())

    def _batches(self, first: int, seed: int | None) -> Iterator[tuple[Any, ...]]:
        known = len(self.images.corrupt)
        order = range(len(self.images))
        if seed is not None:
            order = np.random.default_rng(seed).permutation(len(self.images)).tolist()
        pool = ThreadPoolExecutor(self.num_workers, thread_name_prefix="decode")
        try:
            starts = range(first * self.batch_size, len(order), self.batch_size)
            batches = [order[start : start + self.batch_size] for start in starts]
            parts = [batch[self.workers.part(len(batch))] for batch in batches]
            wanted = chain.from_iterable(parts)
            most = BATCHES_AHEAD * max(map(len, parts), default=0)
            examples = ahead(pool, lambda index: self._load(index, seed), wanted, most)
            for part in parts:
                whole = [example for example in islice(examples, len(part)) if example is not None]
                if whole:
                    pixels, shifts, labels = zip(*whole, strict=True)
                    yield self.make_batch(np.stack(pixels), np.stack(shifts), np.array(labels))
                elif self.workers.count > 1:  # the other processes have parts of this batch
                    yield self.make_batch(*self._black(0))
        finally:
            # Also when the batches are not all asked for, or by Ctrl-C.
            pool.shutdown(cancel_futures=True)
            if self.workers.count == 1:
                self._name_corrupt(known)
        if self.workers.count > 1:  # all of which come to the end of an epoch
            for found in self.workers.gather(json.dumps(self.images.corrupt)):
                self.images.corrupt.update(json.loads(found))
            if self.workers.first:
                self._name_corrupt(known)
        if len(self.images.corrupt) == len(self.images):
            raise DataError(f"none of the {len(self.images):,} images can be decoded")

    def _black(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The arrays of a batch of ``n`` black images."""
        pixels = np.zeros((n, self.crop, self.crop, len(MEAN)), np.uint8)
        return pixels, np.zeros((n, len(MEAN)), np.float32), np.zeros(n, np.int64)

    def _load(self, index: int, seed: int | None) -> tuple[np.ndarray, np.ndarray, int] | None:
        """Pixels, what to add to them, and label of one image; ``None`` if it is corrupt."""
        example = self.images.examples[index]
        content = example.read()
        try:
            square = decode(content, self.resize)
        except MemoryError:  # is no fault of the image
            raise
        except Exception as error:  # decoders raise whatever comes to them over a broken file
            self.images.corrupt[example.name] = str(error) or type(error).__name__
            return None
        if seed is None or not self.augment:
            return central(square, self.crop), -MEAN, example.label
        part, shift = augment(square, self.crop, np.random.default_rng((seed, index)))
        return part, (shift - MEAN).astype(np.float32), example.label

    def _name_corrupt(self, known: int) -> None:
        """Say once which images have been found corrupt since there were ``known`` ones."""
        found = sorted(f"{name} ({reason})" for name, reason in list(self.images.corrupt.items())[known:])
        if found:
            line = f"{len(found):,} of {len(self.images):,} images are corrupt and left out: {_first_few(found)}"
            tqdm.write(line, file=sys.stderr)
