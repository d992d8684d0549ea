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
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from importlib import import_module
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
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # as a launched command sets it before PyTorch is there
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
        return self._answer(request)[0]

    def run_together(
        self,
        folder: Path,
        *words: str,
        size: int,
        after: float | None = None,
        once: str | None = None,
        number: int = signal.SIGKILL,
        victims: Sequence[int] | None = None,
        absent: Sequence[int] = (),
        patience: float = 60.0,
    ) -> list[Finished]:
        """Run `latticear *words` in several processes that share the work, as a launcher that ends none of them does.

        Args:
            folder, words, after, once, number: as for `run`; a single word `module:function` is called instead.
            size: number of processes.
            victims: ranks of the processes that are sent the signal; None for all.
            absent: ranks of processes that never come.
            patience: for how many seconds each waits for the others.

        Returns:
            How each process that came ended.
        """
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        request = locals()
        for name in ("self", "free", "port"):
            request.pop(name)
        shared = {"WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "LATTICEAR_PATIENCE": patience}
        request["ranks"] = [{"RANK": rank, "LOCAL_RANK": rank, **shared} for rank in range(size) if rank not in absent]
        return self._answer(request | dict.fromkeys(("terminal", "piped", "max_bytes")))

    def _answer(self, request: dict[str, Any]) -> list[Finished]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request, default=str) + "\n")
        self._process.stdin.flush()
        return [Finished(*each) for each in json.loads(self._process.stdout.readline())]


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
        children = [_started(app, request, each) for each in request.get("ranks", [{}])]
        print(json.dumps(_watch(children, request)), flush=True)


class _Child(NamedTuple):
    """A verb that runs: its process, its rank, the file descriptor of its terminal, and the files it writes to."""

    pid: int
    rank: int
    terminal: int | None
    outputs: list[Path]


def _started(app: Any, request: dict[str, Any], environment: dict[str, Any]) -> _Child:
    rank = environment.get("RANK", 0)
    files = [Path(request["folder"]) / f".{name}{rank or ''}" for name in ("stdout", "stderr")]
    outputs = files[: request["piped"]] if request["terminal"] else files
    pid, terminal = pty.fork() if request["terminal"] else (os.fork(), None)
    if pid == 0:
        os.environ |= {name: str(value) for name, value in environment.items()}
        os._exit(_verb(app, request, outputs))
    return _Child(pid, rank, terminal, outputs)


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
        module, colon, function = request["words"][0].partition(":")
        if colon:
            getattr(import_module(module), function)()
        else:
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


def _watch(children: list[_Child], request: dict[str, Any]) -> list[list[Any]]:
    t_start, signalled, shown, codes = time.monotonic(), False, b"", dict[int, int]()
    t_from, waits = None if request["once"] else t_start, request["after"] is not None or request["once"] is not None
    victims = request.get("victims")
    terminal = children[0].terminal
    if terminal is not None:
        os.set_blocking(terminal, False)
    while len(codes) < len(children):
        now = time.monotonic()
        if t_from is None and any(Path(request["folder"]).glob(request["once"])):
            t_from = now
        due = waits and t_from is not None and now - t_from >= (request["after"] or 0)
        if (due and not signalled) or now - t_start > TIMEOUT:
            for child in children:
                if child.pid not in codes and (not due or victims is None or child.rank in victims):
                    os.kill(child.pid, request["number"] if due else signal.SIGKILL)
            signalled = True
        for child in children:
            if child.pid not in codes:
                ended, status = os.waitpid(child.pid, os.WNOHANG)
                if ended:
                    codes[child.pid] = os.waitstatus_to_exitcode(status)
        shown += b"" if terminal is None else _read(terminal)
        time.sleep(0.001)
    screen = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    return [[codes[each.pid], *(path.read_text() for path in each.outputs), screen, ""][:3] for each in children]


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 2**16)
    except OSError:  # nothing there, or the other end is closed
        return b""


if __name__ == "__main__":
    _serve()
