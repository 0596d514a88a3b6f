"""The helper's names, and how they are called, are those of interface.yml, and what sections use is among them."""

import pytest
import yaml

from . import interface
from .chapters import used
from .examples import images_in_memory, tiny

pytestmark = pytest.mark.helper
ADVICE = "Chapters and users rely on these. If the change is meant, `make contract` writes it down, for review."

# Attributes of objects once a model has been fitted, beside methods and properties: test_attributes.py looks at them.
ATTRIBUTES = {
    "Trainer": [
        "progress",
        *("model", "optim", "epoch", "train_batch_idx", "val_batch_idx", "num_train_batches", "num_val_batches"),
        *("gpus", "train_dataloader", "val_dataloader", "max_epochs", "gradient_clip_val", "hparams"),
    ],
    "Module": ["trainer", "board", "plot_train_per_epoch", "plot_valid_per_epoch"],
    "DataModule": ["root", "num_workers", "batch_size", "hparams"],
    "ProgressBoard": ["curves", "xlabel", "ylabel", "xlim", "ylim", "xscale", "yscale", "display", "figsize"],
    "TrainState": ["params", "batch_stats", "dropout_rng", "opt_state", "tx", "apply_fn"],
}
# Those that only some frameworks have.
OWN = {
    "torch": {"Module": ["training", "hparams"]},
    "tensorflow": {"Module": ["training", "hparams"]},
    "mxnet": {"Module": ["hparams"]},
    "jax": {"Module": ["training"], "Trainer": ["state"]},
}
# The classes that have the methods of such objects.
CLASSES = {
    "Trainer": {"Trainer", "HyperParameters"},
    "Module": {"Module", "Classifier", "HyperParameters"},
    "DataModule": {"DataModule", "FashionMNIST", "SyntheticRegressionData", "HyperParameters"},
    "ProgressBoard": {"ProgressBoard", "HyperParameters"},
    "TrainState": {"TrainState"},
}


def test_names_are_called_as_they_were(fw):
    changes = interface.changes(interface.stored(fw.name), interface.interface(fw.name))
    assert not changes, "\n".join([*(f"d2l.{fw.name}: {line}" for line in changes), ADVICE])


def test_change_is_named_with_what_was_and_what_is():
    was = {"Trainer.fit": "(self, model, data)", "LeNet": "(lr=0.1)", "cpu": "()"}
    now = {"Trainer.fit": "(self, model, data, *, resume=False)", "cpu": "()", "tpu": "(i=0)"}
    assert interface.changes(was, now) == [
        "LeNet is gone; it was (lr=0.1)",
        "tpu is new: (i=0)",
        "Trainer.fit was (self, model, data) and is (self, model, data, *, resume=False)",
    ]


def test_what_is_written_is_what_was_found(monkeypatch, tmp_path, capsys):
    found = {"torch": {"b": "()", "a": "(x)", "c": "(y)"}, "jax": {"b": "()", "a": "(x, key)", "d": "property"}}
    monkeypatch.setattr(interface, "NAMES", tuple(found))
    monkeypatch.setattr(interface, "interface", found.get)
    monkeypatch.setattr(interface, "PATH", tmp_path / "interface.yml")
    interface.write()
    assert {name: interface.stored(name) for name in found} == found
    assert yaml.safe_load(interface.PATH.read_text("utf-8"))["b"] == "()"  # once for all
    assert "d2l.jax: d is new: property" in capsys.readouterr().out
    interface.write()
    assert capsys.readouterr().out == ""


# What a section's own subclass has: the answers measure with a trainer that knows its throughput and its memory.
OF_SECTIONS = {"Trainer": {"memory", "rate"}}


def attributes(fw, owner):
    return [*ATTRIBUTES[owner], *OWN[fw.name].get(owner, [])]


def test_sections_use_only_what_is_frozen(fw):
    """What is found in the code of the sections is in interface.yml, among the attributes, or the framework's own."""
    frozen = interface.stored(fw.name)
    for owner, names in used(fw.extra).items():
        if owner == "d2l":
            known = {*frozen, "__file__"}  # which every module has
        else:
            members = {name.rpartition(".")[::2] for name in frozen}
            known = {member for cls, member in members if cls in CLASSES[owner]} | set(attributes(fw, owner))
            foreign = [base for base in getattr(fw.d2l, owner).__mro__ if not base.__module__.startswith("d2l.")]
            known |= {name for base in foreign for name in dir(base)} | OF_SECTIONS.get(owner, set())
        assert names, owner
        assert names <= known, f"{owner}: {sorted(names - known)}"


@pytest.mark.usefixtures("full_run")
def test_objects_have_their_attributes_after_fit(fw):
    model, data, trainer = tiny(fw), images_in_memory(fw), fw.d2l.Trainer(max_epochs=1)
    fw.fit(trainer, model, data)
    objects = {"Trainer": trainer, "Module": model, "DataModule": data, "ProgressBoard": model.board}
    if fw.name == "jax":
        objects["TrainState"] = trainer.state
    missing = [
        f"{owner}.{name}"
        for owner, thing in objects.items()
        for name in attributes(fw, owner)
        if not hasattr(thing, name)
    ]
    assert missing == []
