"""The part of the helper that touches no tensor library: arguments, profiles, board, progress, trainer, figures."""

import math
import re
import xml.etree.ElementTree as ElementTree
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from d2l import board as board_module
from d2l import data_modules, modules, notebook_output, plotting, progress, trainer
from d2l.backend import Backend
from d2l.board import ProgressBoard
from d2l.hyperparameters import HyperParameters, add_to_class
from d2l.metrics import StepMetrics
from d2l.mime import CURVES_MIME, RUN_MIME
from d2l.plotting import look_of
from d2l.smoke_profile import Profile, current_profile
from d2l.step_errors import OUT_OF_MEMORY
from d2l.wrapped_loaders import WatchedLoader

pytestmark = [pytest.mark.helper, pytest.mark.quick]

SVG = "{http://www.w3.org/2000/svg}"


# Hyperparameters


class Base(HyperParameters):
    def __init__(self, a, b=2, *rest, c=3, **more):
        self.save_hyperparameters(ignore=["b"])


class Derived(Base):
    def __init__(self, a, d=4):
        super().__init__(a + 1, c=5)
        self.save_hyperparameters()


def test_hyperparameters_become_attributes():
    thing = Base(1, 7, 8, 9, c=10, e=11)
    assert (thing.a, thing.rest, thing.c, thing.more) == (1, (8, 9), 10, {"e": 11})
    assert thing.hparams == {"a": 1, "rest": (8, 9), "c": 10, "more": {"e": 11}}


def test_ignored_hyperparameter_is_not_saved():
    assert not hasattr(Base(1), "b")
    assert "b" not in Base(1).hparams


def test_one_ignored_name_may_stand_alone():
    class OfNetAndNumber(HyperParameters):
        def __init__(self, net, n):
            self.save_hyperparameters(ignore="net")

    assert OfNetAndNumber(1, 2).hparams == {"n": 2}


def test_hyperparameters_of_nested_constructors_add_up():
    thing = Derived(1)
    assert (thing.a, thing.c, thing.d) == (1, 5, 4)
    assert thing.hparams.keys() == {"a", "rest", "c", "more", "d"}
    assert thing.hparams["a"] == 1


def test_hyperparameters_are_each_objects_own():
    first, second = Derived(1), Derived(2, d=0)
    assert (first.hparams["a"], second.hparams["a"]) == (1, 2)
    assert (first.d, second.d) == (4, 0)


def test_local_variables_are_no_hyperparameters():
    class Local(HyperParameters):
        def __init__(self, a):
            local = a + 1
            self.save_hyperparameters()
            self.kept = local

    assert Local(1).hparams == {"a": 1}


def test_add_to_class_reaches_objects_that_exist():
    class Thing:
        pass

    thing = Thing()

    @add_to_class(Thing)
    def double(self, x):
        return 2 * x

    assert thing.double(3) == 6
    assert double(None, 3) == 6


# Profile


@pytest.mark.parametrize(
    ("text", "profile", "words"),
    [
        (None, Profile(), "full run"),
        ("", Profile(), "full run"),
        ("full", Profile(), "full run"),
        ("smoke", Profile(smoke=True, epochs=2), "smoke run"),
        ("epochs=1", Profile(epochs=1), "shortened run"),
        ("images=6000", Profile(images=6000), "shortened run"),
        ("epochs=1,images=6000", Profile(epochs=1, images=6000), "shortened run"),
        (" images=6000 , epochs=1 ", Profile(epochs=1, images=6000), "shortened run"),
    ],
)
def test_profile_is_read_from_the_environment(monkeypatch, text, profile, words):
    if text is None:
        monkeypatch.delenv("D2L_PROFILE", raising=False)
    else:
        monkeypatch.setenv("D2L_PROFILE", text)
    assert current_profile() == profile
    assert str(profile) == words
    assert profile.full == (words == "full run")


@pytest.mark.parametrize(
    "text",
    [
        "quick",
        "smoke,epochs=1",
        "epochs",
        "epochs=",
        "epochs=0",
        "epochs=-1",
        "epochs=1.5",
        "images=x",
        "batches=3",
        ",",
    ],
)
def test_bad_profile_is_named(monkeypatch, text):
    monkeypatch.setenv("D2L_PROFILE", text)
    with pytest.raises(ValueError, match="D2L_PROFILE") as caught:
        current_profile()
    assert repr(text) in str(caught.value)
    assert "smoke" in str(caught.value)


# Board


@pytest.fixture
def shown(monkeypatch):
    """What a notebook would show, in order: each a pair of the place and the bundle of media types."""
    shown = []

    class Handle:
        def update(self, bundle, raw):
            assert raw
            shown.append((self, bundle))

    def display(bundle, raw, display_id):
        assert raw
        assert display_id
        handle = Handle()
        handle.update(bundle, raw)
        return handle

    events = SimpleNamespace(register=lambda *_: None, unregister=lambda *_: None)
    shell = SimpleNamespace(kernel=object(), events=events)
    monkeypatch.setattr(notebook_output, "get_ipython", lambda: shell)
    monkeypatch.setattr(notebook_output, "display", display)
    return shown


