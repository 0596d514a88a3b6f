"""The reference of the helper: every public name has an entry, which says how it is called and what it does."""

import ast
import re

import pytest
from contract.adapters import EXTRAS, NAMES
from contract.interface import stored

pytest.importorskip("griffe", reason="the extra book brings griffelib, which reads the docstrings")

from book.helper_examples import examples
from book.helper_reference import Text, aliases, libraries, names_in, reference

CLASSES = {entry.name: entry for entry in reference().values()}
ENTRIES = [one for entry in CLASSES.values() for one in (entry, *entry.members)]
LONGEST_LINE = 84  # of an example: what a page has room for
# Users are given it, and the framework makes it.
WITHOUT_A_CALL = {"TrainState"}
# By whose last names: what the framework or a trainer calls in a class that comes with the helper.
CALLED_BY_OTHERS = {"setup", "call", "__call__", "forward", "loss", "training_step", "validation_step"}
CALLED_BY_OTHERS |= {"configure_optimizers", "get_dataloader", "before_fit", "after_epoch", "after_fit"}
# These may become fewer: what gets an example has to go.
WITHOUT_EXAMPLE = {
    *(f"ProgressBoard.{name}" for name in ("clear", "by_step", "refresh", "flush_means", "flush")),
    *(f"ProgressBoard.{name}" for name in ("state", "set_state", "render")),
    *(f"Module.{name}" for name in ("parameters", "get_scratch_params", "set_scratch_params_device")),
    *(f"Trainer.{name}" for name in ("prepare_data", "prepare_model", "fit_epoch", "log", "stop")),
    *(f"Observer.{name}" for name in ("before_epoch", "before_pass", "before_batch")),
}


def attributes(entry):
    """The attributes that the docstring of a class lists."""
    texts = [text for text in (entry.common, *entry.own.values()) if text]
    sections = [section for text in texts for section in text.sections() if section.kind.value == "attributes"]
    return {f"{entry.name}.{name}" for section in sections for item in section.value for name in names_in(item)}


def parameters(call):
    """The names of the parameters in a call such as ``f(x, *, y=1)``, without the object itself."""
    found = ast.parse(f"def {call}: ...").body[0].args
    names = [*found.posonlyargs, *found.args, *found.kwonlyargs, *filter(None, [found.vararg, found.kwarg])]
    return [name.arg for name in names if name.arg != "self"]


def has_example(entry):
    """Whether an example shows a name: one of its own, or that of its class."""
    owner, _, name = entry.name.rpartition(".")
    of_class = " ".join(examples().get(owner, {}).values())
    return entry.name in examples() or re.search(rf"\b{name}\b", of_class) is not None


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_an_entry(name):
    tab = EXTRAS[name]
    documented = {entry.name for entry in ENTRIES if tab in entry.calls}.union(*map(attributes, CLASSES.values()))
    documented |= {other for other, own in {**aliases(), **libraries()}.items() if tab in own}
    assert [one for one in stored(name) if not one.endswith(".__mro__") and one not in documented] == []


@pytest.mark.parametrize("name", NAMES)
def test_calls_are_those_of_the_contract(name):
    contract, tab = stored(name), EXTRAS[name]
    calls = {entry.name: entry.calls[tab] for entry in ENTRIES if tab in entry.calls}
    assert {one for one, call in calls.items() if not call and contract[one] != "property"} <= WITHOUT_A_CALL
    wrong = {one: call for one, call in calls.items() if call and parameters(call) != parameters(f"f{contract[one]}")}
    assert wrong == {}


@pytest.mark.parametrize("tab", EXTRAS.values())
def test_every_entry_says_what_it_is(tab):
    having = [entry for entry in ENTRIES if tab in entry.calls and not entry.name.endswith(".setup")]
    assert [entry.name for entry in having if not (entry.common or tab in entry.own)] == []


def test_every_name_that_users_call_has_an_example():
    called = [entry for entry in ENTRIES if any(entry.calls.values())]
    missing = {entry.name for entry in called if not has_example(entry)}
    by_others = {name for name in missing if "." in name and name.rpartition(".")[2] in CALLED_BY_OTHERS}
    assert sorted(missing - by_others) == sorted(WITHOUT_EXAMPLE)


def test_every_example_is_of_a_name_and_fits_on_the_page():
    assert set(examples()) <= {entry.name for entry in ENTRIES}
    lines = [line for by_tab in examples().values() for code in by_tab.values() for line in code.splitlines()]
    assert [line for line in lines if len(line) > LONGEST_LINE] == []


def test_a_docstring_that_refers_to_another_has_that_ones_text_and_its_own():
    fit = next(member for member in CLASSES["Trainer"].members if member.name == "Trainer.fit")
    assert fit.common and "Resumed, a run goes on" in fit.common.text
    assert list(fit.own) == ["jax"]
    assert "See `d2l" not in fit.own["jax"].text


def test_several_names_of_one_line_are_all_there():
    assert {"TrainState.tx", "TrainState.opt_state"} <= attributes(CLASSES["TrainState"])
    arguments = next(s for s in CLASSES["plot"].common.sections() if s.kind.value == "parameters").value
    assert names_in(arguments[0]) == ["X", "Y"]
    assert names_in(arguments[1]) == ["xlabel", "ylabel", "legend"]


def test_what_is_returned_stands_as_it_is_written():
    text = Text(
        "Count.\n\nReturns:\n    Counts (n, m): a row each.\n    And more.\n\nRaises:\n    ValueError: No.", None
    )
    assert text.returned.strip() == "Counts (n, m): a row each.\nAnd more."
