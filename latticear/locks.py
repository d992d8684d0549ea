"""Locks on open files. Processes that ask for one heed them; they end when the file is closed, or its process dies."""

from __future__ import annotations

import errno
import os
import sys
from typing import IO, Any

__all__ = ["lock"]

if sys.platform == "win32":
    import ctypes
    import msvcrt
    from ctypes import wintypes

    _AT_ONCE, _EXCLUSIVE = 1, 2
    _IS_LOCKED = 33
    _kernel = ctypes.WinDLL("kernel32", use_last_error=True)

    class _Place(ctypes.Structure):
        """OVERLAPPED of the Windows API: the byte that is locked, far behind the end of any file.

        A lock of Windows keeps others from reading what it covers, so it covers nothing that is there.
        """

        _fields_ = (
            ("internal", ctypes.c_void_p),
            ("internal_high", ctypes.c_void_p),
            ("offset", wintypes.DWORD),
            ("offset_high", wintypes.DWORD),
            ("event", wintypes.HANDLE),
        )

    def _lock(descriptor: int, shared: bool, wait: bool) -> None:
        handle = wintypes.HANDLE(msvcrt.get_osfhandle(descriptor))
        flags = (0 if shared else _EXCLUSIVE) | (0 if wait else _AT_ONCE)
        place = _Place(offset_high=0x7FFFFFFF)
        if not _kernel.LockFileEx(handle, flags, 0, 1, 0, ctypes.byref(place)):
            error = ctypes.get_last_error()
            if error == _IS_LOCKED:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            raise ctypes.WinError(error)

else:
    import fcntl

    def _lock(descriptor: int, shared: bool, wait: bool) -> None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))


def lock(file: IO[Any], *, shared: bool = False, wait: bool = False) -> None:
    """Lock an open file against other processes, and against this one where it has opened the file twice.

    Where the file system has no locks, nothing happens.

    Args:
        file: the open file.
        shared: whether others may have a shared lock too.
        wait: whether to wait until nobody else has a lock that forbids this one.

    Raises:
        BlockingIOError: if somebody else has such a lock and `wait` is False.
    """
    try:
        _lock(file.fileno(), shared, wait)
    except BlockingIOError:
        raise
    except OSError:
        return
