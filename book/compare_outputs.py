"""How outputs of notebooks are compared: text exactly, numbers within tolerances, figures by what they show."""

import difflib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from d2l.mime import CURVES_MIME, RUN_MIME

from .figure_contents import UNIT, different_figures, read_figure

# Rounding differs between processors; the least defect seen in a smoke run moves a loss by more.
TOLERANCE = {"loss": 2e-4, "acc": 0.02}
# The small networks of some sections learn so fast that rounding grows: between two processors, one with AVX-512 and
# one without, a loss was 0.007 and an accuracy 0.06 apart.
WIDE = {"loss": 0.03, "acc": 0.15}
WIDE_TOLERANCE = {"answers": WIDE, "worth": WIDE, "own_model": {**WIDE, "confidence": 0.05}}
# What a network of a few steps makes of single images depends on rounding, and so does which of two epochs is the best.
# Of these sections' results, only the words and the sizes of figures are compared; of the runs themselves, all.
RESULTS_VARY = {"own_model"}
RESULT = re.compile(r"\d+\.\d+|(?<=epoch )\d+")
# Gradient ascent in a network of a few steps ends at unrelated images when rounding differs, as between one thread and
# two. Their mean levels were then up to 4.1 apart.
MEAN_LEVEL_TOLERANCE = {"inside": 10}
NUMBER = re.compile(r"[-\u2212]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?")
STANDING_ALONE = re.compile(rf"(?<![\w=.-]){NUMBER.pattern}(?!\w|\.\d)")

