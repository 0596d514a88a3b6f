"""The notebook tests fail for what matters and for nothing else."""

import asyncio
import copy
import io
from collections.abc import Callable
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from matplotlib import pyplot as plt
from nbformat import NotebookNode
from nbval.plugin import NbCellError
from notebooks import Notebook

from book.compare_outputs import differences, numbers
from book.notebook_client import Client
from book.reference_numbers import reference_path
from d2l.mime import CURVES_MIME, RUN_MIME
from d2l.plotting import SVG_STYLE

pytestmark = pytest.mark.quick


@pytest.fixture(params=["pytorch", "tensorflow", "mxnet"])
def outputs(request, sections) -> list[dict]:
    """A tab's stored outputs of all cells, to be changed by a test."""
    section = next(s for s in sections if s.code_cells and s.tab == request.param)
    cells = nbformat.read(reference_path(section), as_version=4).cells
    return [copy.deepcopy(output) for cell in cells if cell.cell_type == "code" for output in cell.outputs]


def same(test: list[dict], reference: list[dict]) -> bool:
    """Whether two lists of outputs pass as equal."""
    return not differences(test, reference)


def data_of(outputs: list[dict], mime: str) -> dict:
    """The first output's data of a media type."""
    return next(output["data"][mime] for output in outputs if mime in output.get("data", {}))


def replace_text(outputs: list[dict], old: str, new: str) -> None:
    """Change every text, printed or drawn."""
    for output in outputs:
        if "text" in output:
            output["text"] = output["text"].replace(old, new)
        for mime, value in output.get("data", {}).items():
            if isinstance(value, str):
                output["data"][mime] = value.replace(old, new)


def test_rerun_with_other_speed_and_rounding_passes(outputs):
    test = copy.deepcopy(outputs)
    run = data_of(test, RUN_MIME)
    run["examples_per_second"] *= 2
    run["metrics"]["val_loss"] += 1e-6
    for _, points in data_of(test, CURVES_MIME)["curves"].items():
        points[0][1] += 1e-6
    assert same(test, outputs)


def run_with(loss: float) -> list[dict]:
    """The output of a run with this loss."""
    run = {"metrics": {"val_loss": loss}, "epochs": 2, "max_epochs": 2, "examples_per_epoch": 256}
    return [nbformat.v4.new_output("display_data", data={RUN_MIME: run, "text/plain": f"loss {loss}"})]


def found_by(epoch: int, accuracy: float, guess: str) -> list[dict]:
    """What a section says and shows of a network that it has trained for a few steps."""
    text = f"The weights are those of epoch {epoch}\nacc {accuracy:.3f}\n(64, 10)\n"
    data = {"image/svg+xml": f"<svg>{guess}</svg>", "text/plain": "<Figure size 640x480 with 1 Axes>"}
    return [nbformat.v4.new_output("stream", text=text), nbformat.v4.new_output("display_data", data=data)]


def test_results_of_a_few_steps_may_differ_where_a_section_says_so_but_nothing_else():
    one, other = found_by(1, 0.094, "bag"), found_by(2, 0.125, "coat")
    assert differences(one, other, "own_model") == []
    assert differences(one, other, "alexnet") != []
    for old, new in (("acc", "loss"), ("(64, 10)", "(32, 10)"), ("with 1 Axes", "with 2 Axes")):
        replace_text(changed := copy.deepcopy(one), old, new)
        assert differences(changed, one, "own_model") != []
    assert differences(one[:1], one, "own_model") != []


def test_another_precision_differs_and_is_no_number_of_the_run(outputs):
    test = copy.deepcopy(outputs)
    line = data_of(test, RUN_MIME)["precision"]
    assert line == "float32"
    replace_text(test, "in float32", "in float64")
    assert "+smoke run: train_loss #, val_loss #" in "\n".join(differences(test, outputs))
    for precision in ("bfloat16", "float32 with TF32 convolutions"):
        replace_text(test := copy.deepcopy(outputs), "in float32", f"in {precision}")
        assert numbers(test) == numbers(outputs)


