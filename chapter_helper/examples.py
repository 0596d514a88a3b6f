"""The examples of the helper's reference, each under the name that it is an example of.

An example is for all frameworks, but for those that have one of their own, with their tab in brackets. It runs by
itself, with ``d2l`` for the helper. A test runs each; a comment behind an expression is what that gives.
"""

from d2l import torch as d2l

# %% DataModule
class Points(d2l.DataModule):
    def __init__(self, batch_size=16):
        super().__init__()
        self.save_hyperparameters()
        self.X, self.y = d2l.ones((64, 3)), d2l.zeros((64, 1))

    def get_dataloader(self, train):
        indices = slice(0, 48) if train else slice(48, None)
        return self.get_tensorloader((self.X, self.y), train, indices)

len(Points().train_dataloader())  # 3

# %% DataModule.train_dataloader
data = d2l.FashionMNIST(batch_size=32)
for X, y in data.train_dataloader():
    break
len(y)  # 32

# %% DataModule.val_dataloader
data = d2l.FashionMNIST(batch_size=32)
X, y = next(iter(data.val_dataloader()))
data.text_labels(y[:2])  # ['ankle boot', 'pullover']

# %% FashionMNIST
data = d2l.FashionMNIST(batch_size=32, resize=(56, 56))
X, y = next(iter(data.train_dataloader()))
image, label = data.val[0]
label  # 9

# %% FashionMNIST.text_labels
d2l.FashionMNIST().text_labels([0, 9])  # ['t-shirt', 'ankle boot']

# %% FashionMNIST.visualize
data = d2l.FashionMNIST()
data.visualize(next(iter(data.val_dataloader())), nrows=2, ncols=4)

# %% ImageFolder
# photographs/train and photographs/val have a folder of JPEGs for each class.
data = d2l.ImageFolder("photographs", batch_size=4, resize=64, crop=56)
data.num_classes  # 3
data.text_labels([0])  # ['cat']
data.visualize(next(iter(data.val_dataloader())), nrows=1, ncols=2)

# %% ImageFolder.on_corrupt
class Logged(d2l.ImageFolder):
    def on_corrupt(self, found):
        for name, reason in found.items():
            print(name, reason)

data = Logged("photographs", batch_size=4, resize=64, crop=56)

# %% SyntheticRegressionData
data = d2l.SyntheticRegressionData(w=d2l.tensor([2.0, -3.4]), b=4.2)
X, y = next(iter(data.train_dataloader()))
tuple(X.shape)  # (32, 2)
tuple(y.shape)  # (32, 1)

# %% Module [pytorch]
from torch import nn

class Regression(d2l.Module):
    def __init__(self, lr=0.03):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.LazyLinear(1)

    def loss(self, y_hat, y):
        return ((y_hat - y) ** 2).mean()

data = d2l.SyntheticRegressionData(w=d2l.tensor([2.0, -3.4]), b=4.2)
d2l.Trainer(max_epochs=1).fit(Regression(), data)

# %% Module [tensorflow]
import tensorflow as tf

class Regression(d2l.Module):
    def __init__(self, lr=0.03):
        super().__init__()
        self.save_hyperparameters()
        self.net = tf.keras.layers.Dense(1)

    def loss(self, y_hat, y):
        return tf.reduce_mean((y_hat - y) ** 2)

data = d2l.SyntheticRegressionData(w=d2l.tensor([2.0, -3.4]), b=4.2)
d2l.Trainer(max_epochs=1).fit(Regression(), data)

# %% Module [mxnet]
from mxnet.gluon import nn

class Regression(d2l.Module):
    def __init__(self, lr=0.03):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Dense(1)
        self.net.initialize()

    def loss(self, y_hat, y):
        return ((y_hat - y) ** 2).mean()

data = d2l.SyntheticRegressionData(w=d2l.tensor([2.0, -3.4]), b=4.2)
d2l.Trainer(max_epochs=1).fit(Regression(), data)

# %% Module [jax]
from flax import linen as nn