def texts(svg):
    """All texts of a picture."""
    return ["".join(element.itertext()).strip() for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_board_keeps_points():
    board = ProgressBoard()
    for x in range(3):
        board.draw(x, x**2, "squares")
        board.draw(x, -x, "line")
    assert board.curves == {"squares": [(0, 0), (1, 1), (2, 4)], "line": [(0, 0), (1, -1), (2, -2)]}


def test_board_averages_every_n_points_by_weight():
    board = ProgressBoard()
    for x, y, weight in ((0, 1.0, 3), (1, 5.0, 1), (2, 7.0, 1), (4, 9.0, 1)):
        board.draw(x, y, "loss", every_n=2, weight=weight)
    assert board.curves == {"loss": [(0.25, 2.0), (3.0, 8.0)]}


def test_board_shows_points_that_wait_when_flushed():
    """Curves with points that do not fill their average, more than one of them."""
    board = ProgressBoard()
    for x, weight in ((0, 1), (1, 1), (2, 3), (3, 1)):
        board.draw(x, 10 * x, "a", every_n=3, weight=weight)
        board.draw(x, x, "b", every_n=4, weight=weight)
        board.draw(x, -x, "c", every_n=5, weight=weight)
    board.flush()
    assert board.curves["a"] == [pytest.approx((7 / 5, 14)), (3, 30)]
    assert board.curves["b"] == [pytest.approx((10 / 6, 10 / 6))]
    assert board.curves["c"] == [pytest.approx((10 / 6, -10 / 6))]
    board.flush()
    assert [len(points) for points in board.curves.values()] == [2, 1, 1]


class OnDevice:
    """A scalar that computes where it is, and counts how often it is read."""

    reads = 0

    def __init__(self, value):
        self.value = value

    def __mul__(self, factor):
        return OnDevice(self.value * factor)

    def __radd__(self, other):
        return OnDevice(self.value + getattr(other, "value", other))

    __add__ = __radd__

    def __array__(self, dtype=None, copy=None):
        OnDevice.reads += 1
        return np.array(self.value)


def test_board_averages_where_the_values_are_and_reads_each_point_once():
    board = ProgressBoard()
    reads = OnDevice.reads
    board.draw(0, OnDevice(1.0), "loss", every_n=3, weight=2)
    board.draw(1, OnDevice(2.0), "loss", every_n=3, weight=1)
    assert OnDevice.reads == reads
    board.draw(2, OnDevice(5.0), "loss", every_n=3, weight=1)
    assert OnDevice.reads == reads + 1
    assert board.curves == {"loss": [(0.75, 2.25)]}


def test_board_leaves_the_values_that_it_averages_as_they_were():
    board = ProgressBoard()
    values = np.array(1.0), np.array(2.0)
    for x, value in enumerate(values):
        board.draw(x, value, "loss", every_n=2, weight=3)
    assert values == (1, 2)
    assert board.curves == {"loss": [(0.5, 1.5)]}


def test_cleared_board_forgets_points_drawn_and_waiting(shown):
    board = ProgressBoard(xlabel="epoch")
    board.draw(0, 1.0, "old")
    board.draw(0, 1.0, "waiting", every_n=2)
    board.flush()
    board.clear()
    assert board.curves == {}
    board.draw(1, 2.0, "new")
    board.flush()
    assert board.curves == {"new": [(1, 2.0)]}
    assert shown[-1][0] is not shown[0][0]


def test_board_shows_one_picture_and_its_numbers_in_a_kernel(shown):
    board = ProgressBoard(xlabel="epoch", ylabel="cost & co", xlim=[0, 3])
    for x in range(3):
        board.draw(x, 2.0 * x, "train_loss")
        board.draw(x, 0.5, "acc <best>")
        board.flush()
    places, bundles = zip(*shown, strict=True)
    assert len(set(places)) == 1
    last = bundles[-1]
    assert last[CURVES_MIME]["xlabel"] == "epoch"
    assert last[CURVES_MIME]["curves"] == {
        "train_loss": [[0, 0.0], [1, 2.0], [2, 4.0]],
        "acc <best>": [[0, 0.5], [1, 0.5], [2, 0.5]],
    }
    assert {"train_loss", "acc <best>", "epoch", "cost & co"} <= set(texts(last["image/svg+xml"]))
    assert "train_loss" in last["text/plain"]


def test_board_redraws_no_more_often_than_its_interval(shown, monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(board_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    board = ProgressBoard(xlabel="epoch")
    for x in range(10):
        board.draw(x, 1.0, "loss")
    assert len(shown) == 1
    clock.now += board_module.REDRAW_SECONDS
    board.draw(10, 1.0, "loss")
    assert len(shown) == 2


@pytest.mark.slow
def test_drawing_takes_a_small_share_of_the_time(shown, monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(board_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    board = ProgressBoard(xlabel="epoch")
    picture = board._svg

    def slowly():
        clock.now += 0.1
        return picture()

    monkeypatch.setattr(board, "_svg", slowly)
    for x in range(200):
        board.draw(x, 1.0, "loss")
        clock.now += 1
    assert len(shown) * 0.1 <= 0.02 * (clock.now - 100) + 0.1
    assert len(shown) > 5


def test_same_curves_give_the_same_picture(shown):
    for _ in range(2):
        board = ProgressBoard(xlabel="epoch")
        board.draw(0, 1.0, "loss")
        board.flush()
    assert shown[0][1]["image/svg+xml"] == shown[-1][1]["image/svg+xml"]


@pytest.mark.parametrize("points", [0, 1])
def test_board_shows_nothing_without_points_or_when_told_not_to(shown, points):
    board = ProgressBoard(display=points == 0)
    for x in range(points):
        board.draw(x, 1.0, "loss")
    board.flush()
    assert shown == []
    assert len(board.curves.get("loss", ())) == points


def test_board_shows_nothing_outside_a_kernel(capsys, monkeypatch):
    monkeypatch.setattr(notebook_output, "display", lambda *args, **kwargs: pytest.fail("displayed without a kernel"))
    for shell in (None, SimpleNamespace()):
        monkeypatch.setattr(notebook_output, "get_ipython", lambda shell=shell: shell)
        assert not notebook_output.in_notebook()
        board = ProgressBoard()
        board.draw(0, 1.0, "loss")
        board.flush()
        assert board.curves == {"loss": [(0, 1.0)]}
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("give", [("fig",), ("axes",), ("fig", "axes")])
def test_board_draws_into_the_figure_or_axes_given(shown, give):
    figure = Figure()
    own = {"fig": figure}
    if "axes" in give:
        own["axes"] = figure.subplots()
    board = ProgressBoard(xlabel="epoch", **{name: own[name] for name in give})
    for x in range(2):
        board.draw(x, 1.0, "my loss")
        board.flush()
    (axes,) = figure.axes
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xdata(), [0, 1])
    assert "my loss" in texts(shown[-1][1]["image/svg+xml"])


def test_point_that_comes_too_soon_is_shown_by_the_next_call(shown, monkeypatch):
    """Also by one that adds to an average only, and by one for another curve."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(board_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    board = ProgressBoard(xlabel="epoch")
    board.draw(0, 1.0, "val_loss")
    board.draw(0, 0.5, "val_acc")
    assert "val_acc" not in shown[-1][1][CURVES_MIME]["curves"]
    clock.now += 5
    board.draw(1, 1.0, "train_loss", every_n=1000)
    assert shown[-1][1][CURVES_MIME]["curves"] == {"val_loss": [[0, 1.0]], "val_acc": [[0, 0.5]]}


@pytest.mark.parametrize("seconds", [0.1, 1, 20])
def test_each_point_of_a_fit_is_shown_within_seconds(shown, full_run, monkeypatch, seconds):
    """Though training has a point in half an epoch, and validation two at a time, which come in one picture."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(board_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    known, seen = {}, {}

    class Slow(Mean):
        def validation_step(self, batch):
            super().validation_step(batch)
            self.plot("acc", 0.5, train=False)

    class Board(ProgressBoard):
        def _flush_mean(self, label):
            super()._flush_mean(label)
            known[label, len(self.curves[label])] = clock.now

        def _svg(self):
            for label, points in self.curves.items():
                for number in range(len(points)):
                    seen.setdefault((label, number + 1), clock.now)
            return super()._svg()

    class SlowTrainer(PlainTrainer):
        def prepare_batch(self, batch):
            clock.now += seconds
            return batch

    model = Slow()
    model.board = Board(xlabel="epoch")
    SlowTrainer(max_epochs=3).fit(model, Batches([1.0] * 300, [2.0] * 30))
    assert known.keys() == seen.keys() and len(known) == 3 * (2 + 1 + 1)
    late = {point: seen[point] - known[point] for point in known}
    assert max(late.values()) <= board_module.REDRAW_SECONDS + seconds * (seconds < 1)


def test_drawing_during_a_fit_takes_a_small_share_of_the_time(shown, full_run, monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(board_module, "time", SimpleNamespace(monotonic=lambda: clock.now))

    class Slow(ProgressBoard):
        def _svg(self):
            clock.now += 0.05
            return super()._svg()

    class SlowTrainer(PlainTrainer):
        def prepare_batch(self, batch):
            clock.now += 0.01
            return batch

    model = Mean(plot_train_per_epoch=100)
    model.board = Slow(xlabel="epoch")
    SlowTrainer(max_epochs=5).fit(model, Batches([1.0] * 300, [2.0] * 30))
    pictures = sum("image/svg+xml" in bundle for _, bundle in shown)
    assert pictures >= 2 and pictures * 0.05 <= 0.02 * (clock.now - 100) + 2 * 0.05


# Figures of a board in scripts, and figures given


def lines_of(axes):
    return {line.get_label(): line.get_xydata().tolist() for line in axes.lines}


def test_script_has_a_figure_of_each_fit_with_all_points(full_run, tmp_path, recwarn):
    for count in range(1, 26):
        model = Mean()
        PlainTrainer(max_epochs=2).fit(model, Batches([1.0, 2.0], [3.0]))
        assert len(plt.get_fignums()) == count
        (axes,) = plt.gcf().axes
        assert lines_of(axes) == {label: [list(p) for p in points] for label, points in model.board.curves.items()}
        assert axes.get_xlim() == (0, 2) and axes.get_xlabel() == "epoch"
    with plt.rc_context(plotting.SVG_STYLE):
        plt.savefig(tmp_path / "curves.svg")
    assert {"train_loss", "val_loss"} <= set(texts((tmp_path / "curves.svg").read_text("utf-8")))
    assert not recwarn.list


def test_script_has_the_points_of_a_loop_at_once_and_none_of_a_board_without_display():
    board = ProgressBoard(ylabel="y", figsize=(4, 3))
    for x in range(100):
        board.draw(x, x**2, "squares", every_n=2)
        if x % 2:
            assert lines_of(plt.gca())["squares"] == [[i + 0.5, (i**2 + (i + 1) ** 2) / 2] for i in range(0, x, 2)]
    assert plt.gcf().get_size_inches().tolist() == [4, 3]
    ProgressBoard(display=False).draw(0, 1.0, "loss")
    assert len(plt.get_fignums()) == 1


def test_figure_that_was_closed_is_followed_by_one_with_all_points():
    board = ProgressBoard()
    board.draw(0, 1.0, "loss")
    plt.close()
    board.draw(1, 2.0, "loss")
    assert lines_of(plt.gca()) == {"loss": [[0, 1], [1, 2]]}


def test_notebook_has_no_figure_of_pyplots_that_would_be_shown_again(shown, full_run):
    PlainTrainer(max_epochs=2).fit(Mean(), Batches([1.0, 2.0], [3.0]))
    assert plt.get_fignums() == []


def test_training_goes_on_where_there_can_be_no_figure(monkeypatch, capsys):
    def figure(**_):
        raise ImportError("Cannot load backend 'TkAgg'")

    monkeypatch.setattr(plt, "figure", figure)
    board = ProgressBoard()
    for x in range(3):
        board.draw(x, 1.0, "loss")
    assert board.curves["loss"] == [(0, 1), (1, 1), (2, 1)]
    assert capsys.readouterr().err == "There will be no figure for plt.show(): Cannot load backend 'TkAgg'\n"


@pytest.mark.parametrize("give", [("fig",), ("axes",), ("fig", "axes"), ()])
@pytest.mark.parametrize("place", ["script", "notebook"])
def test_what_the_user_drew_in_a_figure_given_stays(request, full_run, give, place):
    if place == "notebook":
        request.getfixturevalue("shown")
    figure, mine = plt.figure(), {}
    given = {"fig": figure}
    if give:  # else a figure without axes
        given = {"fig": figure, "axes": figure.subplots()}
        given["axes"].plot([0, 1], [5.0, 6.0], label="mine")
        given["axes"].set(yscale="log", title="Ours and mine")
        mine = {"mine": [[0, 5], [1, 6]]}
    model = Mean()
    model.board = ProgressBoard(xlabel="epoch", **{name: given[name] for name in give or ("fig",)})
    for _ in range(2):  # the second run's curves take the place of the first one's
        PlainTrainer(max_epochs=2).fit(model, Batches([1.0, 2.0], [3.0]))
    (axes,) = figure.axes
    own = {label: [list(p) for p in points] for label, points in model.board.curves.items()}
    assert lines_of(axes) == mine | own
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [*mine, *own]
    assert len({look_of(line).seen for line in axes.lines}) == len(axes.lines)
    assert (axes.get_yscale(), axes.get_title()) == (("log", "Ours and mine") if mine else ("linear", ""))
    assert plt.get_fignums() == [figure.number]


def test_axes_that_the_user_cleared_get_all_points_again():
    axes = plt.figure().subplots()
    board = ProgressBoard(axes=axes)
    board.draw(0, 1.0, "loss")
    axes.cla()
    board.draw(1, 2.0, "loss")
    assert lines_of(axes) == {"loss": [[0, 1], [1, 2]]}
    axes.cla()
    board.clear()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: {"fig": plt.subplots(1, 3)[0]}, "fig has 3 axes: give axes=..., those to draw into"),
        (lambda: {"axes": plt.subplots(1, 2)[1]}, "axes is of the type ndarray: give one pair of matplotlib's axes"),
        (lambda: {"fig": plt.subplots()}, "fig is of the type tuple: give a figure of matplotlib's"),
        (lambda: {"fig": plt.figure(), "axes": plt.subplots()[1]}, "axes belong to another figure than fig"),
        (lambda: {"ls": []}, "ls is empty: give at least one"),
        (lambda: {"colors": ()}, "colors is empty: give at least one"),
    ],
)
def test_board_names_what_it_cannot_draw_with(given, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ProgressBoard(**given())


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"ls": ["-"]},
        {"ls": "--"},
        {"colors": ["k"], "ls": ["-"]},
        {"colors": "red"},
        {"ls": ["-", "--"], "colors": ["C0", "C1", "C2"]},
        {"ls": ["-", ":"], "colors": ["C0", "C1", "C2", "C3"]},
        {"ls": ["-", "solid", "--"], "colors": ["C0", "#1f77b4", "r"]},
        {"ls": [(0, (1, 1)), (0, [5, 1])], "colors": ["k"]},
    ],
)
def test_no_two_curves_of_a_board_look_alike(given):
    board = ProgressBoard(**given)
    for i in range(20):
        for x in range(2):
            board.draw(x, i, i)  # a label that is no text
    assert list(board.curves) == [str(i) for i in range(20)]
    drawn = [look.seen for look in board._looks.values()]
    assert len(set(drawn)) == 20
    assert [line.get_marker() for line in plt.gca().lines] == [marker for _, _, marker in drawn]
    if not given:
        assert [look[:2] for look in board._looks.values()][:4] == [
            ("-", "C0"),
            ("--", "C1"),
            ("-.", "C2"),
            (":", "C3"),
        ]
        assert len({(line.get_linestyle(), line.get_color()) for line in plt.gca().lines[:16]}) == 16


