"""The command line in processes that can be killed: one server imports latticear, each verb is a fork of it.

A process of its own takes seconds to import PyTorch; a fork starts at once, so a test can afford twenty kills.
"""

from __future__ import annotations

import json
import math
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, NamedTuple

TIMEOUT = 600
"""Seconds after which a verb is killed: on a busy machine a short one may take minutes."""


class Finished(NamedTuple):
    """How a verb ended.

    Attributes:
        code: exit code; -n if signal n ended it.
        stdout, stderr: what it wrote; to a terminal, if it had one, by `stderr` or by both.
    """

    code: int
    stdout: str
    stderr: str


class Server:
    """Runs verbs in a folder; use it as a context manager."""

    def __enter__(self) -> Server:
        command, tests = [sys.executable, "-m", "support.forks"], Path(__file__).parents[1]
        self._process = subprocess.Popen(command, cwd=tests, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(
        self,
        folder: Path,
        *words: str,
        after: float | None = None,
        once: str | None = None,
        number: int = signal.SIGKILL,
        max_bytes: int | None = None,
        terminal: bool = False,
        piped: bool = False,
    ) -> Finished:
        """Run `latticear *words` in a folder.

        Args:
            folder: working directory.
            words: of the command line.
            after: seconds after which it is sent a signal,
            once: from the appearance of a path on, a glob; with `once` alone, as soon as it appears.
            number: of the signal.
            max_bytes: largest file it may write; a write beyond fails, as on a full disk.
            terminal: give it a terminal,
            piped: but for its standard output.
        """
        request = locals()
        request.pop("self")
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request, default=str) + "\n")
        self._process.stdin.flush()
        return Finished(*json.loads(self._process.stdout.readline()))


def _serve() -> None:
    from latticear.cli import app
    from latticear.workflows import line_a_minute
    from support import tiny

    os.fsync = lambda descriptor: None  # as in conftest.py
    line_a_minute.EVERY = math.inf
    with tempfile.TemporaryDirectory() as folder:
        tiny.train(Path(folder) / "run", "training.steps=1")  # what PyTorch does at its first step, done once
    for line in sys.stdin:
        request = json.loads(line)
        files = [Path(request["folder"]) / f".{name}" for name in ("stdout", "stderr")]
        outputs = files[: request["piped"]] if request["terminal"] else files
        pid, terminal = pty.fork() if request["terminal"] else (os.fork(), None)
        if pid == 0:
            os._exit(_verb(app, request, outputs))
        code, shown = _watch(pid, terminal, request)
        texts = [path.read_text() for path in outputs]
        print(json.dumps([code, *texts, shown, ""][:3]), flush=True)


def _verb(app: Any, request: dict[str, Any], outputs: list[Path]) -> int:
    os.chdir(request["folder"])
    for number, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if request["max_bytes"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["max_bytes"],) * 2)
    sys.argv = ["latticear", *request["words"]]
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    try:
        app(request["words"], prog_name="latticear")
        return 0
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _watch(pid: int, terminal: int | None, request: dict[str, Any]) -> tuple[int, str]:
    t_start, signalled, shown = time.monotonic(), False, b""
    t_from, waits = None if request["once"] else t_start, request["after"] is not None or request["once"] is not None
    if terminal is not None:
        os.set_blocking(terminal, False)
    while True:
        now = time.monotonic()
        if t_from is None and any(Path(request["folder"]).glob(request["once"])):
            t_from = now
        due = waits and t_from is not None and now - t_from >= (request["after"] or 0)
        if (due and not signalled) or now - t_start > TIMEOUT:
            os.kill(pid, request["number"] if due else signal.SIGKILL)
            signalled = True
        ended, status = os.waitpid(pid, os.WNOHANG)
        shown += b"" if terminal is None else _read(terminal)
        if ended:
            return os.waitstatus_to_exitcode(status), re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
        time.sleep(0.001)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 2**16)
    except OSError:  # nothing there, or the other end is closed
        return b""


if __name__ == "__main__":
    _serve()