class Regression(d2l.Module):
    lr: float = 0.03

    def setup(self):
        self.net = nn.Dense(1)

    def loss(self, params, X, y, state):
        y_hat = state.apply_fn({"params": params}, *X)
        return ((y_hat - y) ** 2).mean()

data = d2l.SyntheticRegressionData(w=d2l.tensor([2.0, -3.4]), b=4.2)
d2l.Trainer(max_epochs=1).fit(Regression(), data)

# %% Module.loss
class Robust(d2l.LinearRegression):
    def loss(self, y_hat, y):
        return d2l.reduce_mean(d2l.abs(y_hat - y))

data = d2l.SyntheticRegressionData(w=d2l.tensor([2.0, -3.4]), b=4.2)
d2l.Trainer(max_epochs=1).fit(Robust(lr=0.03), data)

# %% Module.loss [jax]
# A loss, and steps that take it, of a model with batch normalization.
import jax
from flax import linen as nn

class Normalized(d2l.Module):
    lr: float = 0.03
    training: bool = True

    def setup(self):
        norm = nn.BatchNorm(use_running_average=not self.training, momentum=0.9)
        self.net = nn.Sequential([nn.Dense(16), norm, nn.relu, nn.Dense(1)])

    def loss(self, params, X, y, state):
        variables = {"params": params, "batch_stats": state.batch_stats}
        y_hat, updates = state.apply_fn(variables, *X, mutable=["batch_stats"])
        return ((y_hat - y) ** 2).mean(), updates

    def training_step(self, params, batch, state):
        *X, y = batch
        loss_and_grads = jax.value_and_grad(self.loss, has_aux=True)
        (loss, updates), grads = loss_and_grads(params, X, y, state)
        self.plot("loss", loss, train=True)
        return (loss, updates), grads

    def validation_step(self, params, batch, state):
        *X, y = batch
        loss, _ = self.loss(params, X, y, state)
        self.plot("loss", loss, train=False)

data = d2l.SyntheticRegressionData(w=d2l.tensor([2.0, -3.4]), b=4.2)
trainer = d2l.Trainer(max_epochs=1)
trainer.fit(Normalized(), data)
sorted(trainer.state.batch_stats["net"]["layers_1"])  # ['mean', 'var']

# %% Module.__call__
X = d2l.ones((4, 28, 28, 1))
tuple(d2l.SoftmaxRegression(num_outputs=10, lr=0.1)(X).shape)  # (4, 10)

# %% Module.__call__ [jax]
X = d2l.ones((4, 28, 28, 1))
model = d2l.SoftmaxRegression(num_outputs=10, lr=0.1)
variables = model.apply_init((X,), d2l.get_key())
model.apply(variables, X).shape  # (4, 10)

# %% Module.forward
class Doubled(d2l.LinearRegression):
    def forward(self, X):
        return 2 * self.net(X)

data = d2l.SyntheticRegressionData(w=d2l.tensor([2.0, -3.4]), b=4.2)
d2l.Trainer(max_epochs=1).fit(Doubled(lr=0.01), data)

# %% Module.training_step
class Logged(d2l.LinearRegression):
    def training_step(self, batch):
        X, y = batch
        loss = self.loss(self(X), y)
        self.plot("loss", loss, train=True)
        return loss

data = d2l.SyntheticRegressionData(w=d2l.tensor([2.0, -3.4]), b=4.2)
d2l.Trainer(max_epochs=1).fit(Logged(lr=0.03), data)

# %% Module.training_step [jax]
import jax

class Logged(d2l.LinearRegression):
    def training_step(self, params, batch, state):
        *X, y = batch
        loss, grads = jax.value_and_grad(self.loss)(params, X, y, state)
        self.plot("loss", loss, train=True)
        return loss, grads

data = d2l.SyntheticRegressionData(w=d2l.tensor([2.0, -3.4]), b=4.2)
d2l.Trainer(max_epochs=1).fit(Logged(lr=0.03), data)

# %% Module.plot
class Measured(d2l.LinearRegression):
    def validation_step(self, batch):
        X, y = batch
        self.plot("mae", d2l.reduce_mean(d2l.abs(self(X) - y)), train=False)

