"""The pages with what a static host needs besides, in a folder that can be uploaded as it is."""

import re
import shutil
from pathlib import Path
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree as ET

from d2l.installation import NAME

from .build_lock import alone
from .cache import kept
from .downloads import printed
from .errors import BookError
from .files import BUILD, ROOT
from .frameworks import FRAMEWORKS
from .pages import HTML, WHOLE, inputs_hash
from .publication import Publication
from .setup_cell import helper_address
from .source import sources

SITE = BUILD / "site"
NOT_FOUND = "404.html"
LINK = re.compile(r'\b(href|src|action)="(?!#|[a-z]+:)([^"]*)"')
SITEMAPS = "http://www.sitemaps.org/schemas/sitemap/0.9"
BINDER = """\
channels: [conda-forge]
dependencies:
  - python=3.11
  - pip
  - pip:
      - --constraint constraints.txt
      - --extra-index-url https://download.pytorch.org/whl/cpu
      - jupyterlab
      - "{name}[{extras}] @ {address}"
"""


@alone()
def make_site(html: Path = HTML, site: Path = SITE) -> str:
    """Copy the pages into a folder for a static host, and add what this needs. A failure leaves the last one.

    Returns:
        What to tell whoever asked for it.

    Raises:
        BookError: The pages are not there, or are not those of today's sources; or see `Publication.configured`.
    """
    publication = Publication.configured()
    if not (html / "index.html").exists() or kept(WHOLE, [inputs_hash()]) is None:
        raise BookError(
            f"{html}: these are not the pages of today's sources, which make book makes: make site does both"
        )
    fresh = site.with_name(f"{site.name}_fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(html, fresh)
    (fresh / ".nojekyll").touch()  # GitHub would leave out folders that begin with _
    not_found = fresh / NOT_FOUND
    not_found.write_text(from_anywhere(not_found.read_text("utf-8"), publication), "utf-8", newline="\n")
    lines = [f"The site: {site}"]
    if publication.site_url:
        (fresh / "sitemap.xml").write_text(sitemap(publication), "utf-8", newline="\n")
        (fresh / "robots.txt").write_text(
            f"User-agent: *\nAllow: /\nSitemap: {publication.site_url}sitemap.xml\n", "utf-8", newline="\n"
        )
    else:
        lines.append(
            f"config.ini sets no site_url: there is no sitemap.xml, and {NOT_FOUND} is right at the root of a host only"
        )
    if publication.repository:
        write_binder(fresh / "binder", publication)
    _, old = printed()
    lines += [f"Not linked, since it is of an earlier text: {place}" for place in old]
    shutil.rmtree(site, ignore_errors=True)
    fresh.replace(site)
    return "\n".join(lines)


def from_anywhere(html: str, publication: Publication) -> str:
    """A page of the uppermost folder whose links hold wherever a host shows it: it is shown for any address."""
    root = urlsplit(publication.site_url).path or "/"
    return LINK.sub(lambda match: f'{match[1]}="{urljoin(root, match[2])}"', html)


def sitemap(publication: Publication) -> str:
    """The addresses of all pages, for search engines."""
    pages = ET.Element("urlset", xmlns=SITEMAPS)
    for source in sources():
        ET.SubElement(ET.SubElement(pages, "url"), "loc").text = publication.page(source.name)
    ET.indent(pages)
    return ET.tostring(pages, "unicode", xml_declaration=True) + "\n"


def write_binder(folder: Path, publication: Publication) -> None:
    """Write what Binder installs: the helper and all frameworks, in the book's versions, for machines without a GPU."""
    folder.mkdir()
    shutil.copy(ROOT / "constraints.txt", folder)
    text = BINDER.format(extras=",".join(FRAMEWORKS), address=helper_address(publication), name=NAME)
    (folder / "environment.yml").write_text(text, "utf-8", newline="\n")
