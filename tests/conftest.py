"""What holds for all tests: the smoke profile, no GPU, and notebooks compared by what their outputs mean."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import nbformat
import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

from book.source import Section, compile_sections, is_installed
from d2l.board import CURVES_MIME
from d2l.core import RUN_MIME

os.environ["D2L_PROFILE"] = "smoke"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
matplotlib.use("agg")

# Rounding differs between processors; the least defect seen in a smoke run moves a loss by more.
TOLERANCE = {"loss": 2e-4, "acc": 0.02}
SVG_TEXT = re.compile(r"<text[^>]*>([^<]*)</text>")
NUMBER = re.compile(r"[-\u2212]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?")

compare_exactly = IPyNbCell.compare_outputs
next_message = IPyNbFile.get_kernel_message


def compare_outputs(cell: IPyNbCell, test: list[dict], reference: list[dict], skip_compare: Any = None) -> bool:
    """nbval's comparison, with curves and metrics compared as numbers and figures by their texts."""
    same = compare_exactly(cell, [comparable(output) for output in test], [comparable(output) for output in reference])
    if same:
        differences = list(different_numbers(numbers(test), numbers(reference)))
        cell.comparison_traceback.extend(differences)
        same = not differences
    return same


def comparable(output: dict) -> dict:
    """An output without the parts that are compared as numbers or may differ."""
    data = dict(output.get("data", {}))
    if "image/svg+xml" in data:
        texts = SVG_TEXT.findall(data["image/svg+xml"])
        data["image/svg+xml"] = "\n".join(text for text in texts if not NUMBER.fullmatch(text))
    if data.pop(RUN_MIME, None):
        data["text/plain"] = NUMBER.sub("#", data["text/plain"])
    data.pop(CURVES_MIME, None)
    return nbformat.from_dict({**output, "data": data}) if "data" in output else output


def numbers(outputs: list[dict]) -> dict[str, list[float]]:
    """Every curve's coordinates and every run's final metrics, by name."""
    found = {}
    for output in outputs:
        data = output.get("data", {})
        for label, points in data.get(CURVES_MIME, {}).get("curves", {}).items():
            found[f"x of {label}"] = [x for x, _ in points]
            found[label] = [y for _, y in points]
        run = data.get(RUN_MIME, {})
        found |= {f"final {label}": [value] for label, value in run.get("metrics", {}).items()}
        found |= {key: [run[key]] for key in ("epochs", "max_epochs", "examples_per_epoch") if key in run}
    return found


def different_numbers(test: dict[str, list[float]], reference: dict[str, list[float]]) -> Iterator[str]:
    """A line for each name whose numbers are missing, new, or not within tolerance."""
    for name in test.keys() | reference.keys():
        ours, theirs = test.get(name), reference.get(name)
        tolerance = 0 if name.startswith("x of") else TOLERANCE.get(name.rpartition("_")[2], 0)
        if ours is None or theirs is None or len(ours) != len(theirs):
            yield f"{name}: {ours}, reference {theirs}\n"
        elif not all(abs(a - b) <= tolerance for a, b in zip(ours, theirs, strict=True)):
            yield f"{name}: {ours} is not within {tolerance} of the reference {theirs}\n"


def get_kernel_message(notebook: IPyNbFile, timeout: float | None = None, stream: str = "iopub") -> dict:
    """The kernel's next message; updates of an output shown earlier go into that output, as in a saved notebook."""
    shown = notebook.__dict__.setdefault("shown_data", {})
    while True:
        message = next_message(notebook, timeout=timeout, stream=stream)
        content = message["content"]
        display_id = content.get("transient", {}).get("display_id")
        if message["msg_type"] == "update_display_data":
            shown[display_id].clear()
            shown[display_id].update(nbformat.from_dict(content["data"]))
            continue
        if display_id:
            shown[display_id] = content["data"] = nbformat.from_dict(content["data"])
        return message


@pytest.fixture(scope="session")
def sections() -> list[Section]:
    """Every section, compiled for every tab from today's sources."""
    return compile_sections()


IPyNbCell.compare_outputs = compare_outputs
IPyNbFile.get_kernel_message = get_kernel_message


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the notebooks of frameworks that are not installed, and say so."""
    references = Path(__file__).parent / "reference"
    for item in items:
        if references in item.path.parents:
            tab = item.path.relative_to(references).parts[0]
            if not is_installed(tab):
                item.add_marker(pytest.mark.skip(reason=f"the framework of the {tab} tab is not installed here"))
