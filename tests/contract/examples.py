"""Models, batches and loaders that tests train with, in any framework, and what they look at afterwards."""

import random

import numpy as np


def tiny(fw, lr=0.1, dropout=0.0, hidden=16):
    """A classifier of one hidden layer."""
    return fw.tiny(lr, dropout, hidden)


def made(fw, model):
    """The model with its weights made, by one pass."""
    fw.predict(model, fw.tensor(np.zeros((1, *fw.image_shape), np.float32)))
    return model


def shape_of_images(fw, channels, size, n=1):
    """The shape of ``n`` images."""
    return (n, size, size, channels) if fw.channel_axis == 3 else (n, channels, size, size)


def batches_of(fw, sizes):
    """Random images with labels, in batches of these sizes."""
    rng = np.random.default_rng(0)
    return [(fw.tensor(rng.random((n, *fw.image_shape), np.float32)), fw.labels(rng.integers(0, 10, n))) for n in sizes]


def spoilt(fw, batch):
    """The batch with images of one infinite pixel, whose loss is no finite number; of nan, some ReLU makes 0."""
    X = np.zeros(batch[0].shape, np.float32)
    X.reshape(len(X), -1)[:, 0] = np.inf
    return fw.tensor(X), batch[1]


def images_in_memory(fw, train=12, val=8, batch_size=4, shuffle=True):
    """A data module of the user's own, of random images with labels: in batches of four, three and two of them."""
    rng, first = np.random.default_rng(0), train
    images = rng.random((train + val, *fw.image_shape), np.float32)

    class Images(fw.d2l.DataModule):
        def __init__(self, batch_size):
            super().__init__()
            self.save_hyperparameters()
            self.X, self.y = fw.tensor(images), fw.labels(rng.integers(0, 10, train + val))

        def get_dataloader(self, train):
            part = slice(first) if train else slice(first, None)
            return self.get_tensorloader((self.X, self.y), train and shuffle, part)

    return Images(batch_size)


class Loaders:
    """Data for a trainer: one loader for training and one for validation."""

    def __init__(self, train, val):
        self.train_dataloader, self.val_dataloader = (lambda: train), (lambda: val)


class Watched:
    """A loader of given batches that calls ``before`` and ``after`` each time it is gone through."""

    def __init__(self, batches, before=None, after=None):
        self.batches, self.before, self.after = batches, before, after

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        if self.before:
            self.before()
        yield from self.batches
        if self.after:
            self.after()


class Interrupted(Exception):
    """What a `Stopping` loader fails with."""


class Stopping:
    """A loader that fails once its trainer has done so many batches of the run."""

    def __init__(self, loader, trainer, stop):
        self.loader, self.trainer, self.stop = loader, trainer, stop

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        for batch in self.loader:
            if getattr(self.trainer, "train_batch_idx", 0) == self.stop:
                raise Interrupted
            yield batch


def seed(fw, number):
    """Start the random states of Python, of NumPy and of the framework from a number."""
    random.seed(number)
    np.random.seed(number)
    fw.seed(number)


def ys(model, label):
    """The values of a curve."""
    return [y for _, y in model.board.curves[label]]


def step_length(before, after):
    """The Euclidean distance of two lists of arrays."""
    return np.sqrt(sum(((b - a) ** 2).sum() for a, b in zip(before, after, strict=True)))