data = d2l.SyntheticRegressionData(w=d2l.tensor([2.0, -3.4]), b=4.2)
trainer, model = d2l.Trainer(max_epochs=1), Measured(lr=0.03)
trainer.fit(model, data)
list(trainer.evaluate(model, data))  # ['mae']

# %% Module.plot [jax]
class Measured(d2l.LinearRegression):
    def validation_step(self, params, batch, state):
        X, y = batch
        y_hat = state.apply_fn({"params": params}, X)
        self.plot("mae", d2l.reduce_mean(d2l.abs(y_hat - y)), train=False)

data = d2l.SyntheticRegressionData(w=d2l.tensor([2.0, -3.4]), b=4.2)
trainer, model = d2l.Trainer(max_epochs=1), Measured(lr=0.03)
trainer.fit(model, data)
list(trainer.evaluate(model, data))  # ['mae']

# %% Module.configure_optimizers [pytorch]
import torch

class Scheduled(d2l.LeNet):
    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr)
        epochs = self.trainer.num_epochs  # the schedule takes a step after each
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
        return optimizer, schedule

d2l.Trainer(max_epochs=2).fit(Scheduled(lr=0.001), d2l.FashionMNIST())

# %% Module.configure_optimizers [tensorflow]
import tensorflow as tf

class Scheduled(d2l.LeNet):
    def configure_optimizers(self):
        steps = self.trainer.num_epochs * self.trainer.num_train_batches
        schedule = tf.keras.optimizers.schedules.CosineDecay(self.lr, steps)
        return tf.keras.optimizers.Adam(schedule)

d2l.Trainer(max_epochs=2).fit(Scheduled(lr=0.001), d2l.FashionMNIST())

# %% Module.configure_optimizers [mxnet]
from mxnet import gluon, lr_scheduler

class Scheduled(d2l.LeNet):
    def configure_optimizers(self):
        steps = self.trainer.num_epochs * self.trainer.num_train_batches
        schedule = lr_scheduler.CosineScheduler(steps, base_lr=self.lr)
        options = {"learning_rate": self.lr, "lr_scheduler": schedule}
        return gluon.Trainer(self.parameters(), "adam", options)

d2l.Trainer(max_epochs=2).fit(Scheduled(lr=0.001), d2l.FashionMNIST())

# %% Module.configure_optimizers [jax]
import optax

class Scheduled(d2l.LeNet):
    def configure_optimizers(self):
        steps = self.trainer.num_epochs * self.trainer.num_train_batches
        return optax.adam(optax.cosine_decay_schedule(self.lr, steps))

d2l.Trainer(max_epochs=2).fit(Scheduled(lr=0.001), d2l.FashionMNIST())

# %% Module.save_weights
model, data = d2l.SoftmaxRegression(num_outputs=10, lr=0.1), d2l.FashionMNIST()
d2l.Trainer(max_epochs=1).fit(model, data)
model.save_weights("softmax.safetensors")

# %% Module.load_weights
data, trained = d2l.FashionMNIST(), d2l.SoftmaxRegression(num_outputs=10, lr=0.1)
d2l.Trainer(max_epochs=1).fit(trained, data)
trained.save_weights("softmax.safetensors")

model = d2l.SoftmaxRegression(num_outputs=10, lr=0.1)
X, y = next(iter(data.val_dataloader()))
model.load_weights("softmax.safetensors")
d2l.Trainer(max_epochs=1).predict(model, X).shape  # (64, 10)

# %% Module.load_weights [tensorflow]
data, trained = d2l.FashionMNIST(), d2l.SoftmaxRegression(num_outputs=10, lr=0.1)
d2l.Trainer(max_epochs=1).fit(trained, data)
trained.save_weights("softmax.safetensors")

model = d2l.SoftmaxRegression(num_outputs=10, lr=0.1)
X, y = next(iter(data.val_dataloader()))
model(X)
model.load_weights("softmax.safetensors")
d2l.Trainer(max_epochs=1).predict(model, X).shape  # (64, 10)

# %% Module.apply_init [pytorch]
model = d2l.LeNet()
model.apply_init([d2l.ones((1, 1, 28, 28))], d2l.init_cnn)

