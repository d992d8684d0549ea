"""What the C library does with freed memory."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_memory"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Options of glibc's mallopt."""


def keep_memory() -> None:
    """Keep freed memory in this process instead of handing it back, where the C library can.

    The next tensor of that size then needs no new pages, which take longer than what is computed in them: a training
    step of the multiscale network is four times as fast. It is for a process that does little else; the command line
    calls it.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**30)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
