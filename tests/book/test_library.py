"""What the helper takes from the chapter and from config.ini: classes marked #@save, and names for tensor functions."""

import importlib

import nbformat
import numpy as np
import pytest

from book.d2lbook_adapter import with_own_names
from book.errors import BookError
from book.files import ROOT
from book.frameworks import FRAMEWORKS, is_installed
from book.library import library
from d2l.plotting import to_numpy

pytestmark = pytest.mark.helper

X = np.array([[0.5, -1.0, 2.0], [3.0, -2.5, 0.25]], np.float32)
CALLS = {
    "d2l.reshape(x, (3, 2))": X.reshape(3, 2),
    "d2l.transpose(x)": X.T,
    "d2l.swapaxes(x, 0, 1)": X.T,
    "d2l.expand_dims(x, 0)": X[None],
    "d2l.concat((x, x), 0)": np.concatenate((X, X)),
    "d2l.stack((x, x))": np.stack((X, X)),
    "d2l.reduce_sum(x)": X.sum(),
    "d2l.reduce_mean(x, 1)": X.mean(1),
    "d2l.argmax(x, 1)": X.argmax(1),
    "d2l.abs(x)": np.abs(X),
    "d2l.exp(x)": np.exp(X),
    "d2l.log(d2l.abs(x))": np.log(np.abs(X)),
    "d2l.sin(x) + d2l.cos(x)": np.sin(X) + np.cos(X),
    "d2l.sinh(x) - d2l.cosh(x)": np.sinh(X) - np.cosh(X),
    "d2l.tanh(x)": np.tanh(X),
    "d2l.sigmoid(x)": 1 / (1 + np.exp(-X)),
    "d2l.matmul(x, d2l.ones((3, 2)))": X @ np.ones((3, 2)),
    "d2l.batch_matmul(d2l.stack((x, x)), d2l.zeros((2, 3, 2)))": np.zeros((2, 2, 2)),
    "d2l.astype(x, d2l.int32)": X.astype(np.int32),
    "d2l.ones_like(x) + d2l.zeros_like(x)": np.ones_like(X),
    "d2l.eye(2)": np.eye(2),
    "d2l.arange(4)": np.arange(4),
    "d2l.linspace(0.0, 1.0, 5)": np.linspace(0, 1, 5),
    "d2l.tensor([1.0, 2.0], dtype=d2l.float32)": [1, 2],
    "d2l.numpy(x)": X,
    "d2l.size(x)": 6,
}


@pytest.fixture(scope="module", params=FRAMEWORKS)
def tab(request):
    if not is_installed(request.param):
        pytest.skip(f"the framework of the {request.param} tab is not installed here")
    return request.param


def test_helper_has_what_the_chapter_saves():
    """Else: make lib."""
    for module, text in library().items():
        assert module.read_text("utf-8") == text, f"{module.name} is not what make lib writes"


def test_module_without_a_place_for_generated_code_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("book.library.ROOT", tmp_path)
    module = tmp_path / "d2l" / "torch.py"
    module.parent.mkdir()
    module.write_text("written by hand")
    with pytest.raises(BookError, match="no line"):
        library()
    assert module.read_text("utf-8") == "written by hand"


def test_tab_without_a_module_is_named(monkeypatch):
    monkeypatch.setattr("book.library.configured_tabs", lambda: ["pytorch", "keras"])
    with pytest.raises(BookError, match=r"no section \[library-keras\]"):
        library()


def test_alexnet_of_the_helper_is_that_of_the_page(tab, sections):
    code = next(
        cell.source for s in sections if s.tab == tab for cell in s.code_cells if "class AlexNet" in cell.source
    )
    saved = (ROOT / "d2l" / f"{FRAMEWORKS[tab].module}.py").read_text("utf-8")
    _, page = code.split("\n", 1)
    assert page in saved
    assert hasattr(importlib.import_module(f"d2l.{FRAMEWORKS[tab].module}"), "AlexNet")


def rewritten(call: str, tab: str) -> str:
    """The call as d2lbook writes it into the tab's notebook."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(f"y = {call}")])
    return with_own_names(notebook, tab).cells[0].source.removeprefix("y = ")


@pytest.mark.parametrize("call", CALLS)
def test_tensor_names_do_the_same_called_and_rewritten(tab, call):
    d2l = importlib.import_module(f"d2l.{FRAMEWORKS[tab].module}")
    names = dict(vars(d2l), d2l=d2l, x=d2l.tensor(X))
    for code in (call, rewritten(call, tab)):
        y = eval(code, dict(names))
        np.testing.assert_allclose(to_numpy(y), CALLS[call], rtol=1e-5, atol=1e-6)