def test_rounding_may_grow_where_networks_learn_fast_and_nowhere_else():
    assert not differences(run_with(2.0283), run_with(2.0211), "answers")
    assert differences(run_with(2.0283), run_with(2.0211), "alexnet")
    assert differences(run_with(2.0283), run_with(2.3), "answers")


def test_mean_over_runs_may_be_another_and_what_is_said_of_it_may_not():
    def printed(line: str) -> list[dict]:
        return [nbformat.v4.new_output("stream", name="stdout", text=f"{line}\n")]

    assert not differences(
        printed("tanh    6.2 ± 0.0   -0.3 ± 1.2   worse"), printed("tanh   12.5 ± 10.1  +0.3 ± 1.2   worse")
    )
    assert differences(printed("tanh    6.2 ± 0.0   worse"), printed("tanh    6.2 ± 0.0   better"))
    assert differences(printed("tanh    6.2"), printed("tanh    6.3"))


def test_each_of_several_runs_counts_and_the_difference_says_which():
    test, reference = run_with(2.1) + run_with(2), run_with(2.3) + run_with(2)
    assert differences(test, reference) == ["run 1, final val_loss: 2.3 -> 2.1, more than 0.0002 apart"]


@pytest.mark.parametrize("count", ["epochs", "max_epochs", "examples_per_epoch"])
def test_run_of_another_length_fails(count):
    test = run_with(2)
    data_of(test, RUN_MIME)[count] += 1
    assert [f"run 1, {count}" in line for line in differences(test, run_with(2))] == [True]


@pytest.mark.parametrize("label", ["train_loss", "val_loss", "val_acc"])
def test_other_curve_fails(outputs, label):
    test = copy.deepcopy(outputs)
    curves = data_of(test, CURVES_MIME)["curves"]
    curves[label][-1][1] += 0.05
    assert not same(test, outputs)


def test_loss_that_does_not_move_fails(outputs):
    test = copy.deepcopy(outputs)
    points = data_of(test, CURVES_MIME)["curves"]["val_loss"]
    points[1][1] = points[0][1]
    assert not same(test, outputs)


def test_loss_that_is_lost_equals_one_that_is_lost_and_no_other(outputs):
    test = copy.deepcopy(outputs)
    data_of(test, CURVES_MIME)["curves"]["val_loss"][1][1] = None
    assert not same(test, outputs)
    assert not same(outputs, test)
    assert same(test, test)


@pytest.mark.parametrize("label", ["train_loss", "val_loss", "val_acc"])
def test_missing_curve_or_point_fails(outputs, label):
    test = copy.deepcopy(outputs)
    data_of(test, CURVES_MIME)["curves"][label].pop()
    assert not same(test, outputs)
    del data_of(test, CURVES_MIME)["curves"][label]
    assert not same(test, outputs)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (", 12, 12", ", 13, 13"),  # another kernel size
        ("43,040,778", "43,040,779"),
        ("ankle boot", "bag"),  # swapped labels of the pictures
        ("val_acc", "val_err"),  # another legend
    ],
)
def test_other_words_or_shapes_fail(outputs, old, new):
    test = copy.deepcopy(outputs)
    replace_text(test, old, new)
    assert not same(test, outputs)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("34 GFLOP/s and 11 GB/s", "1,250 GFLOP/s and 3.5 GB/s", True),
        ("9,867 s for an epoch at best", "0.7 s for an epoch at best", True),
        ("12 ms, 20 images/s", "9.5 ms, 1e+03 images/s", True),
        ("1.88 GFLOP to classify an image", "1.89 GFLOP to classify an image", False),
        ("60 MB", "61 MB", False),
        ("10 sheep", "11 sheep", False),
    ],
)
def test_speeds_and_times_may_differ_and_nothing_else(one, other, equal):
    outputs = [[nbformat.v4.new_output("stream", text=text)] for text in (one, other)]
    assert same(*outputs) == equal