# %% Module.apply_init [jax]
model = d2l.SoftmaxRegression(num_outputs=10, lr=0.1)
variables = model.apply_init((d2l.ones((1, 28, 28, 1)),), d2l.get_key())

# %% Classifier [pytorch]
from torch import nn

class Perceptron(d2l.Classifier):
    def __init__(self, lr=0.1, num_classes=10):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            nn.Flatten(), nn.LazyLinear(64), nn.ReLU(), nn.LazyLinear(num_classes)
        )

d2l.Trainer(max_epochs=1).fit(Perceptron(), d2l.FashionMNIST())

# %% Classifier [tensorflow]
import tensorflow as tf

class Perceptron(d2l.Classifier):
    def __init__(self, lr=0.1, num_classes=10):
        super().__init__()
        self.save_hyperparameters()
        self.net = tf.keras.Sequential([
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(64, activation="relu"),
            tf.keras.layers.Dense(num_classes),
        ])

d2l.Trainer(max_epochs=1).fit(Perceptron(), d2l.FashionMNIST())

# %% Classifier [mxnet]
from mxnet.gluon import nn

class Perceptron(d2l.Classifier):
    def __init__(self, lr=0.1, num_classes=10):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.HybridSequential()
        self.net.add(nn.Flatten())
        self.net.add(nn.Dense(64, activation="relu"), nn.Dense(num_classes))
        self.net.initialize()

d2l.Trainer(max_epochs=1).fit(Perceptron(), d2l.FashionMNIST())

# %% Classifier [jax]
from flax import linen as nn

class Perceptron(d2l.Classifier):
    lr: float = 0.1
    num_classes: int = 10

    def setup(self):
        self.net = nn.Sequential([
            lambda X: X.reshape((X.shape[0], -1)),
            nn.Dense(64),
            nn.relu,
            nn.Dense(self.num_classes),
        ])

d2l.Trainer(max_epochs=1).fit(Perceptron(), d2l.FashionMNIST())

# %% Classifier.accuracy
model = d2l.SoftmaxRegression(num_outputs=2, lr=0.1)
logits, y = d2l.tensor([[0.1, 0.9], [0.1, 0.9]]), d2l.tensor([0, 1])
float(model.accuracy(logits, y))  # 0.5
loss = model.loss(logits, y)

# %% Classifier.accuracy [jax]
model, data = d2l.SoftmaxRegression(num_outputs=10, lr=0.1), d2l.FashionMNIST()
trainer = d2l.Trainer(max_epochs=1)
trainer.fit(model, data)
X, y = next(iter(data.val_dataloader()))
accuracy = model.accuracy(trainer.state.params, (X,), y, trainer.state)
loss, updates = model.loss(trainer.state.params, (X,), y, trainer.state)

# %% Classifier.layer_summary
d2l.SoftmaxRegression(num_outputs=10, lr=0.1).layer_summary((1, 28, 28, 1))

# %% Classifier.layer_table
table = d2l.SoftmaxRegression(num_outputs=10, lr=0.1).layer_table((1, 28, 28, 1))
table.total.parameters  # 7850

# %% AlexNet
model = d2l.AlexNet(lr=0.01, num_classes=10)
data = d2l.FashionMNIST(batch_size=128, resize=(224, 224))

# %% LeNet
model = d2l.LeNet(lr=0.9)
data = d2l.FashionMNIST(batch_size=128)

# %% SoftmaxRegression
model = d2l.SoftmaxRegression(num_outputs=10, lr=0.1)
data = d2l.FashionMNIST(batch_size=256)

# %% LinearRegression
data = d2l.SyntheticRegressionData(w=d2l.tensor([2.0, -3.4]), b=4.2)
d2l.Trainer(max_epochs=1).fit(d2l.LinearRegression(lr=0.03), data)

# %% LinearRegression.get_w_b
data = d2l.SyntheticRegressionData(w=d2l.tensor([2.0, -3.4]), b=4.2)
model = d2l.LinearRegression(lr=0.03)
d2l.Trainer(max_epochs=1).fit(model, data)
w, b = model.get_w_b()