def test_points_that_are_no_numbers_leave_gaps_and_a_logarithmic_axis_takes_zeros(recwarn):
    board = ProgressBoard(xscale="log", yscale="log", xlim=[0, 4])
    for x, y in enumerate([1.0, 0.0, math.nan, math.inf, 2.0]):
        board.draw(np.int64(x), y, "loss")
    plt.gcf().canvas.draw()
    assert plt.gca().get_xlim()[1] == 4 and 0 < plt.gca().get_ylim()[0] < 1 < 2 < plt.gca().get_ylim()[1] < 3
    assert len(plt.gca().lines[0].get_xdata()) == 5
    assert not recwarn.list


@pytest.mark.parametrize("scale", ["linear", "log", "symlog"])
@pytest.mark.parametrize("values", [(1e308, 2.5), (1.7e308, -1.7e308), (1e308, 5e-324), (1e300, 1.0), (1e-300, 0.0)])
def test_values_at_the_end_of_what_numbers_can_be_are_drawn(values, scale):
    board = ProgressBoard(yscale=scale, xscale=scale)
    for x, y in enumerate(values, 1):
        board.draw(x, y, "loss")
        board.draw(y, x, "turned")
    plt.gcf().canvas.draw()
    assert board.curves["loss"] == list(enumerate(values, 1))


