"""Links that lead out: all of them are listed with their places, and a check says which lead nowhere."""

import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from book import links
from book.__main__ import main
from book.errors import BookError
from book.files import ROOT
from book.links import check_links, external_links


def test_every_link_is_listed_with_its_places(monkeypatch, tmp_path):
    monkeypatch.setattr(links, "ROOT", tmp_path)
    (tmp_path / "README.md").write_text(
        "[a](https://a.org/)\n\n<https://b.org/x_y>\n[c](img/c.png) `http://localhost`\n"
    )
    (tmp_path / "chapter_x").mkdir()
    (tmp_path / "chapter_x" / "index.md").write_text("![p](https://a.org/)\n")
    (tmp_path / "references.bib").write_text("@a{b,\n  url = {https://c.org/},\n  doi   = {10.1/2_3}\n}\n")
    (tmp_path / "theme").mkdir()
    (tmp_path / "theme" / "footer.html").write_text('<a href="https://d.org/">d</a> <a href="{{ x }}">x</a>')
    assert external_links() == {
        "https://a.org/": ["README.md:1", "chapter_x/index.md:1"],
        "https://b.org/x_y": ["README.md:3"],
        "https://c.org/": ["references.bib:2"],
        "https://d.org/": ["theme/footer.html:1"],
        "https://doi.org/10.1/2_3": ["references.bib:3"],
    }


def test_pages_lead_to_nothing_that_is_not_listed(html):
    there = {
        address
        for page in html.rglob("*.html")
        for address in re.findall(r'\bhref="(https?://[^"]+)"', page.read_text("utf-8"))
    }
    assert len(there) > 20
    assert there - set(external_links()) == set()


def test_command_lists_them_without_asking_for_any(monkeypatch, capsys):
    monkeypatch.setattr(links, "_ask", lambda _: pytest.fail("asked"))
    monkeypatch.setattr("sys.argv", ["book", "links"])
    assert main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(external_links())
    licence = next(line for line in lines if line.startswith("https://opensource.org/license/mit "))
    place, line = licence.split()[1].split(":")
    assert "https://opensource.org/license/mit" in (ROOT / place).read_text("utf-8").splitlines()[int(line) - 1]


class Host(BaseHTTPRequestHandler):
    """Has a page, one that has moved there, one for people only, and no others."""

    def do_HEAD(self) -> None:
        code = {"/here_": 200, "/moved": 301, "/people": 403}.get(self.path, 404)
        self.send_response(code)
        if code == 301:
            self.send_header("Location", "/here_")
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def host() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Host) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.slow
@pytest.mark.fault("A link of the book leads nowhere")
def test_check_names_what_leads_nowhere_and_what_people_have_to_look_at(host, monkeypatch, sees):
    monkeypatch.setattr(links, "OPTIONS", {"root_doc": "links", "linkcheck_retries": 1})
    found = {f"{host}/here_": ["a.md:1"], f"{host}/moved": ["a.md:2"], f"{host}/people": ["b.md:3"]}
    moved, by_hand = sorted(check_links(found))
    assert moved == f"moved: {host}/moved (a.md:2) -> {host}/here_"
    assert by_hand.startswith(f"to be looked at by hand: {host}/people (b.md:3): 403 ")
    with pytest.raises(BookError) as caught:
        check_links(found | {f"{host}/gone": ["a.md:4", "b.md:5"]})
    assert moved in str(caught.value) and by_hand in str(caught.value)
    said = str(caught.value).partition("1 of 4 ")[2]
    assert said.startswith(f"links lead nowhere:\n{host}/gone (a.md:4, b.md:5): 404 ")
    sees(f"error: 1 of 4 {said}")