@pytest.mark.parametrize(
    ("one", "other", "changed"),
    [
        ("<Net object at 0x7f01aB>", "<Net object at 0x55d20>", "<Nut object at 0x7f01aB>"),
        (
            "/T/ipykernel_12/345.py:3: UserWarning",
            "/var/T/ipykernel_9/8.py:3: UserWarning",
            "/T/ipykernel_12/345.py:4: UserWarning",
        ),
        ("saved in /tmp/tmpab12_xyz/net", "saved in /tmp/tmp0123abcd/net", "saved in /tmp/tmpab12_xyz/nat"),
        (f"<Handle display_id={'0' * 32}>", f"<Handle display_id={'f' * 32}>", f"<Handle display_is={'0' * 32}>"),
        ("worker (pid 17) ends", "worker (pid 4242) ends", "worker (pod 17) ends"),
        ("opened with fd=62 by me", "opened with fd=7 by me", "opened with fd=62 by you"),
        ("ident=1404, native_id: 12", "ident=1394, native_id: 4242", "ident=1404, native: 12"),
        ("<Thread(Thread-5 (f), initial)>", "<Thread(Thread-17 (f), initial)>", "<Thread(Thread-5 (g), initial)>"),
        (
            "<_MainThread(MainThread, started 140100)>",
            "<_MainThread(MainThread, started 140222)>",
            "<_MainThread(MainThread, stopped 140100)>",
        ),
        ("<Task pending name='Task-93' f>", "<Task pending name='Task-1' f>", "<Task pending name='Task-93' g>"),
        ("in ThreadPoolExecutor-0_1", "in ThreadPoolExecutor-3_0", "in ThreadPoolExecuter-0_1"),
        (
            "'/home/a/_build/notebooks/jax/chapter_cnn'",
            "'/home/b/tests/reference/jax/chapter_cnn'",
            "'/home/a/_build/notebooks/jax/chapter_rnn'",
        ),
        ("2026-01-31 12:00:00,123 slow", "2026-02-01 08:15:42,003 slow", "2026-01-31 12:00:00,123 fast"),
        (
            "W0000 12:00:00.123456  17 a.cc:8] no",
            "W0000 08:15:42.000001 4242 a.cc:8] no",
            "E0000 12:00:00.123456  17 a.cc:8] no",
        ),
        (
            "CPU times: user 2 ms, sys: 0 ns\nWall time: 3 µs\n7",
            "CPU times: user 1min 2s\nCompiler : 157 ms\nWall time: 2 s\n7",
            "CPU times: user 2 ms, sys: 0 ns\nWall time: 3 µs\n8",
        ),
        (
            "1.2 ms ± 3 µs per loop (mean ± std. dev. of 7 runs, 10 loops each)",
            "The slowest run took 4.1 times longer than the fastest. Why?\n"
            "980 ns ± 3 ns per loop (mean ± std. dev. of 7 runs, 1 loop each)",
            "1.2 ms ± 3 µs per loop (mean ± std. dev. of 8 runs, 10 loops each)",
        ),
        (
            "\r 50%|5 | 1/2 [00:01<00:01, 1.00it/s]\r100%|#| 2/2 [00:02<00:00, 1.00it/s]\n",
            "\r100%|#| 2/2 [00:01<00:00, 2.31it/s]\n",
            "\r100%|#| 3/3 [00:01<00:00, 2.31it/s]\n",
        ),
        ("1/2\x08\x08\x082/2\n", "2/2\n", "1/2\n"),
        (
            "run 0b7c2f6e-4f6d-4b6e-9c39-0e4c7a9d1a55",
            "run 6fa459ea-ee8a-4ca4-894e-db77e160355e",
            "ran 0b7c2f6e-4f6d-4b6e-9c39-0e4c7a9d1a55",
        ),
    ],
)
def test_what_chance_or_the_clock_decides_may_differ_and_nothing_beside_it(one, other, changed):
    outputs = [[nbformat.v4.new_output("stream", text=text)] for text in (one, other, changed)]
    assert same(outputs[0], outputs[1])
    assert not same(outputs[0], outputs[2])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0xff", "0xfe"),
        ("2026-01-31", "2026-02-01"),
        ("on 2026-01-31 12:00:00", "on 2026-01-31 12:00:01"),
        ("tmp/model", "tmp/models"),
        ("Layer-1", "Layer-2"),
        ("Task-1: cats", "Task-2: cats"),
        ("started 1", "started 2"),
        ("a/notebooks/b", "a/reference/b"),
        ("d41d8cd98f00b204e9800998ecf8427e", "d41d8cd98f00b204e9800998ecf8427f"),
        ("6fa459ea-ee8a-3ca4-894e-db77e160355e", "6fa459ea-ee8a-3ca4-894e-db77e160355f"),  # computed from a name
        ("\x1b[31mred\x1b[0m", "\x1b[32mred\x1b[0m"),
        ("T_00001", "T_00002"),
        ("{'a', 'b'}", "{'b', 'a'}"),  # the order is the same in every run, see own_environment
    ],
)
def test_what_the_code_decides_is_compared(one, other):
    assert not same(*([nbformat.v4.new_output("stream", text=text)] for text in (one, other)))


