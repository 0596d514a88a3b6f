"""One adapter for each framework: all that tests and measurements have to know of it, under the same names.

An adapter has, beside its methods:
    name: The module of the helper, such as ``torch`` for ``d2l.torch``.
    extra: The framework's extra in pyproject.toml, which is also its tab.
    d2l: The helper's module.
    lib: The framework itself.
    own_names: Public names that no other framework's module has.
    channel_axis: The axis of the channels in a batch of images.
    image_shape: The shape of an image of Fashion-MNIST.
    label_type: The dtype of class numbers.
    layer_names: What the layers of `net` are called in a summary.
"""

import importlib
import random
import re
from types import SimpleNamespace

import numpy as np

from book.frameworks import FRAMEWORKS
from d2l.plotting import to_numpy

EXTRAS = {framework.module: tab for tab, framework in FRAMEWORKS.items()}
NAMES = tuple(EXTRAS)
PIXELS = 28 * 28


class Adapter:
    """What holds for most frameworks: models hold their own weights, and images are (channels, height, width)."""

    name: str
    own_names = ()
    channel_axis = 1
    image_shape = (1, 28, 28)
    label_type = "int32"
    layer_names = ("Flatten", "Dense", "Dropout", "Dense")

    def __init__(self):
        self.d2l = importlib.import_module(f"d2l.{self.name}")
        self.lib = importlib.import_module(self.name)

    @property
    def extra(self):
        return EXTRAS[self.name]

    def seed(self, number):
        """Start the framework's random state, or what the helper draws its keys from, from a number."""
        raise NotImplementedError

    def tensor(self, values):
        """An array as a tensor of the same dtype."""
        raise NotImplementedError

    def images(self, values):
        """Images (n, channels, height, width) as a tensor in the layout of the framework's layers."""
        return self.tensor(values)

    def labels(self, values):
        """Class numbers as a tensor."""
        return self.tensor(np.asarray(values).astype(self.label_type))

    def net(self, hidden, dropout):
        """Layers for images of Fashion-MNIST: ``hidden`` units, a share ``dropout`` of them left out, ten outputs."""
        raise NotImplementedError

    def stack(self, *parts):
        """A network of parts, one after the other, that is ready for use."""
        raise NotImplementedError

    def dense(self, *widths):
        """Dense layers for `stack`."""
        raise NotImplementedError

    def tiny(self, lr, dropout, hidden):
        """A classifier with the layers of `net`."""
        adapter = self

        class Tiny(self.d2l.Classifier):
            def __init__(self, lr):
                super().__init__()
                self.save_hyperparameters()
                self.net = adapter.net(hidden, dropout)

        return Tiny(lr)

    def adam(self, model):
        """The optimizer Adam, for a model to return; in MXNet with a schedule."""
        raise NotImplementedError

    def fit(self, trainer, model, data):
        """Fit a model, in JAX always from the same weights."""
        trainer.fit(model, data)

    def predict(self, model, X):
        """A model's output, as in validation where the framework's models know that."""
        return model(X)

    def loss(self, model, Y_hat, Y, averaged=True):
        """The loss of predictions."""
        return model.loss(Y_hat, Y, averaged=averaged)

    def accuracy(self, model, Y_hat, Y, **options):
        """The accuracy of predictions."""
        return model.accuracy(Y_hat, Y, **options)

    def weights(self, model):
        """The parameters as arrays, by layers, a layer's weight before its bias."""
        raise NotImplementedError

    def load(self, model, X, values):
        """Give a model, whose layers take their shapes from ``X``, parameters in the order of `weights`."""
        raise NotImplementedError

    def gradients(self, model, X, y):
        """In validation, without dropout: logits, loss, and the loss's gradients in the order of `weights`."""
        raise NotImplementedError

    def trainer_without_dropout(self):
        """A trainer for one epoch that has dropout leave nothing out."""

        class WithoutDropout(self.d2l.Trainer.backend_type):
            def set_training(self, model, training):
                super().set_training(model, False)

        class Trainer(self.d2l.Trainer):
            backend_type = WithoutDropout

        return Trainer(max_epochs=1)

    def allocate(self):
        """Ask for more memory than there is."""
        raise NotImplementedError

    def records_gradients(self):
        """Whether the framework records what it computes now; some do so only where they are told to."""
        return False