# %% LinearRegression.get_w_b [jax]
data = d2l.SyntheticRegressionData(w=d2l.tensor([2.0, -3.4]), b=4.2)
model, trainer = d2l.LinearRegression(lr=0.03), d2l.Trainer(max_epochs=1)
trainer.fit(model, data)
w, b = model.get_w_b(trainer.state)

# %% LinearRegressionScratch
data = d2l.SyntheticRegressionData(w=d2l.tensor([2.0, -3.4]), b=4.2)
model = d2l.LinearRegressionScratch(num_inputs=2, lr=0.03)
d2l.Trainer(max_epochs=1).fit(model, data)

# %% Residual [pytorch]
block = d2l.Residual(6, use_1x1conv=True, strides=2)
tuple(block(d2l.ones((4, 3, 6, 6))).shape)  # (4, 6, 3, 3)

# %% Residual [tensorflow]
block = d2l.Residual(6, use_1x1conv=True, strides=2)
tuple(block(d2l.ones((4, 6, 6, 3))).shape)  # (4, 3, 3, 6)

# %% Residual [mxnet]
block = d2l.Residual(6, use_1x1conv=True, strides=2)
block.initialize()
block(d2l.ones((4, 3, 6, 6))).shape  # (4, 6, 3, 3)

# %% Residual [jax]
block = d2l.Residual(6, use_1x1conv=True, strides=(2, 2), training=False)
Y, variables = block.init_with_output(d2l.get_key(), d2l.ones((4, 6, 6, 3)))
Y.shape  # (4, 3, 3, 6)

# %% ResNeXtBlock [pytorch]
block = d2l.ResNeXtBlock(32, groups=16, bot_mul=1)
tuple(block(d2l.ones((4, 32, 6, 6))).shape)  # (4, 32, 6, 6)

# %% ResNeXtBlock [tensorflow]
block = d2l.ResNeXtBlock(32, groups=16, bot_mul=1)
tuple(block(d2l.ones((4, 6, 6, 32))).shape)  # (4, 6, 6, 32)

# %% ResNeXtBlock [mxnet]
block = d2l.ResNeXtBlock(32, groups=16, bot_mul=1)
block.initialize()
block(d2l.ones((4, 32, 6, 6))).shape  # (4, 32, 6, 6)

# %% ResNeXtBlock [jax]
block = d2l.ResNeXtBlock(32, groups=16, bot_mul=1, training=False)
Y, variables = block.init_with_output(d2l.get_key(), d2l.ones((4, 6, 6, 32)))
Y.shape  # (4, 6, 6, 32)

# %% corr2d
X = d2l.ones((6, 8))
K = d2l.tensor([[1.0, -1.0]])
tuple(d2l.corr2d(X, K).shape)  # (6, 7)

# %% init_cnn
model = d2l.LeNet()
model.net.apply(d2l.init_cnn)

# %% Trainer
data = d2l.FashionMNIST(batch_size=128)
model = d2l.SoftmaxRegression(num_outputs=10, lr=0.1)
trainer = d2l.Trainer(max_epochs=2, checkpoint_dir="runs/softmax")
trainer.fit(model, data)

# %% Trainer.fit
model, data = d2l.SoftmaxRegression(num_outputs=10, lr=0.1), d2l.FashionMNIST()
d2l.Trainer(max_epochs=1, checkpoint_dir="runs/softmax").fit(model, data)

longer = d2l.Trainer(max_epochs=2, checkpoint_dir="runs/softmax")
longer.fit(model, data, resume=True)

# %% Trainer.predict
model, data = d2l.SoftmaxRegression(num_outputs=10, lr=0.1), d2l.FashionMNIST()
trainer = d2l.Trainer(max_epochs=1)
trainer.fit(model, data)
X, y = next(iter(data.val_dataloader()))
logits = trainer.predict(model, X)
logits.shape  # (64, 10)
data.text_labels(logits.argmax(-1)[:3])

# %% Trainer.evaluate
model, data = d2l.SoftmaxRegression(num_outputs=10, lr=0.1), d2l.FashionMNIST()
trainer = d2l.Trainer(max_epochs=1)
trainer.fit(model, data)
sorted(trainer.evaluate(model, data))  # ['acc', 'loss']

