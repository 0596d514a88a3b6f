"""Run compiled notebooks, and keep their outputs as long as the code that made them is the same."""

import asyncio
import atexit
import contextlib
import copy
import functools
import hashlib
import os
import queue
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.asynchronous import AsyncKernelClient
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode, ValidationError
from tqdm import tqdm
from traitlets.config import Config

from .source import BUILD, FRAMEWORKS, NOTEBOOKS, ROOT, BookError, Section, read_kept, write_notebook
from .stale import bare, bare_file, contents_hash, shows_code

CACHE = BUILD / "cache"
SETTINGS_OF_OTHERS = (
    "MPLBACKEND",
    "PYTHONWARNINGS",
    "PYTHONDEVMODE",
    "PYTEST_ADDOPTS",
    "PY_COLORS",
    "FORCE_COLOR",
    "CLICOLOR_FORCE",
    "GIT_",
)
# In seconds, for a kernel to start, and for a cell's outputs after its reply: a machine may be busy with other work.
PATIENCE = 600


class _Client(NotebookClient):
    """Runs a notebook while a bar shows the cell, and the progress line that the cell itself shows."""

    def __init__(self, notebook: NotebookNode, bar: tqdm, **kwargs: object):
        super().__init__(notebook, **kwargs)
        self._bar = bar
        self._handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        self._came: Callable[[], Any] = lambda: None

    async def async_start_new_kernel(self, **kwargs: object) -> None:
        # nbclient answers these by ending the kernel and going on; here they end the build as well.
        for number, handler in self._handlers.items():
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, self._after_the_kernel(handler) if callable(handler) else handler)
        await super().async_start_new_kernel(**kwargs)

    def _after_the_kernel(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """A signal's handler that first kills the kernel: ended in another way, it prints a traceback of its own.

        So does nbclient if it cleans up when Python exits, with its tasks broken off. Here all is done by then: the
        kernel is seen to end, with a limit, since without one a second signal would wait for the first one's wait.
        """

        def handle(*signal_and_frame: Any) -> None:
            if self.km is not None and self.km.has_kernel:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.km.provisioner.pgid, signal.SIGKILL)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.km.provisioner.process.wait(timeout=10)
                self.km.cleanup_connection_file()
                atexit.unregister(self._cleanup_kernel)
            self._came = functools.partial(handler, *signal_and_frame)
            self._came()

        return handle

    def answer_signal(self) -> None:
        """Do what a signal asks for that has come: while an object is deleted, Python drops what a handler raises."""
        self._came()

    def take_no_more_signals(self) -> None:
        """Leave signals to those who had them before the notebook was run."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    async def async_start_new_kernel_client(self) -> AsyncKernelClient:
        client = await super().async_start_new_kernel_client()
        client.shell_channel.get_msg = _asked_again(client.shell_channel.get_msg)
        return client

    def process_message(self, msg: dict, cell: NotebookNode, cell_index: int) -> NotebookNode | None:
        text = msg["content"].get("data", {}).get("text/plain", "")
        if msg["msg_type"].endswith("display_data") and isinstance(text, str) and " left" in text:
            self._bar.set_postfix_str(text.splitlines()[-1])
        try:
            return super().process_message(msg, cell, cell_index)
        except ValidationError as error:  # one odd output does not cost the section
            note = f"This output is not shown: no notebook can hold it, since {error.message}.\n"
            cell.outputs.append(nbformat.v4.new_output("stream", name="stderr", text=note))
            return None


def _asked_again(get_msg: Callable[..., Awaitable[dict]]) -> Callable[..., Awaitable[dict]]:
    """What waits for a kernel's reply; where that is without limit, it looks for it every second.

    jupyter_client sends requests past asyncio, which may take the news of a reply with it: a reply that has come would
    be waited for without end.
    """

    async def wait(timeout: float | None = None) -> dict:
        if timeout is not None:
            return await get_msg(timeout=timeout)
        while True:
            with contextlib.suppress(queue.Empty):
                return await get_msg(timeout=1)

    return wait


def own_environment() -> dict[str, str]:
    """The environment without what users set for other programs: it would change figures, warnings and colours, and
    which repository git works in. Sets of texts have the same order in every run.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS_OF_OTHERS)}
    return own | {"MATPLOTLIBRC": os.devnull, "PYTHONHASHSEED": "0"}


