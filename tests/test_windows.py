"""What this repository would miss on Windows is missing in `windows`, and nothing here needs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# What looks at the system, as far as `make quick` has it; D2L_TEST_SYSTEM=windows before that command runs all of it.
TESTS = ("tests/book", "tests/qa", "tests/test_repository.py", "tests/d2l/test_data.py", "tests/d2l/test_caches.py")
IMPORTS = """
import importlib, importlib.util, pkgutil, sys
sys.path.insert(0, "tests")
import windows
from book.frameworks import FRAMEWORKS, is_installed

lacking = {framework.module for tab, framework in FRAMEWORKS.items() if tab != "pytorch" or not is_installed(tab)}
lacking |= {"triton"} if importlib.util.find_spec("triton") is None else set()
for room in ("book", "d2l", "theme", "qa"):
    for module in pkgutil.walk_packages([room], f"{room}."):
        of_others = module.name.endswith("__main__") or lacking & {*module.name.split(".")}
        if not of_others and not ("triton" in lacking and module.name.endswith("torch.kernels")):
            importlib.import_module(module.name)
            print(module.name)
"""
LACKS = """
import sys, windows
code = '''
import os, os.path, pathlib, signal, sys
try:
    import fcntl
except ModuleNotFoundError as error:
    print(error)
try:
    from signal import SIGKILL
except ImportError:
    print("no SIGKILL")
print(os.name, sys.platform, hasattr(os, "fork"), hasattr(signal, "SIGTERM"), os.path.sep)
for read in (lambda: open(file).read(), lambda: pathlib.Path(file).read_text(), lambda: open(file, "rb").read()):
    print(ascii(read()))
print(ascii(pathlib.Path(file).read_text("utf-8")))
'''
file = sys.argv[1]
names = lambda place: {"__file__": str(place), "__name__": "tried", "file": file}
exec(compile(code, "ours", "exec"), names(windows.ROOT / "d2l" / "tried.py"))
others = "import os, fcntl; print(os.name, ascii(open(file).read()))"
exec(others, names("/elsewhere.py"))
"""


def on_windows(*command: str) -> str:
    """What a program prints in this emulation."""
    environment = os.environ | {
        "D2L_TEST_SYSTEM": "windows",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
    }
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", timeout=1800
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.quick
@pytest.mark.skipif(sys.platform == "win32", reason="this is Windows")
def test_modules_of_this_repository_find_themselves_on_windows_and_others_do_not(tmp_path):
    file = tmp_path / "file"
    file.write_text("é", "utf-8")
    assert on_windows("-c", LACKS, str(file)).splitlines() == [
        "No module named 'fcntl' on Windows",
        "no SIGKILL",
        "nt win32 False True /",
        *[r"'\xc3\xa9'"] * 2,  # é in UTF-8, read as if it were Windows' own encoding
        r"b'\xc3\xa9'",
        r"'\xe9'",
        r"posix '\xe9'",
    ]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="this is Windows")
def test_every_module_is_imported_on_windows():
    pytest.importorskip("torch")
    imported = on_windows("-c", IMPORTS).split()
    assert {"book.verbs", "d2l.torch", "d2l.train", "d2l.folder_lock", "theme.search"} <= {*imported}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="this is Windows")
def test_unit_tests_pass_on_windows():
    said = on_windows("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "quick and not slow", *TESTS)
    assert " passed" in said.splitlines()[-1]
