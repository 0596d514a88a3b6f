"""Where the book is published, and how it is cited: what ``config.ini`` and CITATION.cff say, and what follows."""

import datetime
import functools
import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, urlencode, urlsplit

import yaml

from .errors import BookError
from .files import ROOT
from .source import read_text, setting

PAGES_BRANCH = "gh-pages"  # where .github/workflows/pages.yml puts pages and notebooks, for GitHub Pages and for Colab


@dataclass(frozen=True)
class Publication:
    """Where the book is published. What is empty is nowhere, and what would lead there is empty, too.

    Attributes:
        site_url: Address of the folder of the pages, with a slash at its end.
        repository: Address of the repository on GitHub, without one.
    """

    site_url: str = ""
    repository: str = ""

    @classmethod
    def configured(cls) -> Self:
        """What ``config.ini`` sets.

        Raises:
            BookError: A value is not what it has to be; the message has its place, and an example.
        """
        site_url, place = setting("project", "site_url")
        if site_url and not _is_folder(site_url):
            raise _unexpected(
                place,
                "site_url",
                site_url,
                "the address of a folder with a slash at its end",
                "https://example.org/alexnet/",
            )
        repository, place = setting("project", "repository")
        if repository and not re.fullmatch(r"https://github\.com/[\w-]+/[\w.-]+(?<!\.git)", repository):
            raise _unexpected(
                place,
                "repository",
                repository,
                "the address of a repository on GitHub",
                "https://github.com/owner/name",
            )
        return cls(site_url, repository)

    def page(self, name: str) -> str:
        """The address of a page, such as ``chapter_cnn/alexnet``."""
        return self.site_url and self.site_url + ("" if name == "index" else f"{name}.html")

    def source(self, name: str) -> str:
        """The address of a page's source."""
        return self.repository and f"{self.repository}/blob/HEAD/{name}.md"

    def issue(self, name: str) -> str:
        """The address of a form to report what is wrong on a page."""
        fields = urlencode({"template": "text.yml", "title": f"{name}: ", "place": f"{name}.md"})
        return self.repository and f"{self.repository}/issues/new?{fields}"

    def services(self, notebook: str) -> dict[str, str]:
        """Where a notebook, such as ``pytorch/chapter_cnn/alexnet``, runs on a machine of others: addresses by name."""
        if not self.repository:
            return {}
        owner_and_name = urlsplit(self.repository).path.strip("/")
        path = f"notebooks/{notebook}.ipynb"
        on_github = f"{owner_and_name}/blob/{PAGES_BRANCH}/{path}"
        return {
            "Colab": f"https://colab.research.google.com/github/{on_github}",
            "Binder": f"https://mybinder.org/v2/gh/{owner_and_name}/{PAGES_BRANCH}?labpath={quote(path, safe='')}",
            "Kaggle": f"https://www.kaggle.com/kernels/welcome?src=https://github.com/{on_github}",
        }


def _is_folder(address: str) -> bool:
    """Whether this is the address of a folder on the web."""
    try:
        parts = urlsplit(address)
    except ValueError:  # of brackets that hold no address
        return False
    has_host = parts.scheme in ("http", "https") and bool(parts.hostname)
    return has_host and parts.path.endswith("/") and not re.search(r"[\s?#\"<>]", address)


def _unexpected(place: str, name: str, value: str, kind: str, example: str) -> BookError:
    return BookError(f"{place}: {name} = {value}: expected {kind}, such as {example}; or nothing, if there is none")


@dataclass(frozen=True)
class Citation:
    """How the book is cited.

    Attributes:
        title, version: Of the book.
        authors: Their names.
        date: Of the version.
    """

    title: str
    version: str
    authors: tuple[str, ...]
    date: datetime.date

    def sentence(self, address: str) -> str:
        """The book in a list of works."""
        return f"{', '.join(self.authors)} ({self.date.year}). {self.title}, version {self.version}. {address}".rstrip()

    def bibtex(self, address: str) -> str:
        """The book as an entry for BibTeX."""
        fields = {
            # Braces of their own, since a comma or an `and` in a group's name parts no people.
            "author": " and ".join(f"{{{_in_tex(author)}}}" for author in self.authors),
            "title": f"{{{_in_tex(self.title)}}}",
            "version": self.version,
            "year": str(self.date.year),
            "url": address,
        }
        key = re.sub(r"\W+", "-", self.title.lower()).strip("-")
        lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
        return f"@software{{{key},\n{lines}}}"


def _in_tex(text: str) -> str:
    return re.sub(r"([&%#_$])", r"\\\1", text)


@functools.cache
def citation() -> Citation:
    """What CITATION.cff says."""
    found = yaml.safe_load(read_text(ROOT / "CITATION.cff"))
    authors = tuple(author["name"] for author in found["authors"])
    return Citation(found["title"], found["version"], authors, found["date-released"])
