"""Files that are there whole or not at all: written beside, waited for, renamed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["beside", "write_atomically", "write_durably"]


def beside(path: Path) -> Path:
    """Where a file or a folder is made that is to be at a path."""
    return path.with_name(f".{path.name}.new")


def write_durably(path: Path, content: bytes) -> None:
    """Write and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_atomically(path: Path, content: bytes) -> None:
    """Write a small file beside and rename it: it is never there half, and what was there stays until then.

    Raises:
        OSError: as the disk gives it; nothing is left beside.
    """
    half = beside(path)
    try:
        write_durably(half, content)
        half.replace(path)
    except OSError:
        with suppress(OSError):
            half.unlink()
        raise