def test_addresses_and_names_by_chance_may_differ_in_what_is_shown_as_well_and_in_errors():
    def shown(address, name, model, x=1):
        html = f'<style>#T_{name}_row0</style><p id="T_{name}">&lt;Net at 0x{address}&gt; {x}</p>'
        return [
            nbformat.v4.new_output("display_data", data={"text/html": html, "text/plain": f"<Net at 0x{address}>"}),
            nbformat.v4.new_output(
                "display_data", data={"application/vnd.jupyter.widget-view+json": {"model_id": model, "version": x}}
            ),
            nbformat.v4.new_output("error", ename="ValueError", evalue=f"<Net at 0x{address}> has {x}"),
        ]

    reference = shown("7f1", "0a1b2", "0" * 32)
    assert same(shown("55e", "fffff", "f" * 32), reference)
    for part in range(3):
        changed = [*reference[:part], shown("7f1", "0a1b2", "0" * 32, x=2)[part], *reference[part + 1 :]]
        assert not same(changed, reference)


def message(kind: str, parent: str = "asked", **content: object) -> dict:
    """A message of a kernel that answers a request."""
    return {"msg_type": kind, "header": {"msg_type": kind}, "parent_header": {"msg_id": parent}, "content": content}


def printed(text: str, parent: str = "asked") -> dict:
    return message("stream", parent, name="stdout", text=text)


def displayed(text: str, display_id: str, kind: str = "display_data") -> dict:
    return message(kind, data={"text/plain": text}, metadata={}, transient={"display_id": display_id})


def updated(text: str, display_id: str) -> dict:
    return displayed(text, display_id, "update_display_data")


def cleared(wait: bool) -> dict:
    return message("clear_output", wait=wait)


class Kernel:
    """A kernel's client whose kernel answers with what a test gives, a list of messages for each request."""

    def __init__(self, answers: list[list[dict]]):
        self.answers = iter(answers)
        self.errors: list[dict] = []
        self.shell_channel = SimpleNamespace(get_msg=self.reply)
        self.iopub_channel = SimpleNamespace(get_msg=self.next_message)

    def kernel_info(self) -> str:
        return "asked"

    def execute(self, code: str, **options: object) -> str:
        answer = next(self.answers)
        self.errors = [part["content"] for part in answer if part["msg_type"] == "error"]
        self.messages = iter([*answer, message("status", execution_state="idle")])
        return "asked"

    async def reply(self, timeout: float | None) -> dict:
        (error,) = self.errors or [{}]
        return message("execute_reply", status="error" if error else "ok", language_info={}, **error)

    async def next_message(self, timeout: float | None) -> dict:
        return next(self.messages)

    def is_alive(self) -> bool:
        return True

    def stop_channels(self) -> None:
        """There are none."""


def verdict(item: pytest.Item) -> str:
    """What a cell's test says, nothing if it passes."""
    try:
        item.runtest()
    except pytest.skip.Exception:
        return "skipped"
    except NbCellError as error:
        return ": ".join(filter(None, (str(error), error.inner_traceback)))
    return ""


