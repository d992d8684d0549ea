"""Processes that share one computation: `torchrun` starts them, `torch.distributed` joins them.

Random numbers are functions of the seed and of the number of a configuration, so each process works on configurations
of its own, by index, and results do not depend on how many processes there are: only the order in which numbers are
added does, and with it the rounding.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from hashlib import sha256
from typing import Any, Self, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = [
    "ALONE",
    "Processes",
    "ProcessesError",
    "Share",
    "current",
    "others_interrupted",
    "say_interrupted",
    "speaks_first",
    "together",
]

PATIENCE = "LATTICEAR_PATIENCE"
"""Environment variable: for how many seconds a process waits for the others before it gives up."""

JOINING, WORKING = 300.0, 3600.0
"""Default seconds: until all have come; and later, while one of them may write a file or compute an exact result."""

LEAVING = timedelta(seconds=1)
"""How long the first process waits for the others at the end; those that were killed never come."""

SOON = 0.2
"""Seconds of work after which processes that deal out items give each other what they have made."""

NEEDED = ("RANK", "MASTER_ADDR", "MASTER_PORT")
"""Environment variables that must be set beside WORLD_SIZE."""

INTERRUPTED = "interrupted"
"""What a process that a signal has interrupted says."""

_launched: list[Processes] = []
"""The processes that `together` has tried to join."""
_stores: list[dist.Store] = []
"""The store of the processes that `together` has joined, in which one of them says why the computation ended."""


Item = TypeVar("Item")


class ProcessesError(RuntimeError):
    """The other processes of a computation cannot be reached: one has ended, or never came."""


@dataclass(frozen=True)
class Processes:
    """The processes that share a computation, as one of them sees them.

    All methods but `share` are calls that every process has to make, in the same order; each waits for the others.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.

    Raises:
        ProcessesError: from each method that waits, if another process has ended, or does not come.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    def share(self, n: int) -> Share:
        """The part of n configurations that this process works on."""
        return Share(n, slice(self.rank * n // self.size, (self.rank + 1) * n // self.size), self)

    def deal(self, numbers: range) -> range:
        """Those of some numbers that this process works on, if they are dealt out in turn."""
        return numbers[self.rank :: self.size]

    def in_turn(self, mine: Iterable[Item]) -> Iterator[Item]:
        """The items of all processes in the order in which they were dealt out, in each process.

        Item i of all is the next one of process i modulo `size`. The processes give each other their items about every
        `SOON` seconds, so that in each of them the iterator has to be used up, or left after the same item.

        Args:
            mine: the items of this process, which can be pickled.

        Raises:
            KeyboardInterrupt: in all processes, once it has been raised in one of them while its next item was made;
                the items of all that come before this one have been yielded then.
        """
        if self.size == 1:
            yield from mine
            return
        mine, n = iter(mine), 1
        while True:
            t_start = time.perf_counter()
            made, interrupted = _made(mine, n)
            longer = 2 * n if time.perf_counter() - t_start < SOON / 2 else n
            rounds = self.gather((made, interrupted, longer))
            for items in itertools.zip_longest(*(items for items, _, _ in rounds), fillvalue=_NOTHING):
                yield from itertools.takewhile(lambda item: item is not _NOTHING, items)
                if items[-1] is _NOTHING:
                    break
            if any(interrupted for _, interrupted, _ in rounds):
                raise KeyboardInterrupt
            if len(rounds[-1][0]) < n:
                return
            n = rounds[0][2]

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in the order of their ranks; they can be pickled."""
        values: list[Any] = [value] * self.size
        if self.size > 1:
            with _reaching(self):
                dist.all_gather_object(values, value)
        return values

    def add(self, *tensors: Tensor) -> None:
        """Replace each tensor by its sum over all processes."""
        if self.size == 1:
            return
        there = [tensor if tensor.is_cuda else tensor.to(_device()) for tensor in tensors]
        with _reaching(self):
            for work in [dist.all_reduce(tensor, async_op=True) for tensor in there]:
                work.wait()
        for tensor, total in zip(tensors, there, strict=True):
            if total is not tensor:
                tensor.copy_(total)

    def any(self, here: bool) -> bool:
        """Whether something is so in any process."""
        if self.size == 1:
            return here
        flag = torch.tensor(int(here))
        self.add(flag)
        return bool(flag)

    def of_first(self, value: Any = None) -> Any:
        """The JSON value that the first process gives; those of the others are ignored."""
        if self.size == 1:
            return value
        return json.loads(self.bytes_of_first(json.dumps(value).encode() if self.is_first else b""))

    def bytes_of_first(self, content: bytes = b"") -> bytes:
        """The bytes that the first process gives; those of the others are ignored."""
        if self.size == 1:
            return content
        length = torch.tensor(len(content) if self.is_first else 0)
        self.add(length)
        sent = torch.zeros(int(length), dtype=torch.uint8)
        if self.is_first and content:
            sent.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        self.add(sent)
        return sent.numpy().tobytes()

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.any(False)

    def __str__(self) -> str:
        """Number of processes and machines, such as "4 processes on 2 machines"; a call that all have to make."""
        if self.size == 1:
            return "1 process"
        host = int(sha256(socket.gethostname().encode()).hexdigest()[:15], 16)
        hosts = self.share(self.size).joined(torch.tensor([host], device=_device()))
        n = len(hosts.unique())
        return f"{self.size} processes on {n} machine{'s' if n > 1 else ''}"


ALONE = Processes()
"""A single process."""

_NOTHING = object()
"""Stands for the items that a process has not made."""


def _made(items: Iterator[Item], n: int) -> tuple[list[Item], bool]:
    """The next n items, or those before the end or an interruption; and whether there was one."""
    made: list[Item] = []
    try:
        made.extend(itertools.islice(items, n))
    except KeyboardInterrupt:
        return made, True
    return made, False


@dataclass(frozen=True)
class Share:
    """The part of n configurations, numbered from 0, that one of several processes works on.

    Attributes:
        n: number of configurations of all processes.
        rows: which of them are those of this process; they are consecutive.
        processes: all processes.
    """

    n: int
    rows: slice
    processes: Processes = ALONE

    @classmethod
    def whole(cls, n: int) -> Self:
        """All n configurations, of one process alone."""
        return cls(n, slice(0, n))

    @classmethod
    def given(cls, share: Self | None, n: int) -> Self:
        """A share, or all n configurations where none is given."""
        return cls.whole(n) if share is None else share

    def __len__(self) -> int:
        return self.rows.stop - self.rows.start

    def joined(self, part: Tensor) -> Tensor:
        """The rows of all processes, `(n, ...)`, from those of each, `(len(self), ...)`."""
        if self.processes.size == 1:
            return part
        whole = part.new_zeros(self.n, *part.shape[1:])
        whole[self.rows] = part
        self.processes.add(whole)  # each row is zero in all processes but one
        return whole

    def mean(self, part: Tensor) -> Tensor:
        """The part of this process in the mean over all n rows: the sum over all processes is the mean."""
        return part.sum() / self.n


def current() -> Processes:
    """The processes that `torch.distributed` has joined, if it has; otherwise this one alone."""
    if dist.is_available() and dist.is_initialized():
        return Processes(dist.get_rank(), dist.get_world_size())
    return ALONE


@contextmanager
def together(patience: float | None = None) -> Iterator[Processes]:
    """Join the processes that `torchrun`, or another launcher, has started; one process alone joins nothing.

    A launcher sets the environment variables RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT. On a machine
    with GPUs each process takes the one of its LOCAL_RANK.

    Args:
        patience: how many seconds to wait for others, now and later; None for `LATTICEAR_PATIENCE`, or five minutes
            now and an hour later. That one has ended is seen at once, in most cases.

    Raises:
        ProcessesError: if they do not all come.
        ValueError: if the launcher has set only some of those variables, or for a patience that is not a positive
            number.
    """
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1 or dist.is_initialized():
        yield current()
        return
    if missing := [name for name in NEEDED if name not in os.environ]:
        raise ValueError(f"WORLD_SIZE is {size}, so {', '.join(missing)} must be set too; torchrun sets all of them")
    processes = Processes(int(os.environ["RANK"]), size)
    patience = _patience() if patience is None else patience
    joining, working = (timedelta(seconds=each if patience is None else patience) for each in (JOINING, WORKING))
    has_gpu = torch.cuda.is_available()
    if has_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    _launched.append(processes)
    with _reaching(processes, f"; {PATIENCE} sets for how many seconds to wait"):
        _interruptibly(partial(_join, joining, working, "cpu:gloo,cuda:nccl" if has_gpu else "gloo"))
    try:
        yield processes
        processes.wait()
    finally:
        with suppress(RuntimeError):
            dist.destroy_process_group()
        with suppress(RuntimeError):
            _leave(processes, _stores.pop())


def _join(joining: timedelta, working: timedelta, backend: str) -> None:
    store, rank, size = next(dist.rendezvous("env://", timeout=joining))
    store.set_timeout(joining)
    group = dist.PrefixStore("group", store)
    dist.init_process_group(backend, store=group, rank=rank, world_size=size, timeout=working)
    _stores.append(dist.PrefixStore("latticear", store))


def _interruptibly(work: Callable[[], None]) -> None:
    """Do some work in a thread, because a signal is not heard while PyTorch waits for other processes."""
    failed: list[BaseException] = []

    def attempt() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=attempt, name="latticear-joining", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
    if failed:
        raise failed[0]


def _leave(processes: Processes, store: dist.Store) -> None:
    """Let the first process, which holds the store, leave last: the others may have to ask who says what happened."""
    if processes.is_first:
        store.wait([f"left {rank}" for rank in range(1, processes.size)], LEAVING)
    else:
        store.set(f"left {processes.rank}", "")


def speaks_first(text: str) -> bool:
    """Whether this is the first process with something to say about the end of the computation; the others are silent.

    Args:
        text: what it has to say.
    """
    rank = os.environ.get("RANK", "0")
    if not _stores:
        return rank == "0" or bool(_launched)  # each that has waited in vain says so
    said = f"{rank}: {text}"
    try:
        return _stores[0].compare_set("end", "", said) == said.encode()
    except RuntimeError:
        return True  # the store was in the process that has ended


def say_interrupted() -> None:
    """Tell the other processes that a signal has interrupted this one, so that they do not take it for a failure."""
    if _stores:
        with suppress(RuntimeError):
            _stores[0].compare_set("end", "", INTERRUPTED)


def others_interrupted() -> bool:
    """Whether another process has said so."""
    try:
        return bool(_stores) and _stores[0].check(["end"]) and _stores[0].get("end") == INTERRUPTED.encode()
    except RuntimeError:
        return False


def _device() -> str:
    """Where the tensors lie that `torch.distributed` can add: on the CPU, unless it has joined GPUs alone."""
    return "cuda" if dist.get_backend() == "nccl" else "cpu"


def _patience() -> float | None:
    """The seconds that the user gives; None without."""
    text = os.environ.get(PATIENCE)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e8:
        raise ValueError(f"{PATIENCE} must be a number of seconds, got {text!r}")
    return seconds


@contextmanager
def _reaching(processes: Processes, hint: str = "") -> Iterator[None]:
    """Say that the other processes cannot be reached where `torch.distributed` fails."""
    try:
        yield
    except RuntimeError as error:
        first_line = re.sub(r"^\[\S*\] ", "", str(error).split("\n")[0])  # without the place in the source of PyTorch
        raise ProcessesError(
            f"rank {processes.rank} of {processes.size} processes cannot reach the others: one of them has ended or "
            f"never came ({first_line.split('. ')[0]}){hint}"
        ) from error