def test_plot_after_a_fit_leaves_its_curves_alone(full_run):
    PlainTrainer(max_epochs=1).fit(Mean(), Batches([1.0], [3.0]))
    figure = plt.gcf()
    plotting.plot([1, 2], [3, 4])
    assert plt.gcf() is not figure and set(lines_of(figure.axes[0])) == {"train_loss", "val_loss"}


# Progress


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (45, "45 s"),
        (89, "89 s"),
        (120, "2 min"),
        (59 * 60, "59 min"),
        (3599, "1 h 0 min"),
        (3600, "1 h 0 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_duration_as_people_say_it(seconds, text):
    assert progress.duration(seconds) == text


class Clock:
    """A clock that goes on when told to."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@contextmanager
def shown_while(run):
    """A run's progress line, from its beginning to its end."""
    run.before_fit(None)
    yield run
    run.after_fit(None, None)


def counted(run, batches, train):
    """Batches that a run's progress is told of, as a watched loader does."""
    run.before_pass(None, train)
    for batch in batches:
        run.before_batch(None, train, batch)
        yield batch
        run.after_batch(None, train)


def follow(clock, seconds, batches, slow, total=None):
    """Go through batches of 4 training examples, the last one of 2, each taking the same time."""
    data = [(None, range(4))] * (batches - 1) + [(None, range(2))]
    with shown_while(progress.Progress(total or batches, slow=slow)) as run:
        for _ in counted(run, data, train=True):
            clock.now += seconds
    return run


def test_examples_per_second_counts_a_short_last_batch(clock):
    run = follow(clock, seconds=2.0, batches=5, slow=False)
    assert run.train_examples == 18
    assert run.examples_per_second == pytest.approx(1.8)


def test_validation_does_not_count_as_training_speed(clock):
    with shown_while(progress.Progress(2, slow=False)) as run:
        for _ in counted(run, [(None, range(3))] * 2, train=False):
            assert run.batch_examples == 3
            clock.now += 5
    assert run.train_examples == 0
    assert run.examples_per_second == 0


def test_saving_does_not_count_as_training(clock):
    with shown_while(progress.Progress(2, slow=False)) as run:
        for _ in counted(run, [(None, range(3))] * 2, train=True):
            clock.now += 2
            for seconds in (5, 7):
                with run.paused():
                    clock.now += seconds
    assert run.train_seconds == 4


def test_long_slow_run_says_early_how_long_it_takes(clock, capsys):
    follow(clock, seconds=6.0, batches=4, slow=True, total=1200)
    errors = capsys.readouterr().err
    assert errors.count("No GPU in use") == 1
    assert "about 2 h 0 min" in errors
    assert "D2L_PROFILE=smoke" in errors


def test_time_that_a_step_takes_to_be_compiled_is_not_that_of_the_run(clock, capsys):
    """It is, for each number of examples in training and in validation, in the first step."""
    first_epoch = [(4, 30), (4, 1), (4, 1), (2, 30)]  # examples and seconds
    with shown_while(progress.Progress(160, slow=True)) as run:
        run._bar._time, run._bar.start_t, run._bar.last_print_t = clock.monotonic, clock.now, clock.now
        for train, steps in ((True, first_epoch), (False, first_epoch), (True, [(4, 1)] * 12)):
            batches = [(None, range(examples)) for examples, _ in steps]
            for (_, seconds), _ in zip(steps, counted(run, batches, train), strict=True):
                clock.now += seconds
        line = str(run._bar)
    assert "02:20 left" in line  # 140 batches of a second
    assert "will take" not in capsys.readouterr().err


def test_resumed_run_counts_from_where_it_was_and_says_how_long_the_rest_takes(clock, capsys):
    run = progress.Progress(1200, slow=True)
    run.resume(600, train_examples=100, train_seconds=3.0)
    with shown_while(run):
        for _ in counted(run, [(None, range(4))] * 3, train=True):
            clock.now += 6
    assert "about 1 h 0 min" in capsys.readouterr().err
    assert (run.train_examples, run.train_seconds) == (112, 21)


@pytest.mark.parametrize(("slow", "total"), [(True, 10), (False, 1200)])
def test_short_run_or_run_on_a_gpu_says_nothing_of_its_length(clock, capsys, slow, total):
    follow(clock, seconds=6.0, batches=4, slow=slow, total=total)
    assert "will take" not in capsys.readouterr().err


def test_time_left_is_not_that_of_the_last_batches(clock):
    """Batches of validation are quicker, and more of training follow."""
    with shown_while(progress.Progress(200, slow=False)) as run:
        run._bar._time, run._bar.start_t, run._bar.last_print_t = clock.monotonic, clock.now, clock.now
        for seconds, train in ((10, True), (1, False)):
            for _ in counted(run, [(None, range(4))] * 40, train):
                clock.now += seconds
        assert "07:20, 11:00 left" in str(run._bar)  # 120 batches at the mean of 5.5 s


def test_bar_in_a_notebook_is_drawn_with_blocks_and_takes_one_line(clock, shown):
    follow(clock, seconds=6.0, batches=40, slow=False, total=1200)
    with shown_while(progress.Progress(4, slow=False)) as run:
        run._bar.update(2)
        run._bar.refresh()
    line = shown[-1][1]["text/plain"]
    assert re.fullmatch(r" *50%\|█+ *\| \d\d:\d\d, .* left", line) and len(line) <= 72


def test_progress_in_a_notebook_stays_in_one_place(clock, shown):
    follow(clock, seconds=6.0, batches=40, slow=True, total=1200)
    assert len({place for place, _ in shown}) == 1
    assert {tuple(bundle) for _, bundle in shown} == {("text/plain",)}


def test_line_of_other_work_in_a_notebook_disappears_at_its_end(monkeypatch, shown):
    monkeypatch.setattr(progress, "SHORT_WORK_SECONDS", 0)
    for _ in progress.counted(range(3), "evaluate", True):
        assert shown[-1][1]["text/plain"].startswith("evaluate")
    assert shown[-1][1] == {}


def test_watched_loader_can_be_gone_through_again():
    told = []
    loader = WatchedLoader(
        [("a", [1]), ("b", [2])], lambda: told.append("pass"), told.append, lambda: told.append("after")
    )
    assert len(loader) == 2
    assert [list(loader), list(loader)] == [[("a", [1]), ("b", [2])]] * 2
    assert told == ["pass", ("a", [1]), "after", ("b", [2]), "after"] * 2


# Trainer, models and data


class PlainBackend(Backend):
    """A machine without GPU, for no framework."""

    def set_training(self, model, training):
        pass

    def train_step(self, model, optimizer, batch, clip):
        model.training_step(batch)
        return StepMetrics({})

    def eval_step(self, model, batch):
        model.validation_step(batch)
        return StepMetrics({})

    def model_state(self, model):
        return {}


class PlainTrainer(trainer.Trainer):
    """A trainer on such a machine."""

    backend_type = PlainBackend


class Mean(modules.Module):
    """Its loss is the mean of a batch's values."""

    def __init__(self, **points):
        self._plot_settings(**{"plot_train_per_epoch": 2, "plot_valid_per_epoch": 1} | points)

    def __call__(self, X):
        return self.forward(X)

    def forward(self, X):
        return X

    def loss(self, y_hat, y):
        return np.mean(y_hat)

    def configure_optimizers(self):
        return None


class Batches(data_modules.DataModule):
    """Batches of 3 of some numbers for training, and of others for validation."""

    def __init__(self, train, val=None):
        super().__init__()
        self.save_hyperparameters()

    def get_dataloader(self, train):
        values = self.train if train else self.val
        if values is None:
            return None
        batches = [np.array(values[i : i + 3]) for i in range(0, len(values), 3)]
        return [(batch, batch) for batch in batches]


@pytest.fixture
def full_run(monkeypatch):
    monkeypatch.setenv("D2L_PROFILE", "full")


@pytest.mark.parametrize("name", ["max_epochs", "num_gpus"])
@pytest.mark.parametrize("value", [-1, 1.5, "2", None])
def test_trainer_refuses_counts_that_are_none(name, value):
    with pytest.raises(ValueError, match=name) as caught:
        PlainTrainer(**{"max_epochs": 1} | {name: value})
    assert repr(value) in str(caught.value)


def test_trainer_keeps_its_arguments():
    trainer = PlainTrainer(3, gradient_clip_val=0.5)
    assert (trainer.max_epochs, trainer.num_gpus, trainer.gradient_clip_val) == (3, 0, 0.5)


@pytest.mark.parametrize(
    ("profile", "epochs"), [("full", 5), ("smoke", 2), ("epochs=3", 3), ("epochs=7", 5), ("images=9", 5)]
)
def test_profile_limits_epochs(monkeypatch, capsys, profile, epochs):
    monkeypatch.setenv("D2L_PROFILE", profile)
    model = Mean()
    PlainTrainer(max_epochs=5).fit(model, Batches([1.0, 2.0], [3.0]))
    assert [x for x, _ in model.board.curves["val_loss"]] == list(range(1, epochs + 1))
    assert f"after {epochs} of 5 epochs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("profile", "beginning"), [("full", "train_loss"), ("smoke", "smoke run: "), ("epochs=1", "shortened run: ")]
)
def test_run_that_is_not_full_says_so(monkeypatch, capsys, profile, beginning):
    monkeypatch.setenv("D2L_PROFILE", profile)
    PlainTrainer(max_epochs=1).fit(Mean(), Batches([1.0]))
    assert capsys.readouterr().out.startswith(beginning)


