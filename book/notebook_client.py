"""Notebooks run in kernels, for the build and for the tests: one environment, the same limits, the same outputs."""

import asyncio
import atexit
import contextlib
import os
import queue
import signal
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.client import KernelClient
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from nbclient import NotebookClient
from nbformat import NotebookNode, ValidationError
from traitlets.config import Config

from .files import ROOT

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
TIMED_OUT = "CellTimeoutError"
# Kernels start one after the other, since jupyter_client looks for free ports without a lock of its own.
STARTING = threading.Lock()


class Client(NotebookClient):
    """Runs a notebook's cells of code in a kernel of their own, and puts their outputs into the notebook.

    Args:
        folder: Where the kernel starts.
        limit: Seconds that a cell may take. It is then interrupted, and fails with `TIMED_OUT` as its error's name.
        on_progress: Called with the progress line that a cell shows, each time that it moves.
        options: Those of nbclient, such as what is called when a cell has been executed.
    """

    def __init__(
        self,
        notebook: NotebookNode,
        folder: Path,
        limit: int | None = None,
        on_progress: Callable[[str], object] = lambda line: None,
        **options: Any,
    ):
        super().__init__(
            notebook,
            timeout=limit,
            interrupt_on_timeout=True,
            error_on_timeout={"ename": TIMED_OUT, "evalue": f"the cell took more than {limit} s", "traceback": []},
            startup_timeout=PATIENCE,
            iopub_timeout=PATIENCE,
            # Without it ipykernel warns that other users of the machine could listen.
            config=Config({"KernelManager": {"transport_encryption": "auto"}}),
            resources={"metadata": {"path": str(folder)}},
            record_timing=False,
            **options,
        )
        self._on_progress = on_progress
        self._killed = False

    def run(self, profile: str) -> None:
        """Start the kernel, run all cells in their order, and end it, in a thread of its own, see `run_clients`.

        Args:
            profile: The value of ``D2L_PROFILE`` to run under.

        Raises:
            CellExecutionError: A cell failed, unless the option ``allow_errors`` is set; the next ones are not run.
            RuntimeError: The kernel died, or does not start.
        """

        def ended(number: int, error: BaseException | None) -> None:
            if error:
                raise error

        run_clients([self], profile, ended)

    def run_in_this_thread(self, profile: str) -> None:
        """What `run` does, which in the main thread would leave it to nbclient to answer signals."""
        try:
            # Windows' own loop watches no sockets, through which kernels are spoken to.
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(self.async_execute(env=kernel_environment(profile)))
        finally:
            atexit.unregister(self._cleanup_kernel)  # which nbclient leaves there if the kernel does not start

    async def async_start_new_kernel(self, **kwargs: Any) -> None:
        with STARTING:
            if self._killed:
                raise RuntimeError("it was not started")
            await super().async_start_new_kernel(**kwargs)

    def kill(self) -> None:
        """Kill the kernel, or have it not start: `run_in_this_thread` ends then, in its thread."""
        with STARTING:
            self._killed = True
            provisioner = self.km.provisioner if self.km else None
            if isinstance(provisioner, LocalProvisioner) and provisioner.process:
                with contextlib.suppress(ProcessLookupError):
                    if provisioner.pgid:
                        os.killpg(provisioner.pgid, signal.SIGKILL)
                    else:  # Windows has no process groups
                        provisioner.process.kill()

    async def async_start_new_kernel_client(self) -> KernelClient:
        client = await super().async_start_new_kernel_client()
        client.shell_channel.get_msg = _asked_again(client.shell_channel.get_msg)
        return client

    def process_message(self, msg: dict, cell: NotebookNode, cell_index: int) -> NotebookNode | None:
        text = msg["content"].get("data", {}).get("text/plain", "")
        if msg["msg_type"].endswith("display_data") and isinstance(text, str) and " left" in text:
            self._on_progress(text.splitlines()[-1])
        try:
            return super().process_message(msg, cell, cell_index)
        except ValidationError as error:  # one odd output does not cost the section
            note = f"This output is not shown: no notebook can hold it, since {error.message}.\n"
            cell.outputs.append(nbformat.v4.new_output("stream", name="stderr", text=note))
            return None


def run_clients(
    clients: Sequence[Client],
    profile: str,
    ended: Callable[[int, BaseException | None], object],
    at_a_time: int = 1,
) -> None:
    """Run notebooks in threads, some at a time.

    Who calls it only waits, and is interrupted as by any other wait: where nbclient runs in the main thread, it answers
    signals by ending the kernel and going on.

    Args:
        profile: The value of ``D2L_PROFILE`` to run under.
        ended: Called with the number of each notebook as it ends, and with what `Client.run` would raise.

    Raises:
        BaseException: What comes while it waits, such as KeyboardInterrupt, or from ``ended``; no kernel runs on.
    """
    with ThreadPoolExecutor(at_a_time) as threads:
        try:
            runs = {threads.submit(client.run_in_this_thread, profile): n for n, client in enumerate(clients)}
            running = {*runs}
            while running:  # on Windows, Ctrl-C comes between two waits
                done, running = wait(running, timeout=1, return_when=FIRST_COMPLETED)
                for run in done:
                    ended(runs[run], run.exception())
        except BaseException:
            for client in clients:
                client.kill()
            raise


def _asked_again(get_msg: Callable[..., Awaitable[dict]]) -> Callable[..., Awaitable[dict]]:
    """What waits for a kernel's reply, and looks for it every second.

    jupyter_client sends requests past asyncio, which may take the news of a reply with it: a reply that has come would
    be waited for until the limit, or without end.
    """

    async def get(timeout: float | None = None) -> dict:
        seconds = 0
        while timeout is None or seconds < timeout:
            with contextlib.suppress(queue.Empty):
                return await get_msg(timeout=1)
            seconds += 1
        raise queue.Empty

    return get


def own_environment() -> dict[str, str]:
    """The environment without what users set for other programs: it would change figures, warnings and colours, and
    which repository git works in. Sets of texts have the same order in every run.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS_OF_OTHERS)}
    return own | {"MATPLOTLIBRC": os.devnull, "PYTHONHASHSEED": "0"}


def kernel_environment(profile: str) -> dict[str, str]:
    """The environment of a kernel that runs a notebook: `own_environment`, the profile, and where the images are."""
    data = Path(os.environ.get("D2L_DATA") or ROOT / "data").resolve()
    return own_environment() | {"D2L_DATA": str(data), "D2L_PROFILE": profile}
