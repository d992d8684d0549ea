"""Several processes of one command line, as `torchrun` starts them, which a test can send signals to.

A helper imports latticear once; the processes are forks of it.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["Ranks"]


class Ranks:
    """Runs verbs in several processes at once; use it as a context manager."""

    def __enter__(self) -> Ranks:
        command, tests = [sys.executable, "-m", "support.ranks"], Path(__file__).parents[1]
        self._helper = subprocess.Popen(command, cwd=tests, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._helper.communicate()

    def start(self, k: int, folder: Path, *words: object) -> list[int]:
        """Start `latticear *words` in k processes in a folder; returns the numbers of the processes."""
        return self._ask({"k": k, "folder": str(folder), "words": list(map(str, words))})

    def wait(self) -> list[int]:
        """The exit codes of the processes; -n of one that signal n ended. Their output is in RANK.txt in the folder."""
        return self._ask(None)

    def _ask(self, request: object) -> list[int]:
        assert self._helper.stdin is not None
        assert self._helper.stdout is not None
        self._helper.stdin.write(json.dumps(request) + "\n")
        self._helper.stdin.flush()
        return json.loads(self._helper.stdout.readline())


def _serve() -> None:
    import latticear.workflows  # noqa: F401
    from latticear.cli import app

    os.fsync = lambda descriptor: None  # as in conftest.py
    started: list[int] = []
    for line in sys.stdin:
        request = json.loads(line)
        if request is None:
            answer = [os.waitstatus_to_exitcode(os.waitpid(each, 0)[1]) for each in started]
        else:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            ranks = {"WORLD_SIZE": str(request["k"]), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            answer = started = []
            for rank in range(request["k"]):
                child = os.fork()
                if child == 0:
                    os.environ |= {**ranks, "RANK": str(rank), "LOCAL_RANK": str(rank)}
                    os._exit(_verb(app, request, rank))
                started.append(child)
        print(json.dumps(answer), flush=True)


def _verb(app: Any, request: dict[str, Any], rank: int) -> int:
    os.chdir(request["folder"])
    output = os.open(f"{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(output, number)
    sys.argv = ["latticear", *request["words"]]
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    try:
        app(request["words"], prog_name="latticear")
        return 0
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    _serve()
