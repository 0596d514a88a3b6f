"""What the command trains with: recipes, optimizers, schedules of the learning rate, and the best weights."""

import re
from pathlib import Path

import numpy as np
import pytest
from contract.adapters import EXTRAS, NAMES
from contract.fixtures import adapter
from photographs import write_folder
from test_train import lines, points, stop_at

from d2l import recipes
from d2l.plotting import to_numpy
from d2l.recipes import RECIPES, SETTINGS, complete, distinctions, rate
from d2l.train import FRAMEWORKS, main
from d2l.train_options import make_parser
from d2l.weights_file import read_weights

pytestmark = pytest.mark.helper

SOFTMAX = ("--model", "softmax", "--batch-size", "32", "--seed", "1", "--devices", "0")
STEPS = 8  # of an epoch of a smoke run in batches of 32
ARTICLE = {
    "epochs": 90,
    "batch_size": 128,
    "optimizer": "sgd",
    "lr": 0.01,
    "momentum": 0.9,
    "weight_decay": 0.0005,
    "lr_schedule": "plateau",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of its own, where a command's files go."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(*arguments):
    """What a run takes that is asked for so."""
    return complete(vars(make_parser(FRAMEWORKS).parse_args(["jax", *arguments])))


def rates(path="run.jsonl"):
    """The epochs that a log has another learning rate from, and the rates."""
    return {line["epoch"]: line["lr"] for line in lines(path) if line.get("event") == "lr"}


# What a run takes


def test_recipe_of_the_article_is_what_the_article_says():
    assert settings("--recipe", "alexnet-2012") == ARTICLE


@pytest.mark.parametrize("name", SETTINGS)
def test_each_value_of_a_recipe_can_be_replaced(name):
    other = {"optimizer": "adamw", "lr_schedule": "cosine", "momentum": 0.5}.get(name, 7)
    found = settings("--recipe", "alexnet-2012", f"--{name.replace('_', '-')}", str(other))
    assert found[name] == other
    kept = {key: value for key, value in ARTICLE.items() if key != name}
    if name == "optimizer":  # what the article has for SGD is not for another
        kept |= {"lr": 0.001, "momentum": None, "weight_decay": 0.01}
    assert {key: found[key] for key in kept} == kept


@pytest.mark.parametrize(
    ("arguments", "lr", "momentum", "weight_decay"),
    [
        ((), 0.01, 0.0, 0.0),
        (("--model", "lenet"), 0.5, 0.0, 0.0),
        (("--model", "softmax", "--momentum", "0.9"), 0.1, 0.9, 0.0),
        (("--model", "lenet", "--optimizer", "adam"), 0.001, None, None),
        (("--optimizer", "adamw", "--weight-decay", "0.1"), 0.001, None, 0.1),
    ],
)
def test_optimizers_have_values_of_their_own(arguments, lr, momentum, weight_decay):
    found = settings(*arguments)
    assert (found["lr"], found["momentum"], found["weight_decay"]) == (lr, momentum, weight_decay)


def test_plain_run_is_set_apart_by_nothing_and_a_cosine_by_its_epochs():
    assert set(distinctions(settings(), 10).values()) == {None}
    cosine = distinctions(settings("--lr-schedule", "cosine", "--optimizer", "adam"), 10)
    assert cosine == {
        "optimizer": "adam",
        "momentum": None,
        "weight_decay": None,
        "lr_schedule": "cosine over 10 epochs",
    }


# The learning rate of each epoch


def by_epoch(schedule, epochs, scores=()):
    return [rate(schedule, 0.01, epoch, epochs, scores[:epoch]) for epoch in range(epochs)]


def test_schedules_that_go_by_the_epoch():
    assert by_epoch("constant", 3) == [0.01] * 3
    assert by_epoch("1,3", 5) == [0.01, 0.001, 0.001, 0.0001, 0.0001]
    np.testing.assert_allclose(by_epoch("cosine", 4), 0.005 * (1 + np.cos(np.pi * np.arange(4) / 4)))


def test_plateau_waits_for_a_better_score_and_drops_three_times_at_most(monkeypatch):
    monkeypatch.setattr(recipes, "PLATEAU_PATIENCE", 2)
    scores = [0.1, 0.2, 0.2, 0.3, 0.3, 0.3, 0.3, 0.4, 0.4, 0.4]
    assert by_epoch("plateau", 10, scores) == [0.01] * 6 + [0.001] * 4
    assert by_epoch("plateau", 12, [0.0] * 12)[-1] == 0.01 / 1000


# The updates, held to NumPy's


class Watched:
    """The examples of each step of a run, and the weights before it and after it."""

    def __init__(self, patch, fw):
        backend, self.steps, self.weights = fw.d2l.Trainer.backend_type, [], []
        train_step = backend.train_step

        def step(own, model, optimizer, batch, clip):
            X, y = (to_numpy(x) for x in batch)
            if not self.weights:
                own.predict(model, [X])  # from which MXNet's layers have weights
                self.weights.append(self._weights(own, model))
            metrics = train_step(own, model, optimizer, batch, clip)
            self.steps.append((X.reshape(len(X), -1), y))
            self.weights.append(self._weights(own, model))
            return metrics

        patch.setattr(backend, "train_step", step)

    @staticmethod
    def _weights(backend, model):
        """The weights (784, 10) and the biases (10,)."""
        arrays = {x.ndim: x for x in (np.array(to_numpy(x), np.float64) for x in backend.model_state(model).values())}
        return [arrays[2] if len(arrays[2]) == 784 else arrays[2].T, arrays[1]]


def gradients(weights, X, y):
    """Those of the mean cross-entropy of a linear classifier."""
    logits = X @ weights[0] + weights[1]
    p = np.exp(logits - logits.max(1, keepdims=True))
    error = (p / p.sum(1, keepdims=True) - np.eye(10)[y.astype(int)]) / len(y)
    return [X.T @ error, error.sum(0)]


def recipe(name, weight_decay):
    """The article's rule, whose rate drops after an epoch; some frameworks have the rate outside of the velocity."""
    velocities, rate_inside = [0.0, 0.0], name in ("tensorflow", "mxnet")

    def update(i, step, w, grad):
        lr = 0.01 if step < STEPS else 0.001
        velocities[i] = 0.9 * velocities[i] + (grad + weight_decay * w) * (lr if rate_inside else 1)
        return w - velocities[i] * (1 if rate_inside else lr)

    return update


def adam(name, weight_decay):
    """Adam; some frameworks add epsilon to a root that is yet to be corrected for its beginning with zeros."""
    first, second = [0.0, 0.0], [0.0, 0.0]

    def update(i, step, w, grad):
        first[i] = 0.9 * first[i] + 0.1 * grad
        second[i] = 0.999 * second[i] + 0.001 * grad**2
        mean, share = first[i] / (1 - 0.9 ** (step + 1)), 1 - 0.999 ** (step + 1)
        epsilon = 1e-8 / share**0.5 if name in ("tensorflow", "mxnet") else 1e-8
        return w - 0.001 * (mean / ((second[i] / share) ** 0.5 + epsilon) + weight_decay * w)

    return update


ASKED_FOR = {
    "recipe": (recipe, 0.5, ("--recipe", "alexnet-2012", "--lr-schedule", "1", "--weight-decay", "0.5")),
    "adam": (adam, 0.0, ("--optimizer", "adam")),
    "adamw": (adam, 2.0, ("--optimizer", "adamw", "--weight-decay", "2")),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("asked_for", ASKED_FOR)
def test_each_step_of_a_run_is_the_one_asked_for(monkeypatch, name, asked_for):
    watched = Watched(monkeypatch, adapter(name))
    rule, weight_decay, arguments = ASKED_FOR[asked_for]
    assert main([EXTRAS[name], *SOFTMAX, "--epochs", "2", *arguments]) == 0
    assert len(watched.steps) == 2 * STEPS
    update, weights = rule(name, weight_decay), watched.weights[0]
    for step, (X, y) in enumerate(watched.steps):
        grads = gradients(weights, X, y)
        weights = [update(i, step, w, grad) for i, (w, grad) in enumerate(zip(weights, grads, strict=True))]
        for own, expected in zip(watched.weights[step + 1], weights, strict=True):
            np.testing.assert_allclose(own, expected, atol=2e-5)


def test_run_says_and_logs_the_values_that_it_took(torch, capsys):
    assert main(["pytorch", *SOFTMAX, "--recipe", "alexnet-2012", "--lr", "0.02", "--log-file", "run.jsonl"]) == 0
    assert (
        "Training softmax by the recipe alexnet-2012: --epochs 90 --batch-size 32 --optimizer sgd --lr 0.02 "
        "--momentum 0.9 --weight-decay 0.0005 --lr-schedule plateau\n"
    ) in capsys.readouterr().out
    logged = lines()[0]["settings"]
    assert logged["recipe"] == "alexnet-2012"
    assert {name: logged[name] for name in SETTINGS} == ARTICLE | {"batch_size": 32, "lr": 0.02}


def test_recipes_are_in_the_help_with_their_values(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    for name, recipe in RECIPES.items():
        (line,) = re.findall(rf"^ +{name} +(--epochs .*)$", said, re.M)
        assert line.split()[1::2] == [f"{x:g}" if isinstance(x, float) else str(x) for x in recipe.values()]


# Going on


@pytest.mark.parametrize("name", NAMES)
def test_plateau_and_best_weights_go_on_as_in_an_unbroken_run(folder, monkeypatch, capsys, name):
    fw = adapter(name)
    monkeypatch.setenv("D2L_PROFILE", "full")
    monkeypatch.setattr(recipes, "PLATEAU_PATIENCE", 1)
    write_folder(folder / "images", train=2, val=1)
    arguments = [
        EXTRAS[name],
        *SOFTMAX,
        "--batch-size",
        "3",
        "--data",
        "images",
        "--epochs",
        "6",
        "--checkpoint-every",
        "1",
    ]
    arguments += ["--recipe", "alexnet-2012"]

    def killed(_):
        raise KeyError("killed")

    def run(where, *more):
        kept = ("--checkpoint-dir", where, "--log-file", f"{where}.jsonl", "--keep-best", f"{where}.safetensors")
        return main([*arguments, *kept, *more])

    assert run("whole") == 0
    assert len(rates("whole.jsonl")) > 1
    with monkeypatch.context() as patch, pytest.raises(KeyError, match="killed"):
        stop_at(patch, fw, killed, training=10)  # the second of two in epoch 5
        run("parts")
    assert run("parts", "--resume") == 0
    assert points("parts.jsonl") == points("whole.jsonl")
    assert rates("parts.jsonl") == {**rates("whole.jsonl"), **dict([max(rates("parts.jsonl").items())])}
    expected, found = (read_weights(Path(f"{where}.safetensors"), name) for where in ("whole", "parts"))
    for key, array in expected.items():
        np.testing.assert_array_equal(found[key], array)
    assert "From epoch 3 on, the rate is" in capsys.readouterr().out
