"""A trainer's methods as a textbook writes them out, to be put in the place of the helper's with ``add_to_class``."""

from typing import Any


def textbook(fw):
    """The methods by name: those that are the same in all frameworks, and those of one."""

    def __init__(self, max_epochs, num_gpus=0, gradient_clip_val=0):
        self.save_hyperparameters()
        self.gpus = [fw.d2l.gpu(i) for i in range(min(num_gpus, fw.d2l.num_gpus()))]

    def prepare_data(self, data):
        self.train_dataloader = data.train_dataloader()
        self.val_dataloader = data.val_dataloader()
        self.num_train_batches = len(self.train_dataloader)
        self.num_val_batches = len(self.val_dataloader) if self.val_dataloader is not None else 0

    def prepare_model(self, model):
        model.trainer = self
        model.board.xlim = [0, self.max_epochs]
        self.model = model

    def prepare_batch(self, batch):
        return batch

    def fit(self, model, data):
        self.prepare_data(data)
        self.prepare_model(model)
        self.optim = model.configure_optimizers()
        self.epoch = self.train_batch_idx = self.val_batch_idx = 0
        for self.epoch in range(self.max_epochs):  # noqa: B020
            self.fit_epoch()

    same = {method.__name__: method for method in (__init__, prepare_data, prepare_model, prepare_batch, fit)}
    return same | {"torch": _torch, "tensorflow": _tensorflow, "mxnet": _mxnet, "jax": _jax}[fw.name](fw)


def _torch(fw):
    torch = fw.lib

    def clip_gradients(self, grad_clip_val, model):
        params = [p for p in model.parameters() if p.requires_grad]
        norm = torch.sqrt(sum(torch.sum(p.grad**2) for p in params))
        if norm > grad_clip_val:
            for param in params:
                param.grad[:] *= grad_clip_val / norm

    def fit_epoch(self):
        self.model.train()
        for batch in self.train_dataloader:
            loss = self.model.training_step(self.prepare_batch(batch))
            self.optim.zero_grad()
            with torch.no_grad():
                loss.backward()
                if self.gradient_clip_val > 0:
                    self.clip_gradients(self.gradient_clip_val, self.model)
                self.optim.step()
            self.train_batch_idx += 1
        if self.val_dataloader is None:
            return
        self.model.eval()
        for batch in self.val_dataloader:
            with torch.no_grad():
                self.model.validation_step(self.prepare_batch(batch))
            self.val_batch_idx += 1

    return {"clip_gradients": clip_gradients, "fit_epoch": fit_epoch}


def _tensorflow(fw):
    tf = fw.lib

    def clip_gradients(self, grad_clip_val, grads):
        clip = tf.constant(grad_clip_val, tf.float32)
        grads = [tf.convert_to_tensor(grad) if isinstance(grad, tf.IndexedSlices) else grad for grad in grads]
        norm = tf.math.sqrt(sum(tf.reduce_sum(grad**2) for grad in grads))
        return [tf.where(norm < clip, grad, grad * clip / norm) for grad in grads]

    def fit_epoch(self):
        self.model.training = True
        for batch in self.train_dataloader:
            with tf.GradientTape() as tape:
                loss = self.model.training_step(self.prepare_batch(batch))
            grads = tape.gradient(loss, self.model.trainable_variables)
            if self.gradient_clip_val > 0:
                grads = self.clip_gradients(self.gradient_clip_val, grads)
            self.optim.apply_gradients(zip(grads, self.model.trainable_variables, strict=True))
            self.train_batch_idx += 1
        if self.val_dataloader is None:
            return
        self.model.training = False
        for batch in self.val_dataloader:
            self.model.validation_step(self.prepare_batch(batch))
            self.val_batch_idx += 1

    return {"clip_gradients": clip_gradients, "fit_epoch": fit_epoch}


def _mxnet(fw):
    def clip_gradients(self, grad_clip_val, model):
        params = [param.data() for param in model.parameters().values()]
        norm = sum((param.grad**2).sum() for param in params) ** 0.5
        if norm > grad_clip_val:
            for param in params:
                param.grad[:] *= grad_clip_val / norm

    def fit_epoch(self):
        for batch in self.train_dataloader:
            with fw.lib.autograd.record():
                loss = self.model.training_step(self.prepare_batch(batch))
            loss.backward()
            if self.gradient_clip_val > 0:
                self.clip_gradients(self.gradient_clip_val, self.model)
            self.optim.step(1)
            self.train_batch_idx += 1
        if self.val_dataloader is None:
            return
        for batch in self.val_dataloader:
            self.model.validation_step(self.prepare_batch(batch))
            self.val_batch_idx += 1

    return {"clip_gradients": clip_gradients, "fit_epoch": fit_epoch}


def _jax(fw):
    jax, jnp = fw.lib, fw.lib.numpy

    def fit(self, model, data, key=None):
        from flax.training import train_state

        class TrainState(train_state.TrainState):
            batch_stats: Any
            dropout_rng: Any

        self.prepare_data(data)
        self.prepare_model(model)
        params_key, dropout_key = jax.random.split(fw.d2l.get_key() if key is None else key)
        inputs = next(iter(self.train_dataloader))[:-1]
        variables = model.apply_init(inputs, key={"params": params_key, "dropout": dropout_key})
        self.state = TrainState.create(
            apply_fn=model.apply,
            params=variables["params"],
            batch_stats=variables.get("batch_stats", {}),
            dropout_rng=dropout_key,
            tx=model.configure_optimizers(),
        )
        self.epoch = self.train_batch_idx = self.val_batch_idx = 0
        for self.epoch in range(self.max_epochs):  # noqa: B020
            self.fit_epoch()

    def clip_gradients(self, grad_clip_val, grads):
        norm = jnp.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(grads)))
        return jax.tree.map(lambda leaf: jnp.where(norm < grad_clip_val, leaf, leaf * grad_clip_val / norm), grads)

    def fit_epoch(self):
        self.model.training = True
        for batch in self.train_dataloader:
            _, grads = self.model.training_step(self.state.params, self.prepare_batch(batch), self.state)
            if self.gradient_clip_val > 0:
                grads = self.clip_gradients(self.gradient_clip_val, grads)
            self.state = self.state.apply_gradients(grads=grads)
            self.state = self.state.replace(dropout_rng=jax.random.split(self.state.dropout_rng)[0])
            self.train_batch_idx += 1
        if self.val_dataloader is None:
            return
        self.model.training = False
        for batch in self.val_dataloader:
            self.model.validation_step(self.state.params, self.prepare_batch(batch), self.state)
            self.val_batch_idx += 1

    return {"fit": fit, "clip_gradients": clip_gradients, "fit_epoch": fit_epoch}