def test_curves_are_averages_over_examples(full_run, capsys):
    """Seven examples make batches of 3, 3 and 1, which an average of batches would weigh alike."""
    model = Mean()
    train, val = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 70.0], [0.0, 0.0, 0.0, 14.0]
    PlainTrainer(max_epochs=2).fit(model, Batches(train, val))
    assert model.board.curves["val_loss"] == [(1, pytest.approx(np.mean(val))), (2, pytest.approx(np.mean(val)))]
    first, second = np.mean(train[:6]), train[6]
    assert [y for _, y in model.board.curves["train_loss"]] == pytest.approx([first, second] * 2)
    xs = [x for x, _ in model.board.curves["train_loss"]]
    assert xs == sorted(xs)
    assert 0 <= xs[0] < 1 <= xs[2] < 2
    assert "val_loss 3.500" in capsys.readouterr().out


@pytest.mark.parametrize("points", [1, 2, 4])
def test_each_epoch_adds_the_points_asked_for(full_run, points):
    model = Mean(plot_train_per_epoch=points)
    PlainTrainer(max_epochs=3).fit(model, Batches([1.0] * 12))
    assert len(model.board.curves["train_loss"]) == 3 * points


def test_run_without_validation_data(full_run, capsys):
    model = Mean()
    PlainTrainer(max_epochs=1).fit(model, Batches([1.0, 3.0]))
    assert model.board.curves == {"train_loss": [(0, 2.0)]}
    assert "val" not in capsys.readouterr().out


