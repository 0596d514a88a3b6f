"""What a publisher fills into config.ini, in the package's metadata: its addresses, and those in its description.

All else about the package is in pyproject.toml.
"""

import configparser
import re
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
RELATIVE = re.compile(r"(?<=\]\()(?!#|[a-z]+:)[^)\s]+(?=\))")  # the address of a link in Markdown, or of a picture
GITHUB, PICTURES = "https://github.com/", "https://raw.githubusercontent.com/"


def addresses(site_url: str, repository: str) -> dict[str, str]:
    """Where the project is, by the names that PyPI knows; none where nothing is filled in."""
    found = {"Documentation": site_url} if site_url else {}
    if repository:
        changes = f"{repository}/blob/HEAD/CHANGELOG.md"
        found |= {"Source": repository, "Issues": f"{repository}/issues", "Changelog": changes}
    return found


def readable_anywhere(readme: str, repository: str) -> str:
    """The README with addresses in the repository for its pictures and links, since PyPI has no files beside it."""
    if not repository:
        return readme

    def absolute(match: re.Match[str]) -> str:
        path = match[0]
        if path.endswith((".png", ".svg")):
            return f"{repository.replace(GITHUB, PICTURES)}/HEAD/{path}"
        return f"{repository}/blob/HEAD/{path}"

    return RELATIVE.sub(absolute, readme)


config = configparser.ConfigParser(interpolation=None)
config.read(ROOT / "config.ini", "utf-8")
site_url, repository = (config.get("project", name, fallback="") for name in ("site_url", "repository"))
setup(
    project_urls=addresses(site_url, repository),
    long_description=readable_anywhere((ROOT / "README.md").read_text("utf-8"), repository),
    long_description_content_type="text/markdown",
)