# Speeds and times are those of the machine, and so are means over runs, which stand with a deviation.
MEASURED = re.compile(rf"{NUMBER.pattern}(?= {UNIT}\b)| *[+-]?{NUMBER.pattern} ± *{NUMBER.pattern}")
# What may be another in the next run of the same code on the same machine: names that are given by chance, and times.
# Each is known by the words around it, and stands for what is beside it; a bare number or date is compared as it is.
VARYING = [
    (re.compile(pattern, re.M), fixed)
    for pattern, fixed in (
        (r"\bat 0x[0-9A-Fa-f]+\b", "at 0x#"),  # where an object lies in memory
        (r"[^\s\"'(<>]*[/\\]ipykernel_\d+[/\\]\d+\.py\b", "ipykernel/cell.py"),  # a cell's file, in warnings
        (r"(?<=[/\\])tmp[a-z0-9_]{8}\b", "tmp#"),  # from tempfile
        # A notebook's folder, which is another for the build than for the tests.
        (r"[^\s\"'(<>=]*[/\\](?:_build[/\\]+notebooks|tests[/\\]+reference)(?=[/\\]|\b)", "notebooks"),
        (r"\b(pid[ =:]+|(?:fd|ident|native_id)(?:=|: ?))\d+\b", r"\1#"),
        # Jupyter's own threads and tasks are counted as well.
        (r"\b(Thread|ThreadPoolExecutor)-\d+(?:_\d+)?\b", r"\1-#"),
        (r"(\bname='Task-|^Task-)\d+(?='|$)", r"\1#"),
        (r"(?<=, )((?:started|stopped)(?: daemon)?) \d+(?=\)>)", r"\1 #"),
        (r"^\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.,]\d{3,6}\b", "#"),  # a log's line begins so
        (r"^([IWEF])\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ ", r"\1# "),  # and one of TensorFlow's or JAX's
        (r"^(CPU times|Wall time): .*", r"\1: #"),  # %time
        (r"^(?:Compiler|Parser) *: .*\n|^The slowest run took .* longer than the fastest\..*\n", ""),  # if it was slow
        (r"^.* ± .* per loop \((.* of \d+ runs?), [\d,]+ loops? each\)", r"# per loop (\1)"),  # %timeit
        (r"\[[\d:]+<[\d:?]+, +[\d.?]+ ?(\w+/s|s/\w+)", r"[#, # \1"),  # tqdm
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[14][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b", "#"),  # UUIDs of chance or time
        (r"\b((?:display|model)_id(?:=|\": \"))[0-9a-f]{32}\b", r"\1#"),  # a display's or widget's
        (r"(?<=[\"#])T_[0-9a-f]{5}(?=_|\b)", "T_#"),  # a table's styled by pandas
    )
]
SVG_MIME = "image/svg+xml"
Numbers = Mapping[str, list[float | None]]  # by what they are of; lost ones are none


def differences(test: Sequence[Mapping], reference: Sequence[Mapping], section: str = "") -> list[str]:
    """What is different between two executions of a cell, in lines to read; none if they pass as equal.

    Args:
        test, reference: The outputs, as in a notebook.
        section: Name of the notebook without folder and ending; some have tolerances of their own.
    """
    tolerances = WIDE_TOLERANCE.get(section, TOLERANCE)
    if section in RESULTS_VARY:
        test, reference = _without_results(test), _without_results(reference)
    stored, texts = _texts(reference), _texts(test)
    found = list(difflib.unified_diff(stored, texts, n=1, lineterm=""))[2:]  # the first two would name files
    found += _different_numbers(_numbers(test), _numbers(reference), tolerances)
    if stored == texts:
        figures = [[read_figure(svg, tolerances) for svg in _svgs(outputs)] for outputs in (test, reference)]
        for new, old in zip(*figures, strict=True):
            found += different_figures(new, old, MEAN_LEVEL_TOLERANCE.get(section, 0))
    return found


def _without_results(outputs: Sequence[Mapping]) -> list[Mapping]:
    """Outputs without the numbers in what is printed, and without the figures that are not a run's curves."""
    kept = []
    for output in outputs:
        data = output.get("data", {})
        if "text" in output:
            kept.append({**output, "text": RESULT.sub("#", output["text"])})
        elif SVG_MIME in data and CURVES_MIME not in data:  # a text beside the figure has its size and number of axes
            kept.append({**output, "data": {mime: value for mime, value in data.items() if mime != SVG_MIME}})
        else:
            kept.append(output)
    return kept


def numbers(outputs: Sequence[Mapping]) -> list[str]:
    """All numbers that a cell's outputs show and that `differences` looks at, in order; not what stands between them.

    A number in a name, such as that of a layer, or in a setting, ``num_gpus=1``, is none; nor are those of warnings.
    """
    found = [str(value) for values in _numbers(outputs).values() for value in values]
    texts = _texts_by_kind(outputs)
    for kind in ("stdout", "text/plain"):
        found += [match[0].replace(",", "") for text in texts[kind] for match in STANDING_ALONE.finditer(text)]
    for data in (output.get("data", {}) for output in outputs):
        if SVG_MIME in data and CURVES_MIME not in data:  # beside curves, the picture says the same again
            # Without tolerances, in shares of the axes: what a metric's scale makes of places depends on the machine.
            figure = read_figure(data[SVG_MIME], {})
            drawn = [part for shape in figure.shapes.values() for part in (*shape.paths, shape.markers)]
            drawn += figure.images.values()
            found += [str(value) for part in drawn for value in part.round().astype(int).flat]
    return found


def _texts(outputs: Sequence[Mapping]) -> list[str]:
    """The lines of all that has to be the same, by kind: what is printed may come before what is shown or after."""
    texts = _texts_by_kind(outputs)
    return [line for kind in sorted(texts) for text in texts[kind] for line in (f"[{kind}]", *text.split("\n"))]


def _texts_by_kind(outputs: Sequence[Mapping]) -> dict[str, list[str]]:
    texts = defaultdict(list)
    for output in outputs:
        data = output.get("data", {})
        for mime, value in data.items():
            if mime == SVG_MIME:
                texts["figure"].append(read_figure(value, TOLERANCE).text)
            elif mime not in (CURVES_MIME, RUN_MIME):
                text = _settled(value if isinstance(value, str) else json.dumps(value, sort_keys=True))
                # The line below a training run has its numbers as data beside it.
                texts[mime].append(STANDING_ALONE.sub("#", text) if RUN_MIME in data else text)
        if "text" in output:
            texts[output["name"]].append(output["text"])
        if "ename" in output:
            texts["error"].append(_settled(f"{output['ename']}: {output['evalue']}"))
    for stream in texts.keys() & {"stdout", "stderr"}:
        texts[stream] = [MEASURED.sub("#", _settled(_as_shown("".join(texts[stream]))))]
    return texts


def _settled(text: str) -> str:
    """A text without what may differ between two runs of the same code."""
    for pattern, fixed in VARYING:
        text = pattern.sub(fixed, text)
    return text


def _as_shown(text: str) -> str:
    """What a terminal shows of a text with carriage returns and backspaces: of a progress bar, how it was last."""
    while (shown := re.sub(r"[^\n\x08]\x08", "", text)) != text:
        text = shown
    return re.sub(r"[^\n]*\r(?!\n)", "", re.sub(r"\r+\n", "\n", text))


def _svgs(outputs: Sequence[Mapping]) -> list[str]:
    return [output["data"][SVG_MIME] for output in outputs if SVG_MIME in output.get("data", {})]


def _numbers(outputs: Sequence[Mapping]) -> dict[str, list[float | None]]:
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


def _different_numbers(test: Numbers, reference: Numbers, tolerances: Mapping[str, float]) -> Iterator[str]:
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