def test_result_in_a_notebook_carries_its_numbers(shown, monkeypatch):
    monkeypatch.setenv("D2L_PROFILE", "smoke")
    PlainTrainer(max_epochs=4).fit(Mean(), Batches([1.0, 3.0, 5.0, 7.0], [2.0]))
    result = shown[-1][1]
    run = result[RUN_MIME]
    assert run["metrics"] == {"train_loss": 7.0, "val_loss": 2.0}
    assert (run["epochs"], run["max_epochs"], run["examples_per_epoch"]) == (2, 4, 4)
    assert (run["profile"], run["device"], run["precision"]) == ("smoke run", "cpu", "float32")
    assert result["text/plain"].startswith("smoke run: train_loss 7.000, val_loss 2.000")


def test_lost_loss_is_named_whatever_the_learning_rate_is(full_run):
    model = Mean()
    for rate, said in ((0.1, "rate, which is 0.1 now."), (lambda step: 0.1, "rate."), (None, "rate.")):
        model.lr = rate
        with pytest.raises(FloatingPointError, match=f"try a lower learning {re.escape(said)}"):
            PlainTrainer(max_epochs=1).fit(model, Batches([1.0, float("nan")]))


def test_numbers_that_are_lost_are_null_in_a_notebook(shown, full_run):
    """JSON has no nan: Jupyter would warn of it, in the cell, and make it a string."""
    with pytest.raises(FloatingPointError):
        PlainTrainer(max_epochs=1).fit(Mean(), Batches([1.0, 1.0, 1.0, float("nan")]))
    assert shown[-1][1][CURVES_MIME]["curves"] == {"train_loss": [[0, 1.0], [0.5, None]]}

    class WithRatio(Mean):
        def validation_step(self, batch):
            self.plot("ratio", np.array(np.inf), train=False)

    PlainTrainer(max_epochs=1).fit(WithRatio(), Batches([1.0], [1.0]))
    bundle = shown[-1][1]
    assert bundle[RUN_MIME]["metrics"] == {"train_loss": 1.0, "val_ratio": None}
    assert bundle["text/plain"].startswith("train_loss 1.000, val_ratio inf")


