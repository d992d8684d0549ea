"""How many threads a piece of work is worth, how threads wait, and independent pieces of work in parallel threads.

Small matrix products do not become faster if PyTorch divides each of them among its threads. It is faster to run whole
pieces of work in parallel Python threads, because PyTorch releases the interpreter lock while it computes.

The OpenMP threads of PyTorch spin while they wait for the next piece of work, unless they are told to sleep. Between
many small pieces they spin most of the time, and beside another busy process they keep the processor from the very
thread that they wait for. `OMP_WAIT_POLICY=PASSIVE` lets them sleep, but is read only when PyTorch is imported;
`wait_passively` does the same at any time.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

import torch

__all__ = ["SMALL_PRODUCT", "ThreadsWarning", "side_by_side", "thread_count", "useful_threads", "wait_passively"]

SHARE = 2**28
"""Multiply-adds of a training step, per pass, that are worth a thread of their own (benchmarks/overhead.py).

Below that a second thread saves little time, or none beside another busy process, and costs up to twice the processor
time.
"""

SMALL_PRODUCT = 2**25
"""Products of fewer multiply-adds are computed by one thread (measured on two cores: half the time at L = 8 to 16)."""

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
"""Environment variables by which a user says how OpenMP threads wait."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class ThreadsWarning(UserWarning):
    """A training is resumed with another number of threads."""


def useful_threads(multiply_adds: float, available: int | None = None) -> int:
    """The number of threads for a training step with so many multiply-adds in a pass.

    Args:
        multiply_adds: number of multiply-adds.
        available: number of threads that may be used; None for that of PyTorch.
    """
    available = torch.get_num_threads() if available is None else available
    return max(1, min(available, int(multiply_adds // SHARE)))


def wait_passively() -> None:
    """Let the OpenMP threads of this process sleep while they wait, unless the user has said how they should wait.

    This is for programs that import PyTorch before latticear, which is then too late to set `OMP_WAIT_POLICY`. GNU's
    OpenMP, which PyTorch uses on Linux, lets threads spin a thousandth as long as soon as there are more of them than
    processors (its manual, under GOMP_SPINCOUNT). So as many threads as there are processors are started once, and put
    to sleep for good. With another OpenMP, or a single thread, nothing happens.
    """
    if torch.get_num_threads() > 1:
        _start_sleepers()


@cache
def _start_sleepers() -> None:
    if any(name in os.environ for name in WAITING):
        return
    for library in map(ctypes.CDLL, _loaded("libgomp")):
        started = threading.Event()
        threading.Thread(target=_sleep, args=(library, started), name="latticear-sleepers", daemon=True).start()
        started.wait()


def _sleep(library: ctypes.CDLL, started: threading.Event) -> None:
    """Start a team of OpenMP threads that does nothing; it lives as long as this thread, which never ends."""
    nothing, n_processors = library.omp_get_thread_num, library.omp_get_num_procs()
    try:
        library.GOMP_parallel(nothing, None, ctypes.c_uint(n_processors), ctypes.c_uint(0))
    finally:
        started.set()  # whatever happens, the caller goes on
    threading.Event().wait()


def _loaded(name: str) -> list[str]:
    """Paths of the shared libraries of this process with `name` in their file names, on Linux."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    paths = {fields[5] for line in lines if len(fields := line.split(maxsplit=5)) == 6}
    return sorted(path for path in paths if name in Path(path).name and Path(path).exists())


def side_by_side(
    work: Callable[[Item], Result], items: Iterable[Item], device: torch.device | None = None
) -> list[Result]:
    """Compute `[work(item) for item in items]` in as many threads as PyTorch may use, one thread for each item.

    The results do not depend on the number of threads. The gradient and inference modes of the calling thread hold in
    all of them. Work on another `device` than the CPU, which only queues it, is given to it by the calling thread.
    """
    items, n_threads = list(items), torch.get_num_threads()
    elsewhere = device is not None and device.type != "cpu"
    if n_threads == 1 or len(items) < 2 or elsewhere:
        return [work(item) for item in items]
    task = partial(_alone, work, torch.is_grad_enabled(), torch.is_inference_mode_enabled())
    with thread_count(1), ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(task, items))


def _alone(work: Callable[[Item], Result], grad: bool, inference: bool, item: Item) -> Result:
    torch.set_num_threads(1)
    with torch.inference_mode(inference), torch.set_grad_enabled(grad):
        return work(item)


@contextmanager
def thread_count(n: int) -> Iterator[None]:
    """PyTorch's number of threads, for a while."""
    before = torch.get_num_threads()
    if n == before:
        yield
        return
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
