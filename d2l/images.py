"""Labelled image files: augment them, batch them.

The augmentation is that of Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
networks", 2012, section 4.1. All random numbers are NumPy's, so that they are the same in every framework.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np

from .data_error import DataError
from .decoding import DECODE_MEMORY, CorruptImageError, Memory, load
from .image_folders import ImageSet, first_few, print_line
from .process_group import ProcessGroup

# Of ImageNet's pixels in [0, 1], red, green, blue: the mean, and principal components as columns with their magnitudes.
# Published with fb.resnet.torch (Facebook, 2016, datasets/imagenet.lua), and used so by MXNet.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
MAGNITUDES = np.array([0.2175, 0.0188, 0.0045])
COMPONENTS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
COLOUR_DEVIATION = 0.1

BATCHES_AHEAD = 2  # decoded while the one before them is trained on


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
        processes: The processes that train together: each batch given is this one's part of it.
        resize: What an image's shorter side is resized to.
        crop: Height and width of the images in a batch.
        augment: Whether to crop, flip and shift colours at random, which takes a seed.
        num_workers: Threads that decode.
        draw_seed: Gives the seed of an epoch's random numbers; without it, images come in order.
        collate: Makes a batch of pixels (n, crop, crop, 3) ``uint8``, of what to add (n, 3) ``float32`` to them in
            [0, 1], and of class numbers (n,).
        on_corrupt: Takes the images that an epoch has found corrupt, by name, with the reasons.
        decode_memory: Bytes that all threads together may decode in. An image that takes more alone counts as corrupt.
    """

    images: ImageSet
    batch_size: int
    processes: ProcessGroup
    resize: int
    crop: int
    augment: bool
    num_workers: int
    draw_seed: Callable[[], int] | None
    collate: Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[Any, ...]]
    on_corrupt: Callable[[Mapping[str, str]], None] = lambda found: None
    decode_memory: int = DECODE_MEMORY

    @property
    def examples(self) -> int:
        """Images in the data set."""
        return len(self.images)

    def __len__(self) -> int:
        return -(-self.examples // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self.iter_from(0)

    def draw(self) -> int | None:
        """The seed of an epoch, if it has random numbers."""
        return self.draw_seed() if self.draw_seed else None

    def example(self) -> tuple[Any, ...]:
        """A batch of black images with the shapes of the others: nothing is drawn, and no file is read."""
        part = self.processes.shard(min(self.examples, self.batch_size))
        return self.collate(*self._black(part.stop - part.start))

    def iter_from(self, batches: int) -> Iterator[tuple[Any, ...]]:
        """What an epoch has after so many batches; the images of these are not read."""
        return self._batches(batches, self.draw())

    def _batches(self, first: int, seed: int | None) -> Iterator[tuple[Any, ...]]:
        known = len(self.images.corrupt)
        order = range(len(self.images))
        if seed is not None:
            order = np.random.default_rng(seed).permutation(len(self.images)).tolist()
        memory = Memory(self.decode_memory)
        pool = ThreadPoolExecutor(self.num_workers, thread_name_prefix="decode")
        try:
            starts = range(first * self.batch_size, len(order), self.batch_size)
            batches = [order[start : start + self.batch_size] for start in starts]
            parts = [batch[self.processes.shard(len(batch))] for batch in batches]
            wanted = chain.from_iterable(parts)
            most = BATCHES_AHEAD * max(map(len, parts), default=0)
            examples = ahead(pool, lambda index: self._load(index, seed, memory), wanted, most)
            for part in parts:
                whole = [example for example in islice(examples, len(part)) if example is not None]
                if whole:
                    pixels, shifts, labels = zip(*whole, strict=True)
                    yield self.collate(np.stack(pixels), np.stack(shifts), np.array(labels))
                elif self.processes.world_size > 1:  # the other processes have parts of this batch
                    yield self.collate(*self._black(0))
        finally:
            # Also when the batches are not all asked for, or by Ctrl-C.
            pool.shutdown(cancel_futures=True)
            if self.processes.world_size == 1:
                self._name_corrupt(known)
        if self.processes.world_size > 1:  # all of which come to the end of an epoch
            for found in self.processes.all_gather(json.dumps(self.images.corrupt)):
                self.images.corrupt.update(json.loads(found))
            if self.processes.is_main:
                self._name_corrupt(known)
        if len(self.images.corrupt) == len(self.images):
            raise DataError(f"none of the {len(self.images):,} images can be decoded")

    def _black(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The arrays of a batch of ``n`` black images."""
        pixels = np.zeros((n, self.crop, self.crop, len(MEAN)), np.uint8)
        return pixels, np.zeros((n, len(MEAN)), np.float32), np.zeros(n, np.int64)

    def _load(self, index: int, seed: int | None, memory: Memory) -> tuple[np.ndarray, np.ndarray, int] | None:
        """Pixels, what to add to them, and label of one image; ``None`` if it is corrupt."""
        example = self.images.examples[index]
        try:
            square = load(example, self.resize, memory)
        except CorruptImageError as error:
            self.images.corrupt[example.name] = error.reason
            return None
        if seed is None or not self.augment:
            return central(square, self.crop), -MEAN, example.label
        part, shift = augment(square, self.crop, np.random.default_rng((seed, index)))
        return part, (shift - MEAN).astype(np.float32), example.label

    def _name_corrupt(self, known: int) -> None:
        """Say once which images have been found corrupt since there were ``known`` ones."""
        found = dict(sorted(list(self.images.corrupt.items())[known:]))
        if found:
            names = first_few([f"{name} ({reason})" for name, reason in found.items()])
            print_line(f"{len(found):,} of {len(self.images):,} images are corrupt and left out: {names}")
            self.on_corrupt(found)
