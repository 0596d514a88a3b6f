"""Pages on paper: as wide as the sheet, sums of tables once, figures that leave room for text, formulas with room."""

import shutil
import subprocess

import pytest
from playwright.sync_api import Page

MARGINS = {side: "15mm" for side in ("top", "right", "bottom", "left")}
SHEET = (210 - 30, 297 - 30)  # millimetres within the margins of an A4 sheet


@pytest.fixture
def paper(html, page: Page) -> Page:
    """The page with the explorer, as wide as a sheet and as it is printed."""
    page.set_viewport_size({"width": round(SHEET[0] / 25.4 * 96), "height": round(SHEET[1] / 25.4 * 96)})
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    return page


def test_text_is_as_wide_as_the_sheet(paper):
    for place in ("h1", "main p", "main ul", "figure"):
        box = paper.locator(place).locator("visible=true").first.bounding_box()
        assert box["x"] <= 40 and box["x"] + box["width"] >= paper.viewport_size["width"] - 1, place


def test_no_picture_is_higher_than_most_of_a_sheet_nor_out_of_shape(paper):
    for figure in paper.locator("main img:visible").all():
        box = figure.bounding_box()
        assert box["height"] <= 0.6 * paper.viewport_size["height"]
        assert figure.evaluate("(figure) => getComputedStyle(figure).objectFit") == "contain"


@pytest.mark.only_in("chromium", "Playwright has Firefox print on sheets of another size")
def test_a_long_table_has_its_head_on_each_sheet_and_its_sums_once(paper, tmp_path):
    if not shutil.which("pdftotext"):
        pytest.skip("no pdftotext on this machine (Debian package poppler-utils)")
    paper.evaluate("""() => {
        const table = document.querySelector(".explorer table").cloneNode(true);
        const rows = [...table.tBodies[0].rows];
        for (let i = 0; i < 9; i++) {
            table.tBodies[0].append(...rows.map((row) => row.cloneNode(true)));
        }
        document.body.replaceChildren(table);
    }""")
    paper.pdf(path=tmp_path / "page.pdf", format="A4", margin=MARGINS)
    command = ["pdftotext", "-layout", tmp_path / "page.pdf", "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert text.count("output shape") == text.count("\f") > 1
    assert text.count("total") == 1


def test_nothing_scrolls_on_paper(paper):
    boxes = "main :is(pre, table.docutils, .formula, [style*=overflow-x])"
    overflows = "(boxes) => boxes.map((box) => getComputedStyle(box).overflowX)"
    assert set(paper.locator(boxes).evaluate_all(overflows)) == {"visible"}


@pytest.mark.parametrize("font", ["serif", "Latin Modern Math", "DejaVu Math TeX Gyre"])
@pytest.mark.parametrize("name", ["alexnet", "ingredients", "inside", "scaling"])
def test_formulas_have_room_whichever_font_they_are_in(html, page, name, font):
    page.goto((html / f"chapter_cnn/{name}.html").as_uri())
    stack = page.locator("math").first.evaluate("(math) => getComputedStyle(math).fontFamily")
    assert stack.startswith('"STIX Two Math", "Cambria Math", "Latin Modern Math", "DejaVu Math TeX Gyre"')
    page.add_style_tag(content=f"math {{ font-family: '{font}' !important; }}".replace("'serif'", "serif"))
    for formula in page.locator(".formula:visible").all():
        assert formula.evaluate("""(formula) => {
            const room = formula.getBoundingClientRect();
            return [...formula.querySelectorAll("math *")].every((part) => {
                const { top, bottom } = part.getBoundingClientRect();
                return top >= room.top && bottom <= room.bottom;
            }) && formula.scrollHeight <= formula.clientHeight;
        }""")
