"""Damage in HDF5 files: what crashes the library, what its index lacks, and which rows fail their checksums.

The datasets that latticear writes have the filter Fletcher32, a checksum of each chunk that HDF5 verifies when it reads
the chunk. Headers and attributes have checksums too. The index, which says where each chunk lies, has none: it is
compared with the chunks that must be there. Some damage crashes the HDF5 library, which would end the process, so a
file is first opened in a fork of the process.
"""

from __future__ import annotations

import faulthandler
import itertools
import math
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import h5py

__all__ = ["DamagedRows", "check_index", "damaged_rows", "death_of", "unchecked"]

PATIENCE = 60
"""Seconds after which a file that is still being opened is taken for damaged."""


class DamagedRows(NamedTuple):
    """Rows of a dataset that cannot be read, all of them in one chunk or in chunks that follow each other.

    Attributes:
        name: name of the dataset.
        start, stop: the first row, and the one after the last.
    """

    name: str
    start: int
    stop: int

    def __str__(self) -> str:
        return f"/{self.name} in rows {self.start} to {self.stop - 1}"


def death_of(action: Callable[[], object]) -> str:
    """How a fork of this process dies when it does something; empty if it survives, whatever is raised in it.

    A fork shares nothing with the process that it may harm, and takes milliseconds. Windows has none.
    """
    return "" if sys.platform == "win32" else _death_of_fork(action)


if sys.platform != "win32":
    import resource

    def _death_of_fork(action: Callable[[], object]) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which the fork does not use
            try:
                child = os.fork()
            except OSError:
                return ""
        if child == 0:
            _try_and_exit(action)
        status = os.waitpid(child, 0)[1]
        if not os.WIFSIGNALED(status):
            return ""
        number = os.WTERMSIG(status)
        if number == signal.SIGALRM:
            return f"the HDF5 library does not end with it in {PATIENCE} s"
        return f"it crashes the HDF5 library ({signal.Signals(number).name})"

    def _try_and_exit(action: Callable[[], object]) -> None:
        try:
            faulthandler.disable()
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(PATIENCE)
            with suppress(BaseException):
                action()
        finally:
            os._exit(0)


def check_index(h5: h5py.File) -> None:
    """Look at all headers and at the place of every chunk.

    Raises:
        RuntimeError: if a dataset of a file that latticear wrote does not have all its chunks, or has others.
    """
    ours = "format_version" in h5.attrs
    for name, dataset in _datasets(h5):
        if dataset.chunks is None or not (ours or dataset.fletcher32):
            continue
        starts = [range(0, extent, chunk) for extent, chunk in zip(dataset.shape, dataset.chunks, strict=True)]
        n = math.prod(map(len, starts))
        found = _chunks(dataset) if dataset.id.get_num_chunks() == n else {}
        if len(found) != n or set(found) != set(itertools.product(*starts)) or any(found.values()):
            raise RuntimeError(f"the index of /{name} does not have the {n} chunks of its data")


def _chunks(dataset: h5py.Dataset) -> dict[tuple[int, ...], int]:
    """For each chunk in the index, by its first element, the filters that it skips."""
    found: dict[tuple[int, ...], int] = {}

    def note(chunk: Any) -> None:
        found[chunk.chunk_offset] = chunk.filter_mask

    dataset.id.chunk_iter(note)
    return found


def damaged_rows(h5: h5py.File) -> list[DamagedRows]:
    """Read everything, and return the rows of all datasets that cannot be read."""
    found: list[DamagedRows] = []
    for name, dataset in _datasets(h5):
        for start, stop in _pieces(dataset):
            try:
                _ = dataset[start:stop] if dataset.shape else dataset[()]
            except (OSError, RuntimeError):
                if found and found[-1].name == name and found[-1].stop == start:
                    found[-1] = found[-1]._replace(stop=stop)
                else:
                    found.append(DamagedRows(name, start, stop))
    return found


def _pieces(dataset: h5py.Dataset) -> Iterator[tuple[int, int]]:
    """The rows of each chunk; all rows of a dataset without chunks."""
    if dataset.shape is None:
        return
    n = dataset.shape[0] if dataset.shape else 1
    step = dataset.chunks[0] if dataset.chunks else max(n, 1)
    for start in range(0, n, step):
        yield start, min(n, start + step)


def unchecked(h5: h5py.File) -> list[str]:
    """Names of the datasets without a checksum."""
    return [name for name, dataset in _datasets(h5) if dataset.shape is not None and not dataset.fletcher32]


def _datasets(h5: h5py.File) -> list[tuple[str, h5py.Dataset]]:
    found: list[tuple[str, h5py.Dataset]] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found.append((name, item))

    h5.visititems(visit)
    return found
