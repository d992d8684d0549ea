"""A command in one of several processes that `torchrun`, or another launcher, has started."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TextIO

import typer

__all__ = ["AGAIN", "INTERRUPTED", "Sharing", "launched", "say_why", "status_of_interruption"]

INTERRUPTED = 130
"""Exit status after Ctrl-C."""

AGAIN = 75
"""Exit status after SIGTERM or SIGUSR1, by which a queue ends a job: what was done is saved, run me again.

It is EX_TEMPFAIL of sysexits.h, a failure that goes away if one tries again.
"""

Sharing = Literal["together", "apart", "alone"]
"""What several processes with the same command line do: one computation, parts of it by themselves, or nothing."""

_works_apart: list[bool] = []
"""Whether the commands that are running do parts of a computation by themselves."""
_silenced: list[TextIO] = []
"""The standard error of a process that prints nothing."""


@contextmanager
def launched(verb: str, sharing: Sharing) -> Iterator[None]:
    """Join the processes that a launcher has started; only the first one prints, but for what ended them all.

    A signal that asks this process to end raises KeyboardInterrupt, as Ctrl-C does.

    Args:
        verb: name of the command.
        sharing: what several processes do.

    Raises:
        typer.Exit: for a command that several processes cannot share, or if they do not find each other.
    """
    size = os.environ.get("WORLD_SIZE")
    with _interruptible():
        if size is None or sharing == "apart":
            _note_tasks(sharing)
            _works_apart.append(True)
            try:
                yield
            finally:
                _works_apart.pop()
            return
        from latticear.cli.display import fail, one_line_errors

        if int(size) > 1 and sharing == "alone":
            fail(ValueError(f"{verb} runs in one process, got {size}: start it without a launcher such as torchrun"))
        from latticear.processes import together

        with one_line_errors(), together() as processes:
            line = str(processes)
            if processes.is_first:
                typer.echo(line, err=True)
                yield
            else:
                with _silent():
                    yield


def say_why(line: str) -> None:
    """Print on standard error why a command ends; of several processes that share it, only one says so."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or _works_apart:
        is_first = True
    elif "latticear.processes" not in sys.modules:  # an option that does not exist: the same in all processes
        is_first = int(os.environ.get("RANK", 0)) == 0
    else:
        from latticear.processes import speaks_first

        is_first = speaks_first(line)
    if is_first:
        typer.echo(line, file=_silenced[-1] if _silenced else sys.stderr)


def status_of_interruption() -> int:
    """The exit status of a command that was interrupted, in this process or in another one."""
    from latticear.runs.signals import received

    return INTERRUPTED if received() == signal.SIGINT else AGAIN


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let the signals of a queue interrupt a command wherever it is; `StopSignals` then waits for a better moment."""
    from latticear.runs.signals import NUMBERS, interrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = [number for number in NUMBERS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(status_of_interruption()) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _silent() -> Iterator[None]:
    """Print nothing; `say_why` prints to the standard error of before."""
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w") as nowhere:
        _silenced.append(sys.stderr)
        sys.stdout = sys.stderr = nowhere
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before
            _silenced.pop()


def _note_tasks(sharing: Sharing) -> None:
    """Say that the tasks of srun work alone if nobody has told them of each other."""
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
    if sharing == "together" and tasks != "1":
        typer.echo(
            f"note: srun has started {tasks} tasks, and each works alone: to share the work they need RANK, "
            f"WORLD_SIZE, MASTER_ADDR and MASTER_PORT (docs/many-processes.md)",
            err=True,
        )