@pytest.fixture
def judge(request, monkeypatch, tmp_path) -> Callable[..., list[str]]:
    """Tests a notebook of these cells as nbval collects it; gives the verdict on each."""

    def judge(*cells: NotebookNode) -> list[str]:
        path = tmp_path / "some.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=list(cells)), path)
        notebook = Notebook.from_parent(request.session, path=path)
        items = list(notebook.collect())
        with monkeypatch.context() as patch:  # pytest itself looks at them when the test has ended
            patch.setattr(request.session, "items", items)
            return list(map(verdict, items))

    return judge


@pytest.fixture
def compare(judge, monkeypatch) -> Callable[..., list[str]]:
    """Compares a notebook's stored texts with a kernel's answers, cell by cell; gives what is said of each."""

    def compare(answers: list[list[dict]], *stored: list[str]) -> list[str]:
        async def start(client: Client, **options: object) -> None:
            client.kc = Kernel(copy.deepcopy(answers))

        monkeypatch.setattr(Client, "async_start_new_kernel", start)
        return judge(*(cell_of("x = 1", *texts) for texts in stored))

    return compare


def cell_of(code: str, *shown: str) -> NotebookNode:
    """A cell with these texts stored as its outputs."""
    outputs = [nbformat.v4.new_output("display_data", data={"text/plain": text}) for text in shown]
    return nbformat.v4.new_code_cell(code, outputs=outputs, execution_count=1)


@pytest.mark.parametrize(
    ("answer", "stored"),
    [
        ([displayed("a", "1"), cleared(wait=False), displayed("b", "1")], ["b"]),
        ([displayed("a", "1"), cleared(wait=False)], []),
        ([displayed("a", "1"), cleared(wait=True), displayed("b", "1")], ["b"]),
        ([displayed("a", "1"), cleared(wait=True)], ["a"]),
        ([displayed("a", "1"), displayed("b", "2"), updated("c", "1")], ["c", "b"]),
        ([displayed("a", "1"), displayed("b", "1"), updated("c", "1")], ["c", "c"]),
        ([displayed("a", "1"), cleared(wait=False), updated("c", "1"), displayed("b", "2")], ["b"]),
        ([displayed("a", "1"), updated("c", "unknown")], ["a"]),
        ([displayed("a", "1"), printed("of an earlier cell", parent="before")], ["a"]),
    ],
)
def test_outputs_are_those_that_jupyter_stores(compare, answer, stored):
    assert compare([answer, []], stored, []) == ["", ""]
    assert compare([answer, []], [*stored, "more"], [])[0].startswith("Cell outputs differ: ")


def test_display_that_a_later_cell_updates_is_compared_as_it_is_in_the_end(compare):
    answers = [[displayed("a", "1")], [updated("b", "1"), displayed("other", "2")], [updated("c", "1")]]
    assert compare(answers, ["c"], ["other"], []) == ["", "", ""]
    stale = "Cell outputs differ: @@ -1,2 +1,2 @@\n [text/plain]\n-{}\n+{}"
    assert compare(answers, ["b"], ["other"], []) == [stale.format("b", "c"), "", ""]
    assert compare([*answers[:2], []], ["c"], ["other"], []) == [stale.format("c", "b"), "", ""]


def test_cell_that_fails_says_so_and_the_others_are_compared(compare):
    error = message("error", ename="ValueError", evalue="no such data", traceback=["ValueError: no such data"])
    failed = "Cell execution caused an exception: ValueError: no such data"
    assert compare([[error], [displayed("a", "1")]], [], ["a"]) == [failed, ""]


def test_notebook_that_nbval_finds_is_collected_once_and_as_the_book_runs_it(request, tmp_path):
    path = tmp_path / "some.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell_of("x = 1")]), path)
    (found,) = request.config.hook.pytest_collect_file(file_path=path, parent=request.session)
    assert isinstance(found, Notebook)
    assert [cell.name for cell in found.collect()] == ["Cell 0"]


