"""The helper as a wheel, which lies beside the pages: notebooks that are taken elsewhere install it."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from d2l.installation import NAME, VERSION

from .cache import is_kept, keep
from .errors import BookError
from .files import BUILD, ROOT
from .stale import contents_hash

WHEEL = f"{NAME.replace('-', '_')}-{VERSION}-py3-none-any.whl"
MADE_FROM = ("d2l/**/*", "pyproject.toml", "setup.py", "config.ini", "README.md", "LICENSE")
# Times in a wheel are those of nothing: the same files give the same bytes.
SAME_TIMES = {"SOURCE_DATE_EPOCH": "946684800"}


def make_wheel() -> Path:
    """The wheel of today's helper; it is made where that has changed, in a few seconds and without network.

    Raises:
        BookError: It could not be made; the message has what pip says.
    """
    wheel = BUILD / "wheel" / WHEEL
    files = [path for pattern in MADE_FROM for path in ROOT.glob(pattern)]
    made_from = [contents_hash(ROOT, files, content_of=Path.read_bytes)]
    if wheel.exists() and is_kept("wheel", made_from):
        return wheel
    # In a copy, since setuptools packs what earlier builds have left in the folder.
    with tempfile.TemporaryDirectory() as folder:
        for name in MADE_FROM[1:]:
            shutil.copy(ROOT / name, folder)
        shutil.copytree(ROOT / "d2l", Path(folder, "d2l"), ignore=shutil.ignore_patterns("__pycache__"))
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
        options = ["--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(wheel.parent)]
        environment = {**os.environ, **SAME_TIMES}
        made = subprocess.run([*pip, *options, folder], env=environment, capture_output=True, text=True)
    if made.returncode:
        raise BookError(f"The helper's wheel could not be made: {made.stdout}{made.stderr}".rstrip())
    keep("wheel", made_from)
    return wheel
