"""What cannot end is refused before, or soon after, it is begun: too long, or too large."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from latticear.workflows.line_a_minute import duration

__all__ = ["LONGEST", "Forecast", "check_disk", "check_memory", "check_time", "most_samples"]

LONGEST = 366 * 86400.0
"""The longest time that is begun, in seconds: a year."""

PATIENCE = 10.0
"""Seconds of work from which a forecast is made."""

SAMPLE_BYTES = 40
"""The least memory that estimates take for each configuration: a few numbers of 8 bytes."""


def check_time(seconds: float, what: str, remedy: str) -> None:
    """Refuse what would take longer than a year.

    Raises:
        ValueError: says how long it would take.
    """
    if not seconds <= LONGEST:
        raise ValueError(f"{what} would take about {duration(seconds)}, more than a year: {remedy}")


def check_memory(n: int, what: str, remedy: str, each: int = SAMPLE_BYTES) -> None:
    """Refuse what does not fit into the memory of this machine.

    Args:
        n: number of things.
        what: what they are.
        remedy: what to do.
        each: bytes that each takes at least.

    Raises:
        ValueError: says how much it would take.
    """
    there = _memory()
    if n * each > there:
        raise ValueError(f"{n:g} {what} take at least {_size(n * each)} of memory, there are {_size(there)}: {remedy}")


def most_samples() -> int:
    """The number of samples whose estimates fit into half of the memory of this machine."""
    return _memory() // (2 * SAMPLE_BYTES)


def check_disk(path: Path, n: int, what: str, each: float) -> None:
    """Refuse a file that the disk has no room for.

    Args:
        path: the file.
        n: number of things still to be written to it.
        what: what they are.
        each: bytes that each takes at least.

    Raises:
        ValueError: says how much it would take.
    """
    folder = path.resolve().parent
    if not folder.is_dir():
        return
    free = shutil.disk_usage(folder).free
    if n * each > free:
        raise ValueError(
            f"{n:g} {what} take at least {_size(n * each)}, {folder} has {_size(free)} left: give a smaller -n, or "
            f"another disk"
        )


class Forecast:
    """Foretells from the work done how long all of it takes; call it with the work done and the total work.

    Args:
        unit: what is counted.
        clock: a clock in seconds.

    Example:
        >>> ticks = iter([0, 5, 20])
        >>> forecast = Forecast("samples", clock=lambda: next(ticks))
        >>> forecast(1, 10**9), forecast(2, 10**9)
        (None, None)
        >>> forecast(3, 10**9)
        Traceback (most recent call last):
        ValueError: 1000000000 samples would take about 317 years, more than a year: give a smaller number
    """

    def __init__(self, unit: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._unit, self._clock = unit or "parts", clock
        self._part: tuple[int, int, float] | None = None  # work done, total work and time when this part began
        self._done = 0

    def __call__(self, done: int, total: int) -> None:
        """Note the work done.

        Raises:
            ValueError: if all of it would take longer than a year.
        """
        now = self._clock()
        if self._part is None or total != self._part[1] or done < self._done:
            self._part = done, total, now
        self._done = done
        first, _, t_start = self._part
        if now - t_start > PATIENCE and done > first:
            seconds = (now - t_start) * total / (done - first)
            check_time(seconds, f"{total} {self._unit}", "give a smaller number")


def _memory() -> int:
    """The memory of this machine in bytes."""
    if sys.platform == "win32":
        status = (ctypes.c_uint64 * 8)(64)  # MEMORYSTATUSEX: its size in bytes, the memory, and more
        ctypes.windll.kernel32.GlobalMemoryStatusEx(status)
        return status[1]
    else:  # noqa: RET505
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _size(n: float) -> str:
    """A number of bytes in words.

    Example:
        >>> _size(2e9), _size(4e13)
        ('2 GB', '40 TB')
    """
    for unit in ("bytes", "kB", "MB", "GB", "TB", "PB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} EB"