@pytest.mark.slow
def test_cells_run_as_in_jupyter_and_those_after_one_that_takes_too_long_as_well(judge, request, monkeypatch):
    monkeypatch.setattr(request.config.option, "nbval_cell_timeout", 0.5)
    endless = "import time\nwhile True:\n    time.sleep(0.01)  # here"
    expected = nbformat.v4.new_code_cell("# NBVAL_RAISES_EXCEPTION\n1 / 0", execution_count=1)
    expected.outputs = [nbformat.v4.new_output("error", ename="ZeroDivisionError", evalue="division by zero")]
    said = judge(
        cell_of(""),
        cell_of("x = display('any', display_id=True)", "('smoke', '0')"),
        cell_of("1 + 1;"),
        cell_of("# NBVAL_SKIP\nundefined"),
        cell_of(endless),
        cell_of("import os\nx.update((os.environ['D2L_PROFILE'], os.environ['PYTHONHASHSEED']))"),
        expected,
        cell_of("# NBVAL_IGNORE_OUTPUT\n1 + 1", "3"),
        cell_of("1 + 1", "3"),
    )
    timed_out = said.pop(4)
    assert timed_out.startswith("the cell took more than 1 s: ") and "# here" in timed_out
    wrong = "Cell outputs differ: @@ -1,2 +1,2 @@\n [text/plain]\n-3\n+2"
    assert said == ["", "", "", "skipped", "", "", "", wrong]


@pytest.mark.slow
def test_cells_of_a_kernel_that_dies_fail_and_those_before_are_compared(judge):
    died = "Kernel died"
    assert judge(cell_of("'a'", "'a'"), cell_of("import os\nos._exit(1)"), cell_of("'b'")) == ["", died, died]


@pytest.mark.slow
def test_notebook_is_run_beside_an_event_loop_such_as_a_browsers(judge):
    async def run() -> list[str]:
        return judge(cell_of("'a'", "'a'"))

    assert asyncio.run(run()) == [""]


X = np.linspace(0, 3, 50)


def drawn(change=lambda figure, axes: None, lines=(X**2, X), ylabel="derivative", image=None) -> list[dict]:
    """The output of a cell that draws lines, or an image, as the chapter does; a test changes the figure."""
    figure, axes = plt.subplots(figsize=(3.5, 2.5))
    if image is None:
        for y in lines:
            axes.plot(X, y, label=f"line {len(axes.lines)}")
        axes.set(xlabel="input", ylabel=ylabel)
        axes.legend(loc="upper left")
        axes.grid(True)
    else:
        axes.imshow(image, cmap="gray")
        axes.set_axis_off()
        axes.set_title("boot")
    change(figure, axes)
    buffer = io.StringIO()
    with plt.rc_context(SVG_STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    return [nbformat.v4.new_output("display_data", data={"image/svg+xml": buffer.getvalue()})]


IMAGE = np.random.default_rng(0).random((28, 28))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda figure, axes: axes.lines[1].remove(), "-axes 1: patch × 5, line × 2"),
        (lambda figure, axes: axes.set_xlabel("output"), "+axes 1, x: output, linear, with grid"),
        (lambda figure, axes: axes.set_ylabel("loss"), "-axes 1, y: derivative, linear, with grid"),
        (lambda figure, axes: axes.set_title("slopes"), "+axes 1: slopes"),
        (lambda figure, axes: axes.legend(["one", "two"]), "+axes 1, legend: one"),
        (lambda figure, axes: figure.suptitle("both"), "+both"),
        (lambda figure, axes: figure.legend(["one"]), "+one: fill: none; stroke: #1f77b4"),
        (lambda figure, axes: axes.get_legend().remove(), "-axes 1, legend: line 0"),
        (lambda figure, axes: axes.set_yscale("symlog"), "+axes 1, y: derivative, logarithmic, with grid"),
        (lambda figure, axes: axes.set_xticks([0, 1, 3]), "+axes 1, ticks of x: 0 1 3"),
        (lambda figure, axes: axes.set_ylim(0, 9.3), "axes 1, line 1: "),
        (lambda figure, axes: axes.grid(False), "+axes 1, x: input, linear, without grid"),
        (lambda figure, axes: axes.lines[0].set_ydata(X**2 + 0.1), "axes 1, line 1: "),
        (lambda figure, axes: axes.lines[0].set_xdata(X + 0.02), "axes 1, line 1: "),
        (lambda figure, axes: axes.lines[0].set_linestyle("--"), "+axes 1, line 1: fill: none; stroke-dasharray"),
        (lambda figure, axes: axes.fill_between(X, X), "+axes 1: patch × 5, FillBetweenPolyCollection × 1"),
        (lambda figure, axes: axes.bar([1], [2]), "+axes 1: patch × 6, line × 2"),
        (lambda figure, axes: figure.add_axes((0.5, 0.5, 0.1, 0.1)), "+axes 2: patch × 5"),
    ],
)
def test_other_figure_fails_and_the_difference_says_where(change, named):
    assert any(named in line for line in differences(drawn(change), drawn()))


