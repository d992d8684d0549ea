"""Opening HDF5 files: at the last commit of their writer, with errors of one line that name the cause."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py

from latticear.checksums import DamagedError
from latticear.data.damage import check_index, damaged_rows, death_of
from latticear.data.journal import JournaledFile, journal_path

__all__ = ["datasets_of", "opened", "what_stands"]

FILTERS = {
    32000: "lzf",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32017: "sz",
    32026: "blosc2",
}
"""Names of registered compression filters that HDF5 itself does not contain; the package hdf5plugin has them."""


_survived: set[tuple[int, ...]] = set()
"""States of files that were opened in a fork of this process, and did not crash it."""


@contextmanager
def opened(path: Path, content: bytes | None = None) -> Iterator[h5py.File]:
    """Open an HDF5 file at the last commit of its writer, even if that was killed; errors of HDF5 become one line.

    What is damaged is said, with the rows that stand. A file that crashes the HDF5 library does so in a fork.

    Args:
        path: the file.
        content: the bytes of the HDF5 file, if they are not simply those on disk.
    """
    with open(path, "rb"):
        pass  # for a missing file or a directory this raises the error of the operating system
    state = () if content is not None or journal_path(path).exists() else _state(path)
    if state not in _survived:
        if death := death_of(lambda: _look(path, content)):
            raise DamagedError(f"{path} is damaged: {death}")
        _survived.update({state} - {()})
    missing = standing = ""
    try:
        with _file(path, content) as h5:
            missing = _missing_filter(h5)
            if not missing:
                check_index(h5)
            try:
                yield h5
            except (OSError, RuntimeError):
                standing = what_stands(h5)
                raise
    except BlockingIOError as error:
        message = f"{path} is being written; read it when its writer has closed it"
        raise BlockingIOError(error.errno, message) from error
    except (OSError, RuntimeError, KeyError) as error:
        if missing:
            raise ValueError(f"{path} is intact, but {missing}") from error
        kind = "is damaged" if content is not None or h5py.is_hdf5(path) else "is neither HDF5 nor .npy"
        raise DamagedError(f"{path} {kind}: {standing or ' '.join(str(error).split())}") from error


def _state(path: Path) -> tuple[int, ...]:
    """What changes when a file is written."""
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _look(path: Path, content: bytes | None) -> None:
    with _file(path, content) as h5:
        check_index(h5)


def what_stands(h5: h5py.File) -> str:
    """Which rows of a file fail their checksums, and which stand; empty if all can be read."""
    damaged = damaged_rows(h5)
    if not damaged:
        return ""
    parts = ", ".join(map(str, damaged[:4])) + (f" and {len(damaged) - 4} other places" if len(damaged) > 4 else "")
    names = {rows.name for rows in damaged}
    good = min(rows.start for rows in damaged)
    whole = sorted(name for name in datasets_of(h5)[0] if name not in names)
    return (
        f"{parts} cannot be read (checksums differ); rows before {good} stand in all datasets"
        + (f", and {', '.join(f'/{name}' for name in whole)} stand{'s' if len(whole) == 1 else ''}" if whole else "")
        + "; restore the file, or draw again into another: the same seed gives the same configurations"
    )


@contextmanager
def _file(path: Path, content: bytes | None) -> Iterator[h5py.File]:
    journal = journal_path(path)
    if content is not None:
        with h5py.File(io.BytesIO(content), "r") as h5:
            yield h5
    elif journal.exists() and journal.stat().st_size:
        with _closing(JournaledFile(path, writable=False)) as file, h5py.File(file, "r") as h5:
            yield h5
    else:
        with h5py.File(path, "r") as h5:
            yield h5


@contextmanager
def _closing(file: JournaledFile) -> Iterator[JournaledFile]:
    try:
        yield file
    finally:
        file.close()


def datasets_of(h5: h5py.File) -> tuple[dict[str, h5py.Dataset], list[str]]:
    """All datasets of a file by their paths, such as `run1/spins`, and the paths of its groups."""
    datasets: dict[str, h5py.Dataset] = {}
    groups: list[str] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            datasets[name] = item
        elif isinstance(item, h5py.Group):
            groups.append(name)

    h5.visititems(visit)
    return datasets, groups


def _missing_filter(h5: h5py.File) -> str:
    """Says which dataset needs a compression filter that is not installed; empty if there is none."""
    for name, dataset in datasets_of(h5)[0].items():
        properties = dataset.id.get_create_plist()
        for k in range(properties.get_nfilters()):
            code, _, _, label = properties.get_filter(k)
            if not h5py.h5z.filter_avail(code):
                with suppress(ImportError):
                    import_module("hdf5plugin")  # registers its filters
            if not h5py.h5z.filter_avail(code):
                what = FILTERS.get(code) or label.decode(errors="replace") or "unknown"
                return (
                    f"/{name} is compressed by the filter {what} (number {code}), which is not installed: pip install "
                    f"hdf5plugin, or rewrite the file by h5repack -f GZIP=1 where the filter is"
                )
    return ""
