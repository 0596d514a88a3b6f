"""No SVG that code shows runs something, asks another host or draws without end; and those that only draw are shown."""

import shutil
import subprocess
from xml.etree import ElementTree as ET

import nbformat
import pytest
from svgs import ASKED, SIZES, drawings, hostile

from book.sanitize_outputs import NOT_SHOWN, sanitized

MIME = "image/svg+xml"
SVG = "http://www.w3.org/2000/svg"


def shown(picture: object) -> dict:
    """What the page shows of an SVG."""
    output = nbformat.v4.new_output("display_data", data={"text/plain": "<Figure>"})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[output])])
    notebook.cells[0].outputs[0].data[MIME] = picture  # such as one that is no text, which a kernel may send
    return sanitized(notebook).cells[0].outputs[0].data


def test_no_svg_that_does_more_than_draw_is_shown():
    cases = dict(hostile())
    assert len(cases) > 60
    data = {name: shown(picture) for name, picture in cases.items()}
    assert [name for name, kept in data.items() if MIME in kept] == []
    assert [name for name, kept in data.items() if not kept["text/plain"].startswith(NOT_SHOWN)] == []
    assert [name for name, kept in data.items() if "\n" in kept["text/plain"] or len(kept["text/plain"]) > 250] == []


def test_what_draws_is_shown_and_nothing_else_of_it():
    wrong = []
    for name, picture, unwanted in drawings():
        written = shown(picture).get(MIME, "")
        kept = written.startswith("<svg ") and not any(part in written for part in unwanted)
        if not kept or ET.fromstring(written).tag != f"{{{SVG}}}svg" or shown(written)[MIME] != written:
            wrong.append(name)
    assert wrong == []


def test_every_picture_has_a_size_that_all_programs_read(tmp_path):
    roots = {size: ET.fromstring(shown(f'<svg xmlns="{SVG}" {size}><g/></svg>')[MIME]) for size in SIZES}
    assert {size: (root.get("width"), root.get("height")) for size, root in roots.items()} == SIZES
    if shutil.which("rsvg-convert") is None:
        pytest.skip("no rsvg-convert on this machine (Debian package librsvg2-bin), which makes the pictures of PDFs")
    failed = []
    for name, picture, _ in drawings():
        command = ["rsvg-convert", "--format=pdf", f"--output={tmp_path / 'picture.pdf'}"]
        done = subprocess.run(command, input=shown(picture)[MIME], capture_output=True, text=True, timeout=60)
        failed += [] if done.returncode == 0 else [f"{name}: {done.stderr}"]
    assert failed == []


def test_browser_runs_and_asks_for_nothing(page, tmp_path):
    """As files that a browser opens, which may run scripts, and not as pictures, in which it runs none."""
    names = []

    def write(picture: str) -> None:
        names.append(f"{len(names)}.svg")
        (tmp_path / names[-1]).write_text(picture, "utf-8")

    def visit() -> None:
        frames = "".join(f'<iframe src="{name}"></iframe>' for name in names)
        (tmp_path / "page.html").write_text(f"<!DOCTYPE html><title>t</title>{frames}", "utf-8")
        page.goto((tmp_path / "page.html").as_uri())

    for picture in [*dict(hostile()).values(), *(picture for _, picture, _ in drawings())]:
        if MIME in (data := shown(picture)):
            write(data[MIME])
    assert len(names) > 20
    visit()
    page.wait_for_load_state("networkidle")
    assert page.problems == []
    write(next(picture for _, picture in hostile()))  # as it is
    with page.expect_request(ASKED):
        visit()