def test_same_figure_and_rounding_pass():
    assert not differences(drawn(), drawn())
    noise = 1e-5 * np.random.default_rng(1).standard_normal(50)
    assert not differences(drawn(lines=(X**2 + noise, X - noise)), drawn())


def test_same_axes_elsewhere_in_their_figure_pass():
    """As where a label needs more room."""

    def placed(left: float) -> list[dict]:
        return drawn(lambda figure, axes: axes.set_position([left, 0.2, 0.6, 0.6]))

    assert same(placed(0.2), placed(0.3))


def test_filled_areas_and_bars_are_compared_by_their_data():
    def filled(height: float) -> list[dict]:
        def change(figure, axes):
            axes.fill_between(X, X, X + height)
            axes.bar([1], [height])

        return drawn(change)

    assert not differences(filled(2.00001), filled(2))
    assert [line.partition(":")[0] for line in differences(filled(2.1), filled(2))] == [
        "axes 1, FillBetweenPolyCollection 1",
        "axes 1, patch 2",
    ]


def test_points_that_a_straight_line_needs_not_may_be_left_out():
    def without_every_second(figure, axes):
        axes.lines[1].set_data(X[::7], X[::7])

    assert not differences(drawn(without_every_second), drawn())


@pytest.mark.parametrize(
    ("ylabel", "section", "moved", "equal"),
    [
        ("accuracy", "lenet", 0.015, True),
        ("accuracy", "lenet", 0.03, False),
        ("gain in accuracy", "answers", 0.1, True),
        ("gain in accuracy", "answers", 0.2, False),
        ("validation loss", "lenet", 0.0001, True),
        ("validation loss", "lenet", 0.001, False),
        ("examples/s", "cost", 5, True),
        ("time (ms)", "cost", 5, True),
        ("error", "answers", 5, True),
        ("time / best time", "answers", 0.1, False),
    ],
)
def test_axis_says_how_far_its_data_may_move_whatever_its_ticks(ylabel, section, moved, equal):
    lines = (0.1 + X / 100, 0.12 - X / 100)  # these fill the axis: the least move gives it other ticks
    test, reference = (drawn(lines=[line + up for line in lines], ylabel=ylabel) for up in (moved, 0))
    assert (not differences(test, reference, section)) == equal


@pytest.mark.parametrize(("scale", "range"), [("linear", 1e-6), ("linear", 1e-9), ("log", 0.1), ("log", 9)])
def test_values_are_read_from_ticks_that_are_rests_or_powers(scale, range):
    def scaled(figure, axes):
        axes.set_yscale(scale)

    line = 0.5 + range * X
    test, reference, other = (drawn(scaled, [line * factor], "accuracy") for factor in (1.015, 1, 1.1))
    assert not differences(test, reference)
    assert differences(other, reference)


def test_axis_of_a_metric_with_words_at_its_ticks_is_compared_as_it_is_drawn():
    def worded(figure, axes):
        axes.set_yticks([0, 9], ["low", "high"])

    assert not differences(drawn(worded, ylabel="accuracy"), drawn(worded, ylabel="accuracy"))
    assert differences(drawn(worded, (X**2 + 0.1, X), "accuracy"), drawn(worded, ylabel="accuracy"))


def test_curves_without_a_name_at_their_axis_are_those_of_the_legend():
    def named(figure, axes):
        axes.legend(["train_loss", "val_acc"])

    lines = (X**2, X)
    test, reference, other = (drawn(named, [y + up for y in lines], "") for up in (0.015, 0, 0.03))
    assert not differences(test, reference)
    assert differences(other, reference)


