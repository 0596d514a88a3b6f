"""Data sets and their loaders, in every framework."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from . import input_checks
from .batches import BatchLoader, resize_matrix
from .decoding import DECODE_MEMORY, Memory, load
from .fashion_mnist import CLASSES, Images, load_fashion_mnist
from .hyperparameters import HyperParameters
from .image_folders import Example, list_images, print_line
from .images import MEAN, ImageLoader, central
from .input_checks import check_share, check_size, check_whole
from .machine import usable_processors
from .plotting import show_images, to_numpy
from .process_group import ProcessGroup
from .smoke_profile import current_profile

Collate = Callable[..., tuple[Any, ...]]  # takes the examples of a batch from each tensor of a data set


class DataModule(HyperParameters):
    """Base class of data sets: a subclass defines `get_dataloader`, and sets ``self.batch_size``.

    Args:
        root: The data folder.
        num_workers: Worker processes, for data loaders that use them: by default four, or one for each processor that
            this process may use if these are fewer.
    """

    # Where the tensors of new loaders go, and who takes parts of their batches: a trainer sets its own.
    _device: Any = None
    _processes: ProcessGroup = ProcessGroup()
    root: str
    num_workers: int
    batch_size: int  # a subclass's

    def __init__(self, root: str = "../data", num_workers: int = min(4, usable_processors())):
        self.save_hyperparameters()

    def get_dataloader(self, train: bool) -> Any:
        """An iterable over batches of the training or the validation set: for a subclass to define.

        A batch is a tuple of tensors of the framework: the inputs, each (n, ...), and last the targets, (n, ...). The
        iterable has a length, the number of its batches. `get_tensorloader` makes one of tensors in memory; a loader
        of the framework's own will do as well.

        Args:
            train: Which set it is of.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no get_dataloader(train)")

    def train_dataloader(self) -> Any:
        """Batches of the training set, in a new order each epoch."""
        return self.get_dataloader(train=True)

    def val_dataloader(self) -> Any:
        """Batches of the validation set, in order."""
        return self.get_dataloader(train=False)

    def get_tensorloader(self, tensors: Sequence[Any], train: bool, indices: slice = slice(None)) -> BatchLoader:
        """Batches of ``self.batch_size`` examples from tensors whose first axis counts the examples.

        In training, the tensors are brought to the device whole, and batches are taken from them there. A batch has
        the framework's own tensors, of the dtypes that they were given in (in JAX, 32 bits for 64): layers take inputs
        of ``float32``, so give NumPy's ``float64`` as ``X.astype("float32")``.

        Args:
            tensors: The framework's tensors or NumPy arrays, such as inputs and targets, or one alone; a batch has a
                part of each.
            train: Whether to shuffle anew each epoch.
            indices: The examples to take.

        Raises:
            TypeError: They are no tuple or list, or one of them is neither a tensor of this framework nor an array.
            ValueError: The tensors have different numbers of examples.
        """
        tensors = (tensors,) if hasattr(tensors, "shape") else tensors
        if not input_checks.is_tensors(tensors):
            raise TypeError(
                f"{type(self).__name__}.get_tensorloader got {input_checks.describe(tensors)}: give a tuple or list of "
                "tensors, such as (X, y)"
            )
        tensors = tuple(tensor[indices] for tensor in tensors)
        if len({len(tensor) for tensor in tensors}) != 1:
            raise ValueError(f"tensors with different numbers of examples: {[len(tensor) for tensor in tensors]}")
        return self._loader(tensors, train, lambda *batch: batch)

    def _loader(self, tensors: Sequence[Any], train: bool, collate: Collate) -> BatchLoader:
        """Batches that ``collate`` makes of the examples taken from each tensor.

        Raises:
            ValueError: ``batch_size`` is no positive whole number.
        """
        if not hasattr(self, "batch_size"):
            raise AttributeError(
                f"{type(self).__name__} has no batch_size: set it in __init__, as self.save_hyperparameters() does of "
                "an argument of that name"
            )
        check_whole("batch_size", self.batch_size, 1)
        examples = len(tensors[0])
        tensors = [self._placed(tensor) for tensor in tensors]
        device, processes = self._device, self._processes
        full = processes.shard(min(examples, self.batch_size))

        def draw() -> Any:
            own = self._sample_indices(examples, train, device)
            if processes.world_size == 1:
                return own
            shared = processes.broadcast(to_numpy(own))
            return shared if isinstance(own, np.ndarray) else self._on_device(shared, device)

        def gather_batch(indices: Any) -> tuple[Any, ...]:
            return self._gather_batch(tensors, indices, collate, full.stop - full.start)

        def example() -> tuple[Any, ...]:
            return collate(*(tensor[full] for tensor in tensors))

        return BatchLoader(examples, self.batch_size, processes, draw, gather_batch, example)

    def _placed(self, tensor: Any) -> Any:
        """A tensor or an array on the device of new loaders; what the framework cannot read is named."""
        try:
            return self._on_device(tensor, self._device)
        except (TypeError, ValueError, AttributeError) as error:
            raise TypeError(
                f"{type(self).__name__} has {input_checks.describe(tensor)} for a loader: give the framework's own "
                "tensors or NumPy arrays"
            ) from error

    def _on_device(self, tensor: Any, device: Any) -> Any:
        """A tensor or an array as a tensor on the device, or where the framework puts it if that is ``None``."""
        raise NotImplementedError

    def _sample_indices(self, n: int, shuffle: bool, device: Any) -> Any:
        """Numbers from 0 to n - 1, as they are or in an order drawn from the framework's own random state."""
        raise NotImplementedError

    def _draw_seed(self) -> int:
        """A seed drawn from the framework's own random state."""
        raise NotImplementedError

    def _is_main(self) -> bool:
        """Whether this is the process that prints, of those that have been started to train together."""
        return True

    def _say(self, line: str) -> None:
        """Print a line to standard error, in one process."""
        if self._is_main():
            print_line(line)

    def _gather_batch(self, tensors: Sequence[Any], indices: Any, collate: Collate, size: int) -> tuple[Any, ...]:
        """The batch that ``collate`` makes of the examples with these indices; a full batch has ``size``."""
        return collate(*(self._gather(tensor, indices) for tensor in tensors))

    def _gather(self, tensor: Any, indices: Any) -> Any:
        """The examples of a tensor that have these indices."""
        return tensor[indices]


