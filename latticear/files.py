"""Atomic writing of files: a file is written under a temporary name, synchronised to disk and renamed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["beside", "check_folder", "synchronise", "write_atomically", "write_durably"]

FILES = (".csv", ".h5", ".hdf5", ".json", ".npy", ".npz", ".png", ".pt", ".toml", ".txt")
"""Endings of files, which a new folder may not have."""


def check_folder(path: Path) -> None:
    """Raise ValueError if a folder is to be made whose name looks like that of a file."""
    if path.suffix.lower() in FILES and not path.exists():
        raise ValueError(f"--out names a folder, got {path}: leave out the ending {path.suffix}")


def beside(path: Path) -> Path:
    """Temporary path, in the same folder, at which a file or folder is made before it is renamed to `path`."""
    return path.with_name(f".{path.name}.new")


def synchronise(path: Path) -> None:
    """Wait until a file, or the names in a folder, are stored on the disk; on Windows for files alone."""
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file and wait until its content is stored on the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_atomically(path: Path, content: bytes) -> None:
    """Write a small file under a temporary name and rename it.

    The file at `path` is at any time either the old one or the complete new one.

    Raises:
        OSError: if writing or renaming fails; the temporary file is then removed.
    """
    temporary = beside(path)
    try:
        write_durably(temporary, content)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
