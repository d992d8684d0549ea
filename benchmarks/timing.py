"""Clocks shared by the benchmarks."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable

import torch

__all__ = ["best_of", "keep_memory", "product_rate", "waited_for"]


def keep_memory() -> None:
    """Keep freed memory in the process, where the C library can: faulting it in anew would slow any pass down."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(-3, 2**30)  # M_MMAP_THRESHOLD
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def best_of(work: Callable[[], object], repeats: int = 5, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of the fastest of some runs, after one to warm up."""
    work()
    times = []
    for _ in range(repeats):
        t_start = clock()
        work()
        times.append(clock() - t_start)
    return min(times)


def waited_for(work: Callable[[], object], device: str) -> Callable[[], None]:
    """The same work, which ends when a device has done it and not when it has been queued."""

    def waited() -> None:
        work()
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()

    return waited


def product_rate(rows: int, channels: int, taps: int, device: str = "cpu") -> float:
    """Multiply-adds a second of a plain product (rows, taps * channels) x (taps * channels, channels)."""
    a, b = torch.randn(rows, taps * channels, device=device), torch.randn(taps * channels, channels, device=device)
    return rows * taps * channels**2 / best_of(waited_for(lambda: a @ b, device), 10)
