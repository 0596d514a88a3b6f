"""Recorded runs: outputs of full executions, kept in the repository with where they came from."""

import datetime
import html
import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from d2l.mime import RUN_MIME
from d2l.smoke_profile import parse_profile

from .errors import BookError
from .execute_notebooks import cell_code, run, with_outputs
from .files import ROOT, write_notebook
from .frameworks import FRAMEWORKS, is_installed
from .reference_numbers import numbers_hash
from .section import Compiled, Executed, Section, sections_named
from .truncate_outputs import truncated

RECORDINGS = ROOT / "recordings"


def record(sections: list[Compiled], tab: str, profile: str, only: str = "") -> None:
    """Execute a tab's sections in full and store outputs and provenance.

    Args:
        profile: The value of ``D2L_PROFILE``: ``full``, or limits such as ``epochs=1``.
        only: Name of the one section to record, such as ``alexnet``; all if empty.

    Raises:
        BookError: Tab or section is unknown or the framework missing, or a cell failed; earlier recordings stay.
    """
    mine = [section for section in sections if section.tab == tab and section.code_cells]
    if not mine:
        raise BookError(f"TAB={tab!r}: known tabs are {', '.join(FRAMEWORKS)}")
    chosen = sections_named(only, mine)
    if not is_installed(tab):
        raise BookError(f"TAB={tab!r}: {FRAMEWORKS[tab].module} is not installed here")
    try:
        smoke = parse_profile(profile).smoke
    except ValueError as error:
        raise BookError(str(error)) from None
    if smoke:
        raise BookError("a smoke run is no result: record a full run, or one with limits such as epochs=1")
    for section in chosen:
        # Taken before the run, which may take hours: the code may be edited meanwhile.
        recording = {
            "numbers": numbers_hash(section),
            "date": datetime.date.today().isoformat(),
            "hardware": hardware(),
            "versions": {name: importlib.metadata.version(name) for name in (FRAMEWORKS[tab].module, "numpy")}
            | {"python": platform.python_version()},
        }
        start = time.monotonic()
        notebook = run(section, profile).notebook
        notebook.metadata["recording"] = recording | {"seconds": round(time.monotonic() - start)}
        path = recording_path(section)
        write_notebook(notebook, path)
        print(f"Recorded in {path.relative_to(ROOT)}")


def recording_path(section: Section) -> Path:
    """Where a section's recording is kept."""
    return RECORDINGS / section.tab / f"{section.name}.ipynb"


def load_recording(section: Section) -> NotebookNode | None:
    """The section's recording if there is one and its cells are those of today; says so if they are not."""
    path = recording_path(section)
    if not path.exists():
        return None
    notebook = nbformat.read(path, as_version=4)
    if cell_code(notebook) != cell_code(section.notebook):
        print(f"{section}: the recording is stale, its cells have changed: {_command(section)}")
        return None
    if not is_current(section, notebook.metadata["recording"]):
        print(f"{section}: recorded with an earlier version of the helper: {_command(section)} renews it")
    return notebook


def is_current(section: Section, recording: dict) -> bool:
    """Whether the regression net says that the helper computes the same numbers as when a section was recorded."""
    return recording.get("numbers") == numbers_hash(section)


def show_results(smoke: Executed) -> Executed:
    """What readers see of a section, with its recording if it has one of today's cells, see `show`."""
    return show(smoke, load_recording(smoke))


def show(smoke: Executed, recorded: NotebookNode | None) -> Executed:
    """What readers see of a section: results of full runs only, each with its provenance; too long a text is cut.

    Args:
        smoke: The section as executed by a smoke run, which is not shown if there is a recording. Nor are its training
            results, nor what cells after them show, which may depend on them.
    """
    section = with_outputs(smoke, recorded or smoke.notebook)
    cells = section.code_cells
    trained = [cell for cell in cells if any(RUN_MIME in (output.get("data") or {}) for output in cell.outputs)]
    if recorded:
        note = provenance(section, recorded.metadata["recording"])
    else:
        note = f"No full run is recorded here. To record one: {_command(section)}"
        for cell in cells[cells.index(trained[0]) :] if trained else []:
            cell.outputs = []
    for number, cell in enumerate(cells, 1):
        cell.outputs, left_out = truncated(cell.outputs)
        if left_out:
            print(f"{section}: cell {number} prints too much to be shown; {left_out:,} characters of it are left out")
    # Without training, what the section measured or computed has its note at the end.
    for cell in trained or cells[-1:]:
        page = f'<p class="provenance">{html.escape(note)}</p>'
        cell.outputs.append(nbformat.v4.new_output("display_data", data={"text/html": page, "text/plain": note}))
    return section


def _command(section: Section) -> str:
    """The command that records a section."""
    return f"make record TAB={section.tab} SECTION={Path(section.name).name}"


def provenance(section: Executed, recording: dict) -> str:
    """One line on where a section's recording came from, with what its runs say that they computed in."""
    parts = [f"Recorded on {recording['date']} in {recording['seconds']:,} s on {recording['hardware']}"]
    if precisions := _precisions(section):
        parts.append(f"computed in {' and '.join(precisions)}")
    parts.append(", ".join(f"{name} {version}" for name, version in recording["versions"].items()))
    if not is_current(section, recording):
        parts.append("with an earlier version of the helper")
    return "; ".join(parts)


def _precisions(section: Executed) -> list[str]:
    """What a section's runs computed in; none of those recorded before runs said it."""
    outputs = [output for cell in section.code_cells for output in cell.outputs]
    runs = [(output.get("data") or {}).get(RUN_MIME) for output in outputs]
    said = [run.get("precision") for run in runs if isinstance(run, dict)]
    return sorted({precision for precision in said if isinstance(precision, str)})


def hardware() -> str:
    """The machine's processor and GPU in words."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text("utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        cpu = names[0] if names else cpu
    return f"{cpu}, {os.cpu_count()} cores, {_gpu() or 'no GPU'}"


def _gpu() -> str:
    try:
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        return ", ".join(subprocess.run(query, capture_output=True, text=True, check=True).stdout.split("\n")).strip(
            ", "
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