def test_measured_figure_still_fails_for_all_but_what_is_measured():
    reference = drawn(ylabel="FLOP/s")
    assert not differences(drawn(ylabel="FLOP/s", lines=(X**3, 9 - X)), reference)
    assert differences(drawn(ylabel="FLOP/s", lines=(X,)), reference)
    assert differences(drawn(lambda figure, axes: axes.set_yscale("symlog"), ylabel="FLOP/s"), reference)
    assert differences(drawn(lambda figure, axes: axes.lines[0].set_xdata(X / 2), ylabel="FLOP/s"), reference)


@pytest.mark.parametrize(
    ("image", "equal"),
    [
        (IMAGE + 1e-6 * IMAGE[::-1], True),
        (1 - IMAGE, False),
        (IMAGE[::-1], False),
        (IMAGE[:, ::-1], False),
        (np.roll(IMAGE, 1, axis=1), False),
        (IMAGE[:14], False),
    ],
)
def test_images_are_compared_by_their_pixels(image, equal):
    assert (not differences(drawn(image=image), drawn(image=IMAGE))) == equal


@pytest.mark.parametrize(
    ("image", "equal"), [(IMAGE[::-1], True), (0.98 * IMAGE, True), (IMAGE > 0.9, False), (IMAGE[:14], False)]
)
def test_images_that_rounding_makes_anew_are_compared_by_their_mean_level(image, equal):
    def filled(image):
        return drawn(image=image, change=lambda figure, axes: axes.images[0].set_clim(0, 1))

    assert (not differences(filled(image), filled(IMAGE), "inside")) == equal
    assert differences(filled(image), filled(IMAGE), "ingredients")


def test_picture_that_is_not_of_matplotlib_is_compared_as_it_is():
    svgs = ['<svg xmlns="http://www.w3.org/2000/svg"><circle r="1"/></svg>', "<svg>", "<svg><"]
    outputs = [[nbformat.v4.new_output("display_data", data={"image/svg+xml": svg})] for svg in svgs]
    assert [[same(one, other) for one in outputs] for other in outputs] == np.eye(3, dtype=bool).tolist()


def printed(text: str) -> list[dict]:
    """The output of a cell that prints."""
    return [nbformat.v4.new_output("stream", text=text)]


def board(value: float, label: str = "val_loss") -> list[dict]:
    """The output of a cell that draws on a board."""
    curves = {CURVES_MIME: {"xlabel": "epoch", "curves": {label: [[1, 2.5], [2, value]]}}}
    return [nbformat.v4.new_output("display_data", data=curves | {"image/svg+xml": f"<svg><!--{label}--></svg>"})]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (printed("61,706 parameters"), printed("parameters: 61706."), True),
        (printed("Conv2d at lr=0.1 has 6"), printed("Convolution2D has 6"), True),
        (printed("6 in all, 20 images/s"), printed("6 in all, 45 images/s"), True),
        (
            printed("3 cells"),
            [nbformat.v4.new_output("stream", name="stderr", text="line 7"), *printed("3 cells")],
            True,
        ),
        (printed("1 x 96 x 54"), printed("1 x 64 x 54"), False),
        (printed("-0.5"), printed("0.5"), False),
        (printed("1.5e-3"), printed("1.5e-4"), False),
        (printed("2 of 3"), printed("3 of 2"), False),
        (board(2.25), board(2.25, "validation_loss"), True),
        (board(2.25), board(2.2500001), False),
        (run_with(2.25), run_with(2.2500001), False),
        (drawn(), drawn(lambda figure, axes: axes.lines[0].set_color("red"), ylabel="slope"), True),
        (drawn(), drawn(lines=(X**2, 1.01 * X)), False),
        (drawn(image=IMAGE), drawn(image=IMAGE), True),
        (drawn(image=IMAGE), drawn(image=IMAGE.T), False),
    ],
)
def test_numbers_are_those_of_results_and_not_of_words_names_and_looks(one, other, same):
    assert numbers(one)
    assert (numbers(one) == numbers(other)) == same
