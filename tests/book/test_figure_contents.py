"""The figures are what their scripts draw, have sources for their facts, and can be read on a phone and aloud."""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from book.files import ROOT
from book.verbs import FIGURES

IMG = ROOT / "img"
SVG = "{http://www.w3.org/2000/svg}"
QUICK = FIGURES[: FIGURES.index("filters")]


def fields_by_gradient() -> Iterator[int]:
    """The side of what a unit in the middle of each convolution and pooling of AlexNet depends on, in pixels."""
    torch = pytest.importorskip("torch")
    from d2l import torch as d2l

    layers = []
    X = torch.zeros(1, 1, 500, 500, requires_grad=True)
    for layer in d2l.AlexNet().net:
        kind = type(layer).__name__
        if "Conv" in kind:
            same = torch.nn.Conv2d(1, 1, layer.kernel_size, layer.stride, layer.padding)
            torch.nn.init.ones_(same.weight)
        elif "Pool" in kind:  # an average depends on all that the maximum may depend on
            same = torch.nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding)
        else:
            continue
        layers.append(same)
        Y = torch.nn.Sequential(*layers)(X)
        (gradient,) = torch.autograd.grad(Y[0, 0, Y.shape[2] // 2, Y.shape[3] // 2], X)
        yield int(gradient.any(2).sum())


@pytest.mark.parametrize("name", QUICK)
def test_drawing_again_gives_the_same_file(tmp_path, name):
    for file in [*IMG.glob("*.py"), *IMG.glob("*.csv")]:
        shutil.copy(file, tmp_path)
    subprocess.run([sys.executable, tmp_path / f"{name}.py"], check=True)
    assert (tmp_path / f"{name}.svg").read_bytes() == (IMG / f"{name}.svg").read_bytes()


def test_every_figure_has_a_script_that_names_it():
    scripts = "".join(script.read_text("utf-8") for script in IMG.glob("*.py"))
    for figure in [*IMG.glob("*.svg"), *IMG.glob("*.png")]:
        assert figure.name in scripts


def test_every_script_is_run_by_make_figures():
    drawing = {script.stem for script in IMG.glob("*.py") if "__main__" in script.read_text("utf-8")}
    assert drawing - {"page"} <= set(FIGURES)  # page.py photographs the built page


def test_every_point_of_the_timeline_has_a_source():
    with open(IMG / "timeline.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["panel"] for row in rows} == {"data", "compute"}
    for row in rows:
        assert float(row["value"]) > 0
        assert re.search(r"\w.* \d{4}: \w", row["source"]), row["name"]


def test_every_bar_of_the_challenge_has_a_source():
    with open(IMG / "challenge.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["year"]) for row in rows if row["entry"] != "ISI"] == list(range(2010, 2018))
    for row in rows:
        said = re.search(r"\w.* \d{4}: (?P<error>[\d.]+)", row["source"])
        assert said, row["entry"]
        error = float(said["error"])
        assert round(100 * error if error < 1 else error, 1) == float(row["error"])


def test_receptive_fields_are_those_of_the_gradient():
    words = ET.parse(IMG / "receptive.svg").find(f"{SVG}desc").text
    drawn = [int(part.rpartition(": ")[2].rstrip(".")) for part in words.split("; ")]
    assert drawn == list(fields_by_gradient())


@pytest.mark.parametrize("path", sorted(IMG.glob("*.svg")), ids=lambda path: path.stem)
def test_drawing_can_be_read_on_a_phone_and_aloud(path: Path):
    svg = ET.parse(path).getroot()
    for label in svg.get("aria-labelledby").split():
        assert svg.find(f"*[@id='{label}']").text
    width = float(svg.get("width"))
    for text in svg.iter(f"{SVG}text"):
        # 320 of a phone's 360 pixels
        assert float(text.get("font-size")) * 320 / width > 9


def test_views_say_what_they_were_tested_on():
    views = json.loads((IMG / "views.json").read_text("utf-8"))
    confusion = views["confusion"]
    assert sum(map(sum, confusion)) == views["test_images"]
    assert views["accuracy"] == pytest.approx(sum(confusion[i][i] for i in range(10)) / views["test_images"], abs=5e-5)
    assert f"gets {views['accuracy']:.0%}".replace("%", " percent") in " ".join(
        (IMG / "views.py").read_text("utf-8").split()
    )


def test_confusion_matrix_shows_what_was_counted():
    confusion = json.loads((IMG / "views.json").read_text("utf-8"))["confusion"]
    shares = [count / sum(row) for row in confusion for count in row]
    drawn = [e.text for e in ET.parse(IMG / "confusion.svg").iter() if (e.text or "").isdecimal()]
    assert drawn == [f"{100 * share:.0f}" for share in shares if share >= 0.01]
