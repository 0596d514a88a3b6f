"""How outputs of notebooks are compared: text exactly, numbers within tolerances, figures by what they show."""

import difflib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import starmap

from d2l.media import CURVES_MIME, RUN_MIME

from .figures import UNIT, different_figures, read_figure

# Rounding differs between processors; the least defect seen in a smoke run moves a loss by more.
TOLERANCE = {"loss": 2e-4, "acc": 0.02}
# The small networks of some sections learn so fast that rounding grows: between two processors, one with AVX-512 and
# one without, a loss was 0.007 and an accuracy 0.06 apart.
WIDE_TOLERANCE = {"answers": {"loss": 0.03, "acc": 0.15}}
NUMBER = re.compile(r"[-\u2212]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?")

# Speeds and times are those of the machine.
MEASURED = re.compile(rf"{NUMBER.pattern}(?= {UNIT}\b)")
SVG_MIME = "image/svg+xml"


def differences(test: Sequence[Mapping], reference: Sequence[Mapping], section: str = "") -> list[str]:
    """What is different between two executions of a cell, in lines to read; none if they pass as equal.

    Args:
        test, reference: The outputs, as in a notebook.
        section: Name of the notebook without folder and ending; some have tolerances of their own.
    """
    tolerances = WIDE_TOLERANCE.get(section, TOLERANCE)
    texts = [_texts(outputs) for outputs in (reference, test)]
    found = list(difflib.unified_diff(*texts, n=1, lineterm=""))[2:]  # the first two would name files
    found += _different_numbers(_numbers(test), _numbers(reference), tolerances)
    if texts[0] == texts[1]:
        figures = [[read_figure(svg, tolerances) for svg in _svgs(outputs)] for outputs in (test, reference)]
        for lines in starmap(different_figures, zip(*figures, strict=True)):
            found += lines
    return found


def _texts(outputs: Sequence[Mapping]) -> list[str]:
    """The lines of all that has to be the same, by kind: what is printed may come before what is shown or after."""
    texts = defaultdict(list)
    for output in outputs:
        data = output.get("data", {})
        for mime, value in data.items():
            if mime == SVG_MIME:
                texts["figure"].append(read_figure(value, TOLERANCE).text)
            elif mime not in (CURVES_MIME, RUN_MIME):
                text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
                # The line below a training run has its numbers as data beside it.
                texts[mime].append(NUMBER.sub("#", text) if RUN_MIME in data else text)
        if "text" in output:
            texts[output["name"]].append(output["text"])
        if "ename" in output:
            texts["error"].append(f"{output['ename']}: {output['evalue']}")
    for stream in texts.keys() & {"stdout", "stderr"}:
        texts[stream] = [MEASURED.sub("#", "".join(texts[stream]))]
    return [line for kind in sorted(texts) for text in texts[kind] for line in (f"[{kind}]", *text.split("\n"))]


def _svgs(outputs: Sequence[Mapping]) -> list[str]:
    return [output["data"][SVG_MIME] for output in outputs if SVG_MIME in output.get("data", {})]


def _numbers(outputs: Sequence[Mapping]) -> dict[str, list[float]]:
    """Every curve's coordinates and every run's final metrics, by name."""
    found = {}
    boards = [output["data"][CURVES_MIME] for output in outputs if CURVES_MIME in output.get("data", {})]
    runs = [output["data"][RUN_MIME] for output in outputs if RUN_MIME in output.get("data", {})]
    for number, board in enumerate(boards, 1):
        for label, points in board["curves"].items():
            found[f"board {number}, x of {label}"] = [x for x, _ in points]
            found[f"board {number}, {label}"] = [y for _, y in points]
    for number, run in enumerate(runs, 1):
        found |= {f"run {number}, final {label}": [value] for label, value in run["metrics"].items()}
        found |= {f"run {number}, {key}": [run[key]] for key in ("epochs", "max_epochs", "examples_per_epoch")}
    return found


def _different_numbers(
    test: Mapping[str, list[float]], reference: Mapping[str, list[float]], tolerances: Mapping[str, float]
) -> Iterator[str]:
    """A line for each name whose numbers are missing, new, or not within the tolerance."""
    for name in sorted(test.keys() | reference.keys()):
        ours, theirs = test.get(name), reference.get(name)
        tolerance = 0 if ", x of " in name else tolerances.get(name.rpartition("_")[2], 0)
        if ours is None or theirs is None or len(ours) != len(theirs):
            yield f"{name}: {_listed(theirs)} -> {_listed(ours)}"
        elif not all(_close(a, b, tolerance) for a, b in zip(ours, theirs, strict=True)):
            yield f"{name}: {_listed(theirs)} -> {_listed(ours)}, more than {tolerance} apart"


def _close(a: float | None, b: float | None, tolerance: float) -> bool:
    """Whether two numbers are as equal as they have to be, or both are lost."""
    return a == b or (a is not None and b is not None and abs(a - b) <= tolerance)


def _listed(numbers: list[float | None] | None) -> str:
    return "none" if numbers is None else ", ".join("lost" if n is None else f"{n:.6g}" for n in numbers)