# %% Trainer.history
model, data = d2l.SoftmaxRegression(num_outputs=10, lr=0.1), d2l.FashionMNIST()
trainer = d2l.Trainer(max_epochs=2)
trainer.fit(model, data)
history = trainer.history
list(history["epoch"])  # [1, 2]
d2l.plot(history["epoch"], [history["train_loss"], history["val_loss"]], "epoch")
d2l.plt.savefig("losses.png")

# %% Trainer.load_weights
model, data = d2l.SoftmaxRegression(num_outputs=10, lr=0.1), d2l.FashionMNIST()
d2l.Trainer(max_epochs=1, checkpoint_dir="runs/loaded").fit(model, data)

from pathlib import Path

[checkpoint] = Path("runs/loaded").glob("*.safetensors")
trainer = d2l.Trainer(max_epochs=1)
trainer.load_weights(model, data, checkpoint)
sorted(trainer.evaluate(model, data))  # ['acc', 'loss']

# %% Trainer.clip_gradients
model, data = d2l.SoftmaxRegression(num_outputs=10, lr=0.1), d2l.FashionMNIST()
d2l.Trainer(max_epochs=1, gradient_clip_val=1).fit(model, data)

# %% Trainer.prepare_batch
class Faded(d2l.Trainer):
    def prepare_batch(self, batch):
        X, y = super().prepare_batch(batch)
        return 0.9 * X, y

model, data = d2l.SoftmaxRegression(num_outputs=10, lr=0.1), d2l.FashionMNIST()
Faded(max_epochs=1).fit(model, data)

# %% SGD [pytorch]
w = d2l.tensor([1.0, 2.0])
w.requires_grad = True
optimizer = d2l.SGD([w], lr=0.5)
(w**2).sum().backward()
optimizer.step()
optimizer.zero_grad()
w.tolist()  # [0.0, 0.0]

# %% SGD [tensorflow]
import tensorflow as tf

w = tf.Variable([1.0, 2.0])
with tf.GradientTape() as tape:
    loss = tf.reduce_sum(w**2)
d2l.SGD(lr=0.5).apply_gradients(zip(tape.gradient(loss, [w]), [w]))
w.numpy().tolist()  # [0.0, 0.0]

# %% SGD [mxnet]
from mxnet import autograd

w = d2l.tensor([1.0, 2.0])
w.attach_grad()
with autograd.record():
    loss = (w**2).sum()
loss.backward()
d2l.SGD([w], lr=0.5).step(1)
w.tolist()  # [0.0, 0.0]

# %% SGD [jax]
import jax
import optax

w = d2l.tensor([1.0, 2.0])
optimizer = d2l.SGD(lr=0.5)
gradient = jax.grad(lambda w: (w**2).sum())(w)
updates, state = optimizer.update(gradient, optimizer.init(w))
optax.apply_updates(w, updates).tolist()  # [0.0, 0.0]

# %% TrainState
model, data = d2l.SoftmaxRegression(num_outputs=10, lr=0.1), d2l.FashionMNIST()
trainer = d2l.Trainer(max_epochs=1)
trainer.fit(model, data)
X, y = next(iter(data.val_dataloader()))
model.apply({"params": trainer.state.params}, X).shape  # (64, 10)

# %% EarlyStopping
stopping = d2l.EarlyStopping(monitor="val_loss", patience=3, min_delta=0.001)
trainer = d2l.Trainer(max_epochs=100, callbacks=[stopping])

# %% KeepBest
model, data = d2l.SoftmaxRegression(num_outputs=10, lr=0.1), d2l.FashionMNIST()
best = d2l.KeepBest("best.safetensors", monitor="val_acc")
d2l.Trainer(max_epochs=2, callbacks=[best]).fit(model, data)

# %% Observer
class Count(d2l.Observer):
    def before_fit(self, trainer):
        self.steps = 0

    def after_batch(self, trainer, train):
        self.steps += train

    def after_epoch(self, trainer):
        print(f"Epoch {trainer.epoch + 1}: {self.steps} steps")

