"""Fixtures for the tests of all frameworks; conftest.py makes them known everywhere."""

import pytest

from .adapters import ADAPTERS, NAMES

NO_GPU = "needs a GPU, and none is in use: D2L_TEST_GPUS=0 in the environment lets these tests have the first one"


def skip_without_gpu(d2l):
    """Skip a test that needs a GPU where a framework's helper has none."""
    if not d2l.num_gpus():
        pytest.skip(NO_GPU)


def skip_with_gpu(d2l):
    """Skip a test of a machine without GPUs where a framework's helper has one in use."""
    if d2l.num_gpus():
        pytest.skip("needs a machine without a GPU, or none in D2L_TEST_GPUS")


def adapter(name):
    """A framework's adapter; where the framework is not installed, the test that asks for it is skipped."""
    try:
        return ADAPTERS[name]()
    except ImportError as error:
        if "is not installed here" not in str(error):  # as when a module of the helper lacks a name
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=(pytest.param("torch", marks=pytest.mark.quick), *NAMES[1:]))
def fw(request):
    """The adapter of one framework after the other; `make quick` has the first."""
    return adapter(request.param)


@pytest.fixture(scope="module", params=("torch", "tensorflow", "mxnet"))
def stateful(request):
    """The adapter of one after the other of the frameworks whose models hold their own weights."""
    return adapter(request.param)


@pytest.fixture(scope="module")
def torch():
    """PyTorch's adapter."""
    return adapter("torch")


@pytest.fixture(autouse=True)
def seeded(request):
    """Each test of a framework starts from the same random state, whichever tests ran before."""
    for name in {"fw", "stateful", "torch"} & set(request.fixturenames):
        request.getfixturevalue(name).seed(1)


@pytest.fixture
def full_run(monkeypatch, tmp_path):
    """Runs of as many epochs as asked for, in a folder of their own."""
    monkeypatch.setenv("D2L_PROFILE", "full")
    monkeypatch.chdir(tmp_path)