def test_run_with_nothing_to_do_leaves_no_line_in_a_notebook(shown, full_run, capsys):
    PlainTrainer(max_epochs=0).fit(Mean(), Batches([1.0]))
    assert shown == []
    assert "Nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize("value", [-1, float("nan"), None, "1"])
def test_trainer_refuses_bounds_of_gradients_that_are_none(value):
    with pytest.raises(ValueError, match=f"gradient_clip_val={value!r}: give a number, 0 or more"):
        PlainTrainer(max_epochs=1, gradient_clip_val=value)


def test_plot_before_fit_says_what_to_do():
    with pytest.raises(RuntimeError, match=r"trainer\.fit"):
        Mean().training_step((np.ones(2), np.ones(2)))


@pytest.mark.parametrize(
    ("call", "missing"),
    [
        (lambda: modules.Module().loss(0, 0), "loss"),
        (lambda: modules.Module().forward(0), "self.net"),
        (lambda: data_modules.DataModule().train_dataloader(), "get_dataloader"),
        (lambda: data_modules.DataModule().val_dataloader(), "get_dataloader"),
    ],
)
def test_what_a_subclass_must_define_is_named(call, missing):
    with pytest.raises(NotImplementedError, match=missing):
        call()


def test_forward_runs_the_net():
    model = modules.Module()
    model.net = lambda X: X + 1
    assert model.forward(1) == 2


def test_text_labels_name_the_classes():
    data = data_modules.FashionMNIST()
    assert data.text_labels([0, 9, 2]) == ["t-shirt", "ankle boot", "pullover"]
    assert data.text_labels(np.array([8.0])) == ["bag"]
    assert len(set(data.text_labels(range(10)))) == 10


# Figures


@pytest.fixture
def figures():
    """Closes the figures that a test opens, and puts matplotlib's settings back."""
    with plt.rc_context():
        yield
    plt.close("all")