def run(section: Section, profile: str) -> NotebookNode:
    """Execute a section in a fresh kernel.

    Args:
        profile: The value of ``D2L_PROFILE`` to run under.

    Returns:
        A copy of the section's notebook with outputs.

    Raises:
        BookError: A cell failed or the kernel died; names section, tab and cell, and has the traceback.
    """
    notebook = copy.deepcopy(section.notebook)
    data = Path(os.environ.get("D2L_DATA") or ROOT / "data").resolve()
    folder = (NOTEBOOKS / section.tab / section.name).parent
    folder.mkdir(parents=True, exist_ok=True)
    env = own_environment() | {"D2L_DATA": str(data), "D2L_PROFILE": profile}
    with tqdm(total=len(section.code_cells), unit="cell", desc=str(section), bar_format=_BAR) as bar:
        client = _Client(
            notebook,
            bar,
            timeout=None,
            startup_timeout=PATIENCE,
            iopub_timeout=PATIENCE,
            # Without it ipykernel warns that other users of the machine could listen.
            config=Config({"KernelManager": {"transport_encryption": "auto"}}),
            resources={"metadata": {"path": str(folder)}},
            record_timing=False,
            on_cell_executed=lambda **_: bar.update(),
        )
        try:
            client.execute(env=env)
        except CellExecutionError as error:
            raise BookError(f"{section}: cell {bar.n} of {bar.total} failed\n{error}") from None
        except RuntimeError as error:
            client.answer_signal()
            raise BookError(f"{section}: the kernel died in cell {bar.n + 1} of {bar.total}: {error}") from None
        finally:
            client.take_no_more_signals()
        bar.set_postfix_str("")
    return notebook


def run_cached(section: Section) -> NotebookNode:
    """The section's outputs of a smoke run, from the cache if its code and the helper's have not changed.

    Raises:
        BookError: See `run`.
    """
    if not section.code_cells:
        return section.notebook
    path = CACHE / section.tab / f"{section.name.replace('/', '-')}-{run_code(section)[:16]}.ipynb"
    if read_kept(path):
        return with_outputs(section, nbformat.read(path, as_version=4))
    notebook = run(section, "smoke")
    write_notebook(notebook, path)
    return notebook


def with_outputs(section: Section, executed: NotebookNode) -> NotebookNode:
    """The section's notebook with the outputs of an execution of the same code cells."""
    notebook = copy.deepcopy(section.notebook)
    done = (cell for cell in executed.cells if cell.cell_type == "code")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            source = next(done)
            cell.outputs, cell.execution_count = source.outputs, source.execution_count
    return notebook


def cell_code(notebook: NotebookNode) -> str:
    """Hash of a notebook's code: comments, docstrings and layout do not count where no cell may show them."""
    sources = _sources(notebook)
    return _hash(sources if shows_code(sources) else map(bare, sources))


def _sources(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def helper_code(tab: str, content_of: Callable[[Path], bytes] = bare_file) -> str:
    """Hash of the helper that a tab runs, with its folders and data. Comments, docstrings and layout do not count.

    Args:
        content_of: Gives what counts of a file, where this is another thing.
    """
    folder = ROOT / "d2l"
    others = {folder / f"{module}.py" for name, module in FRAMEWORKS.items() if name != tab}
    return contents_hash(ROOT, (path for path in folder.rglob("*") if path not in others), content_of=content_of)


def run_code(section: Section) -> str:
    """Hash of all that a smoke run of the section depends on: its cells, the helper with its images, the versions."""
    versions = bare_file(ROOT / "constraints.txt").decode()
    whole = (Path.read_bytes,) if shows_code(_sources(section.notebook)) else ()
    return _hash([cell_code(section.notebook), helper_code(section.tab, *whole), versions])


def _hash(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()


_BAR = "{desc}: {n_fmt}/{total_fmt} cells [{elapsed}{postfix}]"