class Torch(Adapter):
    name = "torch"
    own_names = ("init_cnn",)
    label_type = "int64"
    layer_names = ("Flatten", "Linear", "ReLU", "Dropout", "Linear")

    def seed(self, number):
        self.lib.manual_seed(number)

    def tensor(self, values):
        return self.lib.from_numpy(values)

    def net(self, hidden, dropout):
        nn = self.lib.nn
        return nn.Sequential(
            nn.Flatten(), nn.Linear(PIXELS, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 10)
        )

    def stack(self, *parts):
        return self.lib.nn.Sequential(*parts)

    def dense(self, *widths):
        return map(self.lib.nn.LazyLinear, widths)

    def adam(self, model):
        return self.lib.optim.Adam(model.parameters(), lr=0.01)

    def weights(self, model):
        return [p.detach().numpy().copy() for p in model.parameters()]

    def load(self, model, X, values):
        model(X)
        with self.lib.no_grad():
            for parameter, value in zip(model.parameters(), values, strict=True):
                parameter.copy_(self.tensor(value))

    def gradients(self, model, X, y):
        logits = model.eval()(X)
        loss = model.loss(logits, y)
        loss.backward()
        return to_numpy(logits), loss.item(), [to_numpy(p.grad) for p in model.parameters()]

    def allocate(self):
        return self.lib.empty(10**14)

    def records_gradients(self):
        return self.lib.is_grad_enabled()


class TensorFlow(Adapter):
    name = "tensorflow"
    channel_axis = 3
    image_shape = (28, 28, 1)

    def seed(self, number):
        self.lib.keras.utils.set_random_seed(number)

    def tensor(self, values):
        return self.lib.constant(values)

    def images(self, values):
        return self.tensor(values.transpose(0, 2, 3, 1))

    def net(self, hidden, dropout):
        layers = self.lib.keras.layers
        return self.lib.keras.Sequential(
            [layers.Flatten(), layers.Dense(hidden, "relu"), layers.Dropout(dropout), layers.Dense(10)]
        )

    def stack(self, *parts):
        return self.lib.keras.Sequential(list(parts))

    def dense(self, *widths):
        return map(self.lib.keras.layers.Dense, widths)

    def adam(self, model):
        return self.lib.keras.optimizers.Adam(0.01)

    def weights(self, model):
        return model.get_weights()

    def load(self, model, X, values):
        model(X)
        model.set_weights(values)

    def gradients(self, model, X, y):
        with self.lib.GradientTape() as tape:
            logits = model(X, training=False)
            loss = model.loss(logits, y)
        gradients = tape.gradient(loss, model.trainable_variables)
        return to_numpy(logits), float(loss), [to_numpy(gradient) for gradient in gradients]

    def allocate(self):
        return self.lib.zeros([10**14])


class MXNet(Adapter):
    name = "mxnet"

    def seed(self, number):
        self.lib.random.seed(number)

    def tensor(self, values):
        return self.lib.np.array(values, dtype=values.dtype)

    def net(self, hidden, dropout):
        nn = self.lib.gluon.nn
        net = nn.HybridSequential()
        net.add(nn.Flatten(), nn.Dense(hidden, activation="relu"), nn.Dropout(dropout), nn.Dense(10))
        net.initialize(self.lib.init.Xavier())
        return net

    def stack(self, *parts):
        net = self.lib.gluon.nn.Sequential()
        net.add(*parts)
        parts[0].initialize()
        return net

    def dense(self, *widths):
        layers = [self.lib.gluon.nn.Dense(width) for width in widths]
        for layer in layers[1:]:  # `stack` does so with the first
            layer.initialize()
        return layers

    def adam(self, model):
        schedule = self.lib.lr_scheduler.FactorScheduler(3, 0.5, base_lr=0.01)
        return self.lib.gluon.Trainer(model.parameters(), "adam", {"lr_scheduler": schedule})

    def weights(self, model):
        return [p.data().asnumpy() for p in model.collect_params().values()]

    def load(self, model, X, values):
        model(X)
        for parameter, value in zip(model.collect_params().values(), values, strict=True):
            parameter.set_data(self.tensor(value))

    def gradients(self, model, X, y):
        # Recorded in evaluation mode, MXNet 1.9.1 loses where a maximum was, and max-pooling gets wrong gradients.
        self._remove_dropout(model)
        with self.lib.autograd.record():
            logits = model(X)
            loss = model.loss(logits, y)
        loss.backward()
        return to_numpy(logits), loss.item(), [to_numpy(p.grad()) for p in model.collect_params().values()]

    def trainer_without_dropout(self):
        adapter = self

        class WithoutDropout(self.d2l.Trainer):
            def prepare_model(self, model):
                super().prepare_model(model)
                adapter._remove_dropout(model)

        return WithoutDropout(max_epochs=1)

    @staticmethod
    def _remove_dropout(model):
        for layer in model.net:
            if hasattr(layer, "_rate"):
                layer._rate = 0

    def allocate(self):
        # What MXNet says; it refuses a tensor that is larger than any memory for another reason.
        raise self.lib.base.MXNetError("Failed to allocate CPU Memory")

    def records_gradients(self):
        return self.lib.autograd.is_recording() or self.lib.autograd.is_training()


