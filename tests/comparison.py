"""How outputs of notebooks are compared: text exactly, curves and metrics as numbers, figures by their texts."""

import re
from collections.abc import Iterator

import nbformat

from d2l.media import CURVES_MIME, RUN_MIME

# Rounding differs between processors; the least defect seen in a smoke run moves a loss by more.
TOLERANCE = {"loss": 2e-4, "acc": 0.02}
# The small networks of some sections learn so fast that rounding grows: between two processors, one with AVX-512 and
# one without, a loss was 0.007 and an accuracy 0.06 apart.
WIDE_TOLERANCE = {"answers": {"loss": 0.03, "acc": 0.15}}
SVG_TEXT = re.compile(r"<text[^>]*>([^<]*)</text>")
NUMBER = re.compile(r"[-\u2212]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?")

# Speeds and times are those of the machine.
MEASURED = re.compile(rf"{NUMBER.pattern}(?= (?:[kMGTP]?(?:FLOP|B|images|examples)/s|m?s)\b)")


def comparable(output: dict) -> dict:
    """An output without the parts that are compared as numbers or may differ."""
    data = dict(output.get("data", {}))
    if "image/svg+xml" in data:
        texts = SVG_TEXT.findall(data["image/svg+xml"])
        data["image/svg+xml"] = "\n".join(text for text in texts if not NUMBER.fullmatch(text))
    if data.pop(RUN_MIME, None):
        data["text/plain"] = NUMBER.sub("#", data["text/plain"])
    data.pop(CURVES_MIME, None)
    if "data" in output:
        return nbformat.from_dict({**output, "data": data})
    if "text" in output:
        return nbformat.from_dict({**output, "text": MEASURED.sub("#", output["text"])})
    return output


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


def different_numbers(
    test: dict[str, list[float]], reference: dict[str, list[float]], section: str = ""
) -> Iterator[str]:
    """A line for each name whose numbers are missing, new, or not within the section's tolerance."""
    tolerances = WIDE_TOLERANCE.get(section, TOLERANCE)
    for name in test.keys() | reference.keys():
        ours, theirs = test.get(name), reference.get(name)
        tolerance = 0 if name.startswith("x of") else tolerances.get(name.rpartition("_")[2], 0)
        if ours is None or theirs is None or len(ours) != len(theirs):
            yield f"{name}: {ours}, reference {theirs}\n"
        elif not all(abs(a - b) <= tolerance for a, b in zip(ours, theirs, strict=True)):
            yield f"{name}: {ours} is not within {tolerance} of the reference {theirs}\n"
