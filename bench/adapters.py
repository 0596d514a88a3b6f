"""Adapters with what the measurements need: matrix products, memory, and the plain recipe to compare with.

The plain recipe is how a tutorial would train the same model without the helper: images are resized one by one,
in worker processes where the framework's loader has them, and steps run as the framework runs them unasked,
eagerly (in JAX, whose tutorials do so, under ``jit``) and in ``float32``.

``python -m bench.adapters TAB`` prints how many GPUs a framework can use.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from contract import adapters
from PIL import Image

from book.compile_notebooks import compile_source
from book.files import ROOT
from book.source import Source
from d2l.machine import usable_processors

from .training_flop import BATCH_SIZE, IMAGE

WORKERS = min(4, usable_processors())


def resized(image: np.ndarray) -> np.ndarray:
    """An image (28, 28) ``uint8``, resized and scaled to [0, 1], ``float32``."""
    height, width = IMAGE
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR), np.float32) / 255


def precision(d2l: Any) -> str:
    """What a framework's trainer has a classifier's layers compute in on this machine."""
    trainer = d2l.Trainer(max_epochs=1, num_gpus=min(1, d2l.num_gpus()))
    return "bfloat16" if trainer.backend.supports_bfloat16 else "float32"


def run_cells(tab: str, section: str = "alexnet", until: str = "") -> dict[str, Any]:
    """Run a section's own cells in this process, as far as the name ``until``; gives the names that they define."""
    names: dict[str, Any] = {}
    compiled = compile_source(Source.read(ROOT / "chapter_cnn" / f"{section}.md"), tab)
    assert compiled, f"{section} has no cells for {tab}"
    for cell in compiled.code_cells:
        if until not in names:
            exec(cell.source, names)
    return names


class Torch(adapters.Torch):
    """PyTorch."""

    def __init__(self):
        super().__init__()
        self.device = self.d2l.try_gpu()
        self.dtype = precision(self.d2l)

    def product(self, n: int) -> Callable[[], Any]:
        """A function that multiplies two matrices (n, n) and waits for the result."""
        a = self.lib.randn(n, n, device=self.device, dtype=getattr(self.lib, self.dtype))
        return lambda: (a @ a)[0, 0].item()

    def gpu_memory(self) -> int | None:
        """Peak of the GPU's memory in bytes, if PyTorch measures it: not on Apple's."""
        peak = getattr(self.lib.get_device_module(self.device), "max_memory_allocated", None)
        return None if peak is None else peak()

    def loader(self, images: np.ndarray, labels: np.ndarray, train: bool) -> Iterable[Any]:
        """The plain recipe's batches."""
        torch = self.lib
        return torch.utils.data.DataLoader(
            _Resized(images, labels), BATCH_SIZE, shuffle=train, num_workers=WORKERS, persistent_workers=True
        )

    def recipe(self) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        """The plain recipe's steps of training and of validation, each giving a scalar."""
        torch, d2l = self.lib, self.d2l
        cross_entropy = torch.nn.functional.cross_entropy
        model = d2l.AlexNet()
        model.apply_init([torch.zeros(1, 1, *IMAGE)], d2l.init_cnn)
        net = model.net.to(self.device)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)

        def train(batch: Any) -> float:
            net.train()
            X, y = (tensor.to(self.device) for tensor in batch)
            optimizer.zero_grad()
            loss = cross_entropy(net(X), y)
            loss.backward()
            optimizer.step()
            return loss.item()

        @torch.no_grad()
        def validate(batch: Any) -> float:
            net.eval()
            X, y = (tensor.to(self.device) for tensor in batch)
            return (net(X).argmax(1) == y).float().mean().item()

        return train, validate


@dataclass(frozen=True)
class _Resized:
    """A map-style data set of resized images, as PyTorch's loader asks for."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        return resized(self.images[i])[np.newaxis], int(self.labels[i])


class TensorFlow(adapters.TensorFlow):
    """TensorFlow."""

    def __init__(self):
        super().__init__()
        self.dtype = precision(self.d2l)

    def product(self, n: int) -> Callable[[], Any]:
        """A function that multiplies two matrices (n, n) and waits for the result."""
        a = self.lib.random.normal((n, n), dtype=self.dtype)
        return lambda: float((a @ a)[0, 0])

    def gpu_memory(self) -> int | None:
        """Peak of the GPU's memory in bytes."""
        return self.lib.config.experimental.get_memory_info("GPU:0")["peak"] if self.d2l.num_gpus() else None

    def loader(self, images: np.ndarray, labels: np.ndarray, train: bool) -> Iterable[Any]:
        """The plain recipe's batches."""
        tf = self.lib

        def prepare(image: Any, label: Any) -> tuple[Any, Any]:
            return tf.image.resize(tf.cast(image[..., None], tf.float32) / 255, IMAGE), tf.cast(label, tf.int32)

        examples = tf.data.Dataset.from_tensor_slices((images, labels))
        examples = examples.shuffle(len(labels)) if train else examples
        return examples.map(prepare, num_parallel_calls=WORKERS).batch(BATCH_SIZE)

    def recipe(self) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        """The plain recipe's steps of training and of validation, each giving a scalar."""
        tf = self.lib
        net = self.d2l.AlexNet().net
        optimizer = tf.keras.optimizers.SGD(0.01)
        cross_entropy = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)

        def train(batch: Any) -> float:
            X, y = batch
            with tf.GradientTape() as tape:
                loss = cross_entropy(y, net(X, training=True))
            variables = net.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
            return float(loss)

        def validate(batch: Any) -> float:
            X, y = batch
            return float(tf.reduce_mean(tf.cast(tf.argmax(net(X), 1, tf.int32) == y, tf.float32)))

        return train, validate