class JAX(Adapter):
    """The weights are the trainer's: each fit draws them from the key given here."""

    name = "jax"
    own_names = ("get_seed", "get_key")
    channel_axis = 3
    image_shape = (28, 28, 1)
    layer_names = ("lambda", "Dense", "relu", "Dropout", "Dense")
    # Of a network that gives out what it is given.
    state = SimpleNamespace(
        batch_stats={}, dropout_rng=None, apply_fn=lambda _, X, mutable=(), rngs=None: (X, {}) if mutable else X
    )

    def __init__(self):
        super().__init__()
        self.key = self.lib.random.PRNGKey(1)

    def seed(self, number):
        random.seed(number)

    def tensor(self, values):
        return self.lib.numpy.asarray(values)

    def images(self, values):
        return self.tensor(values.transpose(0, 2, 3, 1))

    def net(self, hidden, dropout, training=True):
        nn = self.d2l.nn
        drop = nn.Dropout(dropout, deterministic=not training)
        flatten = lambda X: X.reshape(X.shape[0], -1)  # noqa: E731
        return nn.Sequential([flatten, nn.Dense(hidden), nn.relu, drop, nn.Dense(10)])

    def stack(self, *parts):
        return self.d2l.nn.Sequential(list(parts))

    def dense(self, *widths):
        return map(self.d2l.nn.Dense, widths)

    def tiny(self, lr, dropout, hidden):
        adapter, rate, width = self, dropout, hidden

        class Tiny(self.d2l.Classifier):
            lr: float
            training: bool = True

            def setup(self):
                self.net = adapter.net(width, rate, self.training)

        return Tiny(lr)

    def adam(self, model):
        return self.d2l.optax.adam(0.01)

    def fit(self, trainer, model, data):
        trainer.fit(model, data, key=self.key)

    def variables(self, model, X=None):
        """The parameters of the model's last run, or those that it would begin with, drawn from the key."""
        if hasattr(getattr(model, "trainer", None), "state"):
            return {"params": model.trainer.state.params}
        X = np.zeros((1, *self.image_shape), np.float32) if X is None else X
        keys = self.lib.random.split(self.key)
        return model.apply_init((X,), dict(zip(("params", "dropout"), keys, strict=True)))

    def predict(self, model, X):
        return self._in_validation(model).apply(self.variables(model, X), X)

    def loss(self, model, Y_hat, Y, averaged=True):
        return model.loss({}, (Y_hat,), Y, self.state, averaged)[0]

    def accuracy(self, model, Y_hat, Y, **options):
        return model.accuracy({}, (Y_hat,), Y, self.state, **options)

    def weights(self, model):
        return self._listed(self.variables(model)["params"])

    def load(self, model, X, values):
        params = self.variables(model, X)["params"]
        tree = self.lib.tree
        leaves, structure = tree.flatten(params)
        places = self._listed(tree.unflatten(structure, range(len(leaves))))
        placed = dict(zip(map(int, places), map(self.tensor, values), strict=True))
        params = tree.unflatten(structure, [placed[i] for i in range(len(leaves))])
        object.__setattr__(model, "apply_init", lambda inputs, key: {"params": params})

    def gradients(self, model, X, y):
        params = self.variables(model, X)["params"]
        state = self.d2l.TrainState.create(
            apply_fn=self._in_validation(model).apply,
            params=params,
            tx=model.configure_optimizers(),
            batch_stats={},
            dropout_rng=self.key,
        )
        (loss, _), gradients = self.lib.value_and_grad(model.loss, has_aux=True)(params, (X,), y, state)
        return to_numpy(self.predict(model, X)), float(loss), self._listed(gradients)

    def allocate(self):
        return self.lib.numpy.zeros(10**14)

    @staticmethod
    def _in_validation(model):
        return model.clone(training=False) if "training" in model.__dataclass_fields__ else model

    def _listed(self, tree):
        """The leaves of a tree as arrays, in the order of `weights`: layer 10 after layer 2."""

        def place(path_and_leaf):
            *layers, part = [str(getattr(step, "key", step)) for step in path_and_leaf[0]]
            numbered = [re.sub(r"\d+", lambda digits: digits[0].zfill(4), layer) for layer in layers]
            return numbered, part == "bias", part

        return [np.array(leaf) for _, leaf in sorted(self.lib.tree_util.tree_leaves_with_path(tree), key=place)]


ADAPTERS = {adapter.name: adapter for adapter in (Torch, TensorFlow, MXNet, JAX)}