count = Count()
model, data = d2l.SoftmaxRegression(num_outputs=10, lr=0.1), d2l.FashionMNIST()
trainer = d2l.Trainer(max_epochs=1, callbacks=[count])
trainer.fit(model, data)
count.steps == trainer.num_train_batches  # True

# %% ProgressBoard
board = d2l.ProgressBoard(xlabel="x", xlim=[0, 4])
for x in range(5):
    board.draw(x, x**2, "square")
    board.draw(x, 2 * x, "double")
board.last  # {'square': 16.0, 'double': 8.0}

# %% ProgressBoard.draw
board = d2l.ProgressBoard()
for x in range(4):
    board.draw(x, x**2, "square", every_n=2)
board.last  # {'square': 6.5}

# %% plot
X = [0.0, 1.0, 2.0, 3.0]
Y = [[x**2 for x in X], [2 * x for x in X]]
d2l.plot(X, Y, "x", "y", legend=["square", "double"])
d2l.plt.savefig("curves.png")

# %% show_images
data = d2l.FashionMNIST()
X, y = next(iter(data.val_dataloader()))
images = [d2l.numpy(x).squeeze() for x in X[:8]]
axes = d2l.show_images(images, 2, 4, titles=data.text_labels(y[:8]))
d2l.plt.savefig("images.png")

# %% plot_confusion_matrix
predicted, true = [0, 1, 1, 2], [0, 1, 2, 2]
counts = d2l.plot_confusion_matrix(predicted, true, names=["shirt", "bag", "boot"])
d2l.plt.savefig("confusion.png")
counts.tolist()  # [[1, 0, 0], [0, 1, 0], [0, 1, 1]]

# %% show_mistakes
model, data = d2l.SoftmaxRegression(num_outputs=10, lr=0.1), d2l.FashionMNIST()
trainer = d2l.Trainer(max_epochs=1)
trainer.fit(model, data)
X, y = next(iter(data.val_dataloader()))
logits = trainer.predict(model, X)
mistakes = d2l.show_mistakes(X, logits, y, names=data.text_labels(range(10)))
d2l.plt.savefig("mistakes.png")

# %% set_figsize
d2l.set_figsize((6, 4))
tuple(d2l.plt.rcParams["figure.figsize"])  # (6.0, 4.0)

# %% set_axes
figure, axes = d2l.plt.subplots()
axes.plot([1, 10, 100], [3, 2, 1])
d2l.set_axes(axes, "step", "loss", [1, 100], [0, 3], "log", "linear", ["train"])
axes.get_xscale()  # log

# %% use_svg_display
d2l.use_svg_display()

# %% num_gpus
d2l.num_gpus()

# %% try_gpu
X = d2l.to(d2l.ones((2, 3)), d2l.try_gpu())

# %% try_gpu [tensorflow]
with d2l.try_gpu():
    X = d2l.ones((2, 3))

# %% try_all_gpus
len(d2l.try_all_gpus()) >= 1  # True

# %% cpu
X = d2l.to(d2l.ones((2, 3)), d2l.cpu())

# %% cpu [tensorflow]
with d2l.cpu():
    X = d2l.ones((2, 3))

# %% gpu
if d2l.num_gpus() > 1:
    second = d2l.gpu(1)

# %% get_key
import jax

jax.random.normal(d2l.get_key(), (2, 3)).shape  # (2, 3)

# %% get_seed
import random

random.seed(1)
d2l.get_seed() < 10**6  # True

# %% HyperParameters
class Dropout(d2l.HyperParameters):
    def __init__(self, rate, axis=1):
        self.save_hyperparameters(ignore="axis")

Dropout(rate=0.5).hparams  # {'rate': 0.5}

# %% HyperParameters.save_hyperparameters
class Layer(d2l.HyperParameters):
    def __init__(self, width, depth=2):
        self.save_hyperparameters()

Layer(64).depth  # 2

# %% add_to_class
class Counter:
    count = 0

counter = Counter()

@d2l.add_to_class(Counter)
def add(self, number):
    self.count += number

counter.add(3)
counter.count  # 3