@pytest.mark.usefixtures("figures")
class TestFigures:
    def test_plot_of_one_curve_against_its_indices(self):
        plotting.plot([1, 4, 9])
        (line,) = plt.gca().lines
        np.testing.assert_array_equal(line.get_xydata(), [[0, 1], [1, 4], [2, 9]])

    @pytest.mark.parametrize(
        ("X", "Y"),
        [
            (np.arange(3), [np.ones(3), np.zeros(3)]),
            ([0, 1, 2], [[1, 1, 1], [0, 0, 0]]),
            ([[0, 1, 2], [0, 1, 2]], np.array([[1, 1, 1], [0, 0, 0]])),
            ([np.arange(3)], [np.ones(3), np.zeros(3)]),
        ],
    )
    def test_plot_of_two_curves(self, X, Y):
        plotting.plot(X, Y, "x", "f(x)", legend=["one", "zero"], xlim=[0, 2], ylim=[-1, 3], figsize=(5, 2))
        axes = plt.gca()
        first, second = axes.lines
        np.testing.assert_array_equal(first.get_xydata(), [[0, 1], [1, 1], [2, 1]])
        np.testing.assert_array_equal(second.get_xydata(), [[0, 0], [1, 0], [2, 0]])
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("x", "f(x)")
        assert (axes.get_xlim(), axes.get_ylim()) == ((0, 2), (-1, 3))
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "zero"]
        np.testing.assert_array_equal(plt.gcf().get_size_inches(), (5, 2))

    def test_plot_of_curves_of_different_lengths(self):
        plotting.plot([[0, 1], [0, 1, 2]], [[5, 6], [7, 8, 9]])
        assert [len(line.get_xdata()) for line in plt.gca().lines] == [2, 3]

    def test_plot_of_a_list_of_scalars_is_one_curve(self):
        """As [f(x) for x in X] gives them, where f returns scalar arrays."""
        plotting.plot([0, 1, 2], [np.array(float(y)) for y in (3, 4, 5)])
        (line,) = plt.gca().lines
        np.testing.assert_array_equal(line.get_ydata(), [3, 4, 5])

    def test_plot_takes_a_list_of_tensors_of_one_number(self):
        """As losses are when they have been collected during training."""
        torch = pytest.importorskip("torch", reason="needs PyTorch")
        plotting.plot([0, 1], [torch.tensor(3.0, requires_grad=True), torch.tensor(4.0)])
        (line,) = plt.gca().lines
        np.testing.assert_array_equal(line.get_ydata(), [3, 4])

    def test_plot_takes_numbers_of_16_bits(self):
        """As a model on a GPU gives them: NumPy has no ``bfloat16``."""
        torch = pytest.importorskip("torch", reason="needs PyTorch")
        plotting.plot(torch.tensor([1.5, 4, 9], dtype=torch.bfloat16))
        (line,) = plt.gca().lines
        np.testing.assert_array_equal(line.get_ydata(), [1.5, 4, 9])

    def test_plot_replaces_what_the_axes_held(self):
        _, axes = plt.subplots()
        for _ in range(2):
            plotting.plot([1, 2], axes=axes)
        assert len(axes.lines) == 1

    def test_plot_takes_formats_in_turn(self):
        plotting.plot([0, 1], [[0, 1], [1, 2], [2, 3]], fmts=("g-", "r:"))
        assert [line.get_linestyle() for line in plt.gca().lines] == ["-", ":", "-"]
        assert all(same_color(line.get_color(), c) for line, c in zip(plt.gca().lines, "grg", strict=True))

    def test_a_single_format_is_that_of_all_curves(self):
        plotting.plot([0, 1], [[0, 1], [1, 2]], fmts="r:")
        first, second = plt.gca().lines
        assert first.get_linestyle() == second.get_linestyle() == ":"
        assert same_color(first.get_color(), "r")
        assert same_color(second.get_color(), "r")

    @pytest.mark.parametrize("fmts", [("-", "m--", "g-.", "r:"), ("k-",), "r:", ("o-",), ("b-", "bo-")])
    def test_no_two_curves_of_a_plot_look_alike(self, fmts):
        plotting.plot([0, 1], [[i, i + 1] for i in range(10)], fmts=fmts)
        assert len({look_of(line).seen for line in plt.gca().lines}) == 10

    def test_set_axes_sets_what_is_given(self):
        _, axes = plt.subplots()
        axes.plot([1, 2], [1, 2])
        plotting.set_axes(axes, "a", "b", [1, 10], [1, 100], "log", "log", ["c"])
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("a", "b")
        assert (axes.get_xlim(), axes.get_ylim()) == ((1, 10), (1, 100))
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["c"]

    def test_set_axes_without_labels_limits_and_legend(self):
        _, axes = plt.subplots()
        axes.plot([1, 2], [3, 4])
        plotting.set_axes(axes, None, None, None, None, "linear", "linear", None)
        assert axes.get_legend() is None
        assert axes.get_xlim()[0] <= 1 < 2 <= axes.get_xlim()[1]

    def test_set_figsize_holds_for_new_figures(self):
        plotting.set_figsize((6, 1.5))
        np.testing.assert_array_equal(plt.figure().get_size_inches(), (6, 1.5))

    def test_show_images_fills_a_grid(self):
        images = [np.full((4, 6), i) for i in range(5)]
        axes = plotting.show_images(images, 2, 3, titles="abcde")
        assert len(axes) == 6
        assert [len(ax.images) for ax in axes] == [1, 1, 1, 1, 1, 0]
        assert [ax.get_title() for ax in axes] == ["a", "b", "c", "d", "e", ""]
        for image, ax in zip(images, axes, strict=False):
            np.testing.assert_array_equal(ax.images[0].get_array(), image)
        assert not any(ax.axison for ax in axes)

    @pytest.mark.parametrize(("shape", "shown_as"), [((4, 6), (4, 6)), ((4, 6, 1), (4, 6)), ((4, 6, 3), (4, 6, 3))])
    def test_show_images_takes_grey_and_colour(self, shape, shown_as):
        (ax,) = plotting.show_images([np.zeros(shape, np.uint8)], 1, 1)
        assert ax.images[0].get_array().shape == shown_as

    def test_images_beyond_the_grid_are_left_out(self):
        assert len(plotting.show_images([np.zeros((2, 2))] * 9, 1, 4)) == 4


@pytest.mark.parametrize(
    "message",
    [
        "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.11 GiB",
        "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 4",
        "OOM when allocating tensor with shape[128,96,54,54] and type float on /job:localhost/device:GPU:0",
        "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 4294967296 bytes.",
        "cudaMalloc retry failed: out of memory",
        "Failed to allocate CPU Memory",
        "std::bad_alloc",
    ],
)
def test_what_frameworks_say_when_the_memory_is_full_is_known(message):
    assert OUT_OF_MEMORY.search(message)


def test_other_errors_are_not_taken_for_full_memory():
    assert not OUT_OF_MEMORY.search("mat1 and mat2 shapes cannot be multiplied (4x7 and 784x16), in memory order")