class MXNet(adapters.MXNet):
    """MXNet."""

    dtype = "float32"

    def __init__(self):
        super().__init__()
        self.device = self.d2l.try_gpu()

    def product(self, n: int) -> Callable[[], Any]:
        """A function that multiplies two matrices (n, n) and waits for the result."""
        a = self.lib.np.random.normal(size=(n, n), ctx=self.device)
        return lambda: self.lib.np.dot(a, a)[0, 0].item()

    def gpu_memory(self) -> int | None:
        """Peak of the GPU's memory in bytes: MXNet keeps what it took."""
        if not self.d2l.num_gpus():
            return None
        free, total = self.lib.context.gpu_memory_info()
        return total - free

    def loader(self, images: np.ndarray, labels: np.ndarray, train: bool) -> Iterable[Any]:
        """The plain recipe's batches."""
        data, transforms = self.lib.gluon.data, self.lib.gluon.data.vision.transforms
        prepare = transforms.Compose([transforms.Resize(IMAGE[::-1]), transforms.ToTensor()])
        examples = data.ArrayDataset(self.lib.np.array(images[..., None], dtype="uint8"), labels.astype(np.int32))
        return data.DataLoader(examples.transform_first(prepare), BATCH_SIZE, shuffle=train, num_workers=WORKERS)

    def recipe(self) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        """The plain recipe's steps of training and of validation, each giving a scalar."""
        autograd, gluon = self.lib.autograd, self.lib.gluon
        net = self.d2l.AlexNet().net
        net.collect_params().reset_ctx(self.device)
        trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.01})
        cross_entropy = gluon.loss.SoftmaxCrossEntropyLoss()

        def train(batch: Any) -> float:
            X, y = (tensor.as_in_ctx(self.device) for tensor in batch)
            with autograd.record():
                loss = cross_entropy(net(X), y).mean()
            loss.backward()
            trainer.step(1)
            return loss.item()

        def validate(batch: Any) -> float:
            X, y = (tensor.as_in_ctx(self.device) for tensor in batch)
            return (net(X).argmax(axis=1).astype(y.dtype) == y).mean().item()

        return train, validate


class JAX(adapters.JAX):
    """JAX."""

    def __init__(self):
        super().__init__()
        self.dtype = precision(self.d2l)

    def product(self, n: int) -> Callable[[], Any]:
        """A function that multiplies two matrices (n, n) and waits for the result."""
        a = self.lib.random.normal(self.lib.random.PRNGKey(0), (n, n), self.dtype)
        multiply = self.lib.jit(lambda a: a @ a)
        return lambda: float(multiply(a)[0, 0])

    def gpu_memory(self) -> int | None:
        """Peak of the GPU's memory in bytes, if JAX measures it: not on Apple's."""
        stats = self.d2l.try_gpu().memory_stats() or {}
        return stats.get("peak_bytes_in_use")

    def loader(self, images: np.ndarray, labels: np.ndarray, train: bool) -> Iterable[Any]:
        """The plain recipe's batches."""
        return _Batches(images, labels, train)

    def recipe(self) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        """The plain recipe's steps of training and of validation, each giving a scalar."""
        import optax

        jax, jnp = self.lib, self.lib.numpy
        key = jax.random.PRNGKey(0)
        model = self.d2l.AlexNet()
        params = model.init({"params": key, "dropout": key}, jnp.zeros((1, *IMAGE, 1)))["params"]
        optimizer = optax.sgd(0.01)
        states = [params, optimizer.init(params), key]

        def loss(params: Any, X: Any, y: Any, key: Any) -> Any:
            logits = model.apply({"params": params}, X, rngs={"dropout": key})
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        @jax.jit
        def update(params: Any, state: Any, key: Any, X: Any, y: Any) -> tuple[Any, ...]:
            value, grads = jax.value_and_grad(loss)(params, X, y, key)
            changes, state = optimizer.update(grads, state)
            return value, optax.apply_updates(params, changes), state, jax.random.split(key)[0]

        evaluation = self.d2l.AlexNet(training=False)
        predict = jax.jit(lambda params, X: evaluation.apply({"params": params}, X).argmax(1))

        def train(batch: Any) -> float:
            value, *states[:] = update(*states, *batch)
            return float(value)

        def validate(batch: Any) -> float:
            X, y = batch
            return float((predict(states[0], X) == y).mean())

        return train, validate


@dataclass(frozen=True)
class _Batches:
    """Batches of resized images, for JAX, which has no loader of its own."""

    images: np.ndarray
    labels: np.ndarray
    shuffle: bool

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        n = len(self.labels)
        order = np.random.permutation(n) if self.shuffle else np.arange(n)
        for start in range(0, n, BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            X = np.stack([resized(image) for image in self.images[batch]])[..., np.newaxis]
            yield X, self.labels[batch].astype(np.int32)


ADAPTERS = {adapters.EXTRAS[adapter.name]: adapter for adapter in (Torch, TensorFlow, MXNet, JAX)}

if __name__ == "__main__":
    print(ADAPTERS[sys.argv[1]]().d2l.num_gpus())
