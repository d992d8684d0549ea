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

__all__ = [
    "AGAIN",
    "INTERRUPTED",
    "Sharing",
    "continued_by",
    "is_first",
    "launched",
    "say_why",
    "status_of_interruption",
    "waits",
]

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
    if sharing == "together":
        _read_slurm()
    size = os.environ.get("WORLD_SIZE")
    with _interruptible():
        if size is None or sharing == "apart":
            _works_apart.append(True)
            try:
                yield
            finally:
                _works_apart.pop()
            return
        from latticear.cli.display import fail, one_line_errors

        if int(size) > 1 and sharing == "alone":
            fail(ValueError(f"{verb} runs in one process, got {size}: start it without a launcher such as torchrun"))
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # else pages of C++ before the one line of an error
        from latticear.processes import together

        with one_line_errors(), together() as processes, one_line_errors():
            line = str(processes)
            if processes.is_first:
                typer.echo(line, err=True)
                yield
            else:
                with _silent():
                    yield
            processes.wait()  # while they can still ask who says why one has ended


def say_why(line: str) -> None:
    """Print on standard error why a command ends; of several processes that share it, only one says so."""
    if _works_apart or _is_first_to_say(line):
        typer.echo(line, file=_silenced[-1] if _silenced else sys.stderr)


@contextmanager
def continued_by(option: str) -> Iterator[None]:
    """If another process of the computation is lost, say that the same command and an option continue."""
    from latticear.processes import ProcessesError

    try:
        yield
    except ProcessesError as error:
        raise ProcessesError(f"{error}; continue with: the same command and {option}") from error


def is_first() -> bool:
    """Whether this is the first of the processes that a launcher has started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def waits(what: str) -> bool:
    """Whether this process only waits while the first one does work that is not divided, and says so.

    Args:
        what: the work.
    """
    from latticear.processes import current

    processes = current()
    if processes.size > 1 and processes.is_first:
        typer.echo(f"note: {what}: not divided, the first of {processes.size} processes does it alone", err=True)
    return not processes.is_first


def _is_first_to_say(line: str) -> bool:
    if "latticear.processes" not in sys.modules:  # an option that does not exist, say: the same in all processes
        return is_first()
    from latticear.processes import speaks_first

    return speaks_first(line)


def status_of_interruption() -> int:
    """The exit status of a command that was interrupted, by a signal to this process or to one that shares its work.

    Processes that share it, and have not stopped together, are told.
    """
    from latticear.runs.signals import OF_QUEUES, received

    if "latticear.processes" in sys.modules:
        from latticear.processes import say_interrupted

        say_interrupted()
    by_another = received() is None and int(os.environ.get("WORLD_SIZE", 1)) > 1
    return AGAIN if by_another or received() in OF_QUEUES else INTERRUPTED


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let the signals of a queue interrupt a command wherever it is; `StopSignals` then waits for a better moment."""
    from latticear.runs.signals import NUMBERS, forget, interrupt

    forget()
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
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        _silenced.append(sys.stderr)
        sys.stdout = sys.stderr = nowhere
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before
            _silenced.pop()


def _read_slurm() -> None:
    """Take the place of this process from srun, unless a launcher has said it.

    The batch script says at which address they meet, MASTER_ADDR and MASTER_PORT; without, each works alone.
    """
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
    if "WORLD_SIZE" in os.environ or tasks == "1":
        return
    if "MASTER_ADDR" not in os.environ:
        typer.echo(
            f"note: srun has started {tasks} tasks, and each works alone: to share the work, set MASTER_ADDR and "
            f"MASTER_PORT in the batch script (docs/many-processes.md)",
            err=True,
        )
        return
    places = {"RANK": "SLURM_PROCID", "LOCAL_RANK": "SLURM_LOCALID", "WORLD_SIZE": "SLURM_STEP_NUM_TASKS"}
    os.environ |= {name: os.environ[given] for name, given in places.items() if given in os.environ}