@contextmanager
def placed(data: Any, device: Any, processes: ProcessGroup) -> Iterator[None]:
    """Have new loaders of a data module put tensors on a device, and give this process's shard of each batch."""
    data._device, data._processes = device, processes
    try:
        yield
    finally:
        data._device, data._processes = None, ProcessGroup()


class FashionMNIST(DataModule):
    """Fashion-MNIST: 60,000 training and 10,000 test images of clothes, ten classes.

    ``data.train[i]`` and ``data.val[i]`` give an image, as it is in a batch, and its class number as an ``int``;
    ``data.train.images`` and ``data.train.labels`` are all of them as they are stored, arrays of ``uint8``.

    Its four files, such as ``train-images-idx3-ubyte.gz``, are looked for in ``fashion-mnist`` in the data folder, in
    the data folder itself, and in ``/usr/share/datasets/fashion-mnist``, where the package ``dataset-fashion-mnist`` of
    Debian and Ubuntu has them. A file that is in none of these is downloaded from its publisher into the first. Each is
    checked against its SHA-256; a damaged one is passed over, and it says so.

    Args:
        batch_size: Examples in a batch.
        resize: Height and width that the 28 by 28 images are resized to, bilinearly.
        root: The data folder, unless the variable ``D2L_DATA`` in the environment names another one; a leading ``~`` is
            the home folder, and what is relative starts at the folder that the program runs in.

    Raises:
        ValueError: ``resize`` is not two positive integers.
        DataError: The files are not to be had; the message lists where they were looked for.
    """

    def __init__(self, batch_size: int = 64, resize: tuple[int, int] = (28, 28), root: str = "../data"):
        super().__init__(root=root)
        resize = check_size(resize)
        self.save_hyperparameters()
        sets = load_fashion_mnist(root, current_profile())
        self.train, self.val = (replace(images, transform=self._example) for images in sets)
        height, width = self.train.images.shape[1:]
        self._resize_rows = resize_matrix(resize[0], height)
        self._resize_columns = resize_matrix(resize[1], width)

    def get_dataloader(self, train: bool) -> BatchLoader:
        """Batches ``(X, y)``; X has values in [0, 1].

        Args:
            train: Whether of the training set, in a new order each epoch.
        """
        data: Images = self.train if train else self.val
        rows, columns = (self._on_device(matrix, self._device) for matrix in (self._resize_rows, self._resize_columns))
        return self._loader((data.images, data.labels), train, partial(self._collate, rows, columns))

    def _example(self, image: np.ndarray, label: int) -> tuple[Any, int]:
        """An image (28, 28) ``uint8`` as it is in a batch, and its label."""
        arrays = self._resize_rows, self._resize_columns, image[None], np.array([label], np.uint8)
        X, _ = self._collate(*(self._on_device(array, None) for array in arrays))
        return X[0], label

    def text_labels(self, indices: Sequence[int]) -> list[str]:
        """The classes' names for their numbers.

        Args:
            indices: Class numbers (n,), also as a tensor.
        """
        return [CLASSES[int(i)] for i in indices]

    def visualize(self, batch: tuple[Any, Any], nrows: int = 1, ncols: int = 8, labels: Sequence[str] = ()) -> None:
        """Show a batch's first images with their labels, or with ``labels`` where given.

        Args:
            batch: Images and class numbers, as a loader gives them.
            nrows, ncols: Size of the grid.
            labels: A line above each image.
        """
        X, y = batch
        n = nrows * ncols
        show_images([to_numpy(x) for x in X[:n]], nrows, ncols, titles=list(labels) or self.text_labels(y[:n]))

    def _collate(self, rows: Any, columns: Any, images: Any, labels: Any) -> tuple[Any, Any]:
        """Scaled and resized images, and class numbers, from ``uint8`` images and labels.

        Args:
            rows, columns: The matrices of `d2l.batches.resize_matrix` for the two directions.
        """
        raise NotImplementedError


