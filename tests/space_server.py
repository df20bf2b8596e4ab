"""The Space, served: `python spaces_demo/app.py` in a process of its own, as a Space on the Hub runs it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

APP = Path(__file__).parents[1] / "spaces_demo" / "app.py"

START_SECONDS = 300
"""Ten on a quiet machine; on one with other work it has taken a hundred."""


@dataclass(frozen=True)
class Server:
    """A running Space."""

    url: str
    pid: int
    folder: Path
    """Everything it writes is in here: uploads and downloads in "uploads", what it says in "server.log"."""

    def log(self) -> str:
        """What it has said so far."""
        return (self.folder / "server.log").read_text(encoding="utf-8", errors="replace")


@contextmanager
def space_server(folder: Path, script: Path = APP, **environment: str) -> Iterator[Server]:
    """Serve the Space on a free port of this machine, offline, and stop it at the end.

    Args:
        folder: what the server may write in.
        script: that serves it, in place of the app itself.
        **environment: further variables of its environment.

    Raises:
        RuntimeError: it ended, or it does not answer in time; with what it said.
    """
    port = _free_port()
    variables = os.environ | {
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder / "uploads"),
        "HF_HOME": str(folder / "hub"),
        "HF_HUB_OFFLINE": "1",
        "NO_PROXY": "127.0.0.1",
    }
    with open(folder / "server.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-u", str(script)], env=variables | environment, stdout=log, stderr=subprocess.STDOUT
        )
    server = Server(f"http://127.0.0.1:{port}", process.pid, folder)
    try:
        _wait_until_it_answers(server, process)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_it_answers(server: Server, process: subprocess.Popen) -> None:
    direct = build_opener(ProxyHandler({}))
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            direct.open(f"{server.url}/config", timeout=30).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the Space does not answer (exit status {process.poll()}):\n{server.log()[-4000:]}")