class ImageFolder(DataModule):
    """Images in folders by class, as ImageNet's, or in WebDataset shards, with the augmentation of AlexNet's authors.

    Of an image, the central square is taken, its side resized to ``resize``. In training, a random part of it is
    flipped half of the time and shifted in colour along the principal components; in validation it is the middle.
    Images are decoded in threads while the batches before them are trained on. Corrupt ones are left out, and named
    once, at the end of the epoch; ``data.train.corrupt`` and ``data.val.corrupt`` have all of them. ``data.train[i]``
    and ``data.val[i]`` give an image, as validation sees it, and its class number as an ``int``.

    Names that begin with a dot, and those of what systems leave in folders (``__MACOSX``, ``@eaDir``, ``Thumbs.db`` and
    the like), do not count. Other files and folders that are no images are passed over, counted and said in one line.

    Args:
        root: The folder with ``train`` and ``val``; a leading ``~`` is the home folder. Each has a folder per class,
            with images (JPEG, PNG, WebP) whose classes are numbered in the order of their names; or shards:
            uncompressed tar files with members ``KEY.jpg`` and ``KEY.cls``, the latter with the number of the class in
            digits. A key ends at the last dot.
        batch_size: Examples in a batch.
        resize: Side of the squares.
        crop: Height and width of the images in a batch.
        augment: Whether training images are changed at random. If not, they are like those of validation.
        num_workers: Threads that decode: by default eight, or one for each processor that this process may use if
            these are fewer.
        val_split: Where there is no ``val``, the share of each class's training images to validate on instead, one
            image at least. Which images these are depends on nothing but their names.
        decode_memory: Bytes that all threads together may decode in. What an image takes is known from its header, some
            8 to 20 bytes a pixel; one that takes more alone counts as corrupt, with what it takes as the reason.

    Raises:
        ValueError: A number is not a positive whole one, ``crop`` is larger than ``resize``, or ``val_split`` is not
            between 0 and 1.
        DataError: The folder is not like this, an image has no label or more than one, or ``val`` is there and
            ``val_split`` is given, too; the message says what was expected where.
    """

    resize: int
    crop: int
    augment: bool
    decode_memory: int

    def __init__(
        self,
        root: str,
        batch_size: int = 128,
        resize: int = 256,
        crop: int = 224,
        augment: bool = True,
        num_workers: int = min(8, usable_processors()),
        val_split: float | None = None,
        decode_memory: int = DECODE_MEMORY,
    ):
        super().__init__(root, num_workers)
        numbers = {"batch_size": batch_size, "resize": resize, "crop": crop, "num_workers": num_workers}
        for name, number in {**numbers, "decode_memory": decode_memory}.items():
            check_whole(name, number, 1)
        if crop > resize:
            raise ValueError(f"crop={crop} is larger than resize={resize}: give at most that")
        if val_split is not None:
            check_share("val_split", val_split)
        self.save_hyperparameters()
        self.classes, *sets = list_images(root, current_profile(), val_split, self._say)
        self.train, self.val = (replace(images, transform=self._example) for images in sets)
        self.num_classes = len(self.classes)

    def get_dataloader(self, train: bool) -> ImageLoader:
        """Batches ``(X, y)``; X is pixels in [0, 1] less the mean of ImageNet's in each channel."""
        device, processes = self._device, self._processes

        def collate(*arrays: Any) -> tuple[Any, Any]:
            return self._collate(*(self._on_device(array, device) for array in arrays))

        def draw_seed() -> int:
            return int(processes.broadcast(np.array(self._draw_seed())))

        return ImageLoader(
            self.train if train else self.val,
            self.batch_size,
            processes,
            self.resize,
            self.crop,
            self.augment,
            self.num_workers,
            draw_seed if train else None,
            collate,
            self.on_corrupt,
            self.decode_memory,
        )

    def on_corrupt(self, found: Mapping[str, str]) -> None:
        """Take the images that an epoch has found corrupt, for a log of one's own: a subclass may define it.

        Args:
            found: The reasons, by the names of the files.
        """

    def _example(self, example: Example) -> tuple[Any, int]:
        """An image as validation has it in a batch, and its class number."""
        pixels = np.stack([central(load(example, self.resize, Memory(self.decode_memory)), self.crop)])
        arrays = pixels, -MEAN[None], np.array([example.label])
        X, _ = self._collate(*(self._on_device(array, None) for array in arrays))
        return X[0], example.label

    def text_labels(self, indices: Sequence[int]) -> list[str]:
        """The classes' names for their numbers.

        Args:
            indices: Class numbers (n,), also as a tensor.
        """
        return [self.classes[int(i)] for i in indices]

    def visualize(self, batch: tuple[Any, Any], nrows: int = 1, ncols: int = 8, labels: Sequence[str] = ()) -> None:
        """Show a batch's first images with their labels, or with ``labels`` where given.

        Args:
            batch: Images and class numbers, as a loader gives them.
            nrows, ncols: Size of the grid.
            labels: A line above each image.
        """
        X, y = batch
        n = nrows * ncols
        images = to_numpy(X[:n])
        images = images if images.shape[-1] == len(MEAN) else np.moveaxis(images, 1, -1)
        show_images(np.clip(images + MEAN, 0, 1), nrows, ncols, titles=list(labels) or self.text_labels(y[:n]))

    def _collate(self, pixels: Any, shifts: Any, labels: Any) -> tuple[Any, Any]:
        """Images and class numbers, from the three parts of a batch of `ImageLoader`."""
        raise NotImplementedError


class SyntheticRegressionData(DataModule):
    """Examples of a linear function with noise: ``y = X w + b + noise``.

    Args:
        w, b: The function's weights (n,) and bias.
        noise: Standard deviation of the noise.
        num_train, num_val: Examples for training and for validation.
        batch_size: Examples in a batch of X (batch_size, n) and y (batch_size, 1).
    """

    num_train: int

    def __init__(
        self, w: Any, b: Any, noise: float = 0.01, num_train: int = 1000, num_val: int = 1000, batch_size: int = 32
    ):
        super().__init__()
        self.save_hyperparameters()
        n = num_train + num_val
        self.X = self._normal(n, len(w))
        self.y = self.X @ w[:, None] + b + noise * self._normal(n, 1)

    def get_dataloader(self, train: bool) -> BatchLoader:
        """Batches ``(X, y)`` of X (batch_size, n) and y (batch_size, 1), both ``float32``."""
        indices = slice(0, self.num_train) if train else slice(self.num_train, None)
        return self.get_tensorloader((self.X, self.y), train, indices)

    def _normal(self, *shape: int) -> Any:
        """Numbers drawn from N(0, 1)."""
        raise NotImplementedError
