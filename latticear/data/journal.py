"""A file that changes by whole transactions, so that an HDF5 file in it survives the death of its process.

HDF5 writes its tables in place, so a process that dies between two writes leaves a file that cannot be opened.
`JournaledFile` writes new data to the end of the file, where nothing refers to them yet, and keeps changes in place
in memory until `commit`, which writes these changes to a journal beside the file, then to the file, and empties the
journal. Whenever the process dies, file and journal together hold the last commit or the one before it. The file
alone holds one of the two as well, except during the milliseconds in which a commit is applied.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

from latticear.locks import lock

__all__ = ["JournaledFile", "journal_path"]

SECTOR = 512
"""Bytes that a disk writes as a whole: each sector is recovered either in its old or in its new state."""

_MAGIC = b"latticear journal 1\n"
_HEADER = struct.Struct("<20sQQI")  # magic, number of sectors, size of the file, checksum of the entries
_ENTRY = struct.Struct("<QI512s")  # number of the sector, checksum of its old content, new content


def journal_path(path: Path) -> Path:
    """The path of the journal of a file: NAME.journal in the same directory."""
    return path.with_name(path.name + ".journal")


class JournaledFile:
    """A file object for h5py whose file on disk changes in `commit` only.

    A write that fails (disk full, for example) raises no exception, since an exception must not pass through the code
    of HDF5: the failure is kept in `error`, later writes go to memory, and the next `commit` raises the failure. The
    file stays at its last commit.

    Args:
        path: an existing file. A commit that is complete in its journal but not in the file is applied to the file, or
            in memory only if the file is opened for reading.
        writable: whether the file is opened for writing too, and locked against all other processes.

        rehearsal: whether all writes go to memory, and none to the file.

    Raises:
        OSError: if the file cannot be opened, or is open elsewhere (BlockingIOError).
    """

    def __init__(self, path: Path, *, writable: bool, rehearsal: bool = False) -> None:
        self.error: BaseException | None = OSError("nothing is written in a rehearsal") if rehearsal else None
        self._position = 0
        self._applying = False
        self._file = open(path, "r+b" if writable else "rb", buffering=0)  # noqa: SIM115
        self._journal: io.FileIO | None = None
        self._journal_path = journal_path(path)
        try:
            lock(self._file, shared=not writable)
            self._size = self._committed = os.fstat(self._file.fileno()).st_size
            self._changed: dict[int, bytearray] = {}
            self._recover()
            if writable:
                self._journal = open(self._journal_path, "wb", buffering=0)  # noqa: SIM115
        except BaseException:
            self._file.close()
            raise

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, n: int) -> bytes:
        content = bytearray(n)
        self.readinto(content)
        return bytes(content)

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Read what the file will hold after the next commit; bytes beyond its end are zero."""
        view = memoryview(buffer).cast("B")
        start, n = self._position, len(view)
        done = _read_at(self._file, start, view)
        view[done:] = bytes(n - done)
        for sector, part, place in _sectors(start, n) if self._changed else ():
            if sector in self._changed:
                view[place] = self._changed[sector][part]
        self._position += n
        return n

    def write(self, data: bytes | bytearray | memoryview) -> int:
        view = memoryview(data).cast("B")
        start, n = self._position, len(view)
        old = min(max(self._end - start, 0), n)
        self._change(start, view[:old])
        if old < n:
            self._append(start + old, view[old:])
        self._position += n
        self._size = max(self._size, self._position)
        return n

    def truncate(self, size: int) -> int:
        """Set the size that the file will have after the next commit."""
        self._size = size
        return size

    def flush(self) -> None:
        """Do nothing: HDF5 flushes far more often than a commit is due."""

    def commit(self) -> None:
        """Apply all writes since the last commit, as one transaction, and wait until they are on disk.

        Raises:
            OSError: if this or an earlier write failed; the file then stays at its last commit.
        """
        if self.error is not None:
            raise self.error
        if not self._changed and self._size == self._committed:
            return
        try:
            self._commit()
        except BaseException as error:
            self.error = error
            raise

    def close(self) -> None:
        """Close the file and discard all writes since the last commit."""
        if self._journal is not None and not self._journal.closed:
            self._journal.close()
            if not self._applying:
                _truncate(self._file, self._committed)
                self._journal_path.unlink(missing_ok=True)
        self._file.close()

    @property
    def _end(self) -> int:
        """The position from which on no sector belongs to the last commit, so that new data may be written at once."""
        return -(-self._committed // SECTOR) * SECTOR

    def _change(self, start: int, view: memoryview) -> None:
        for sector, part, place in _sectors(start, len(view)):
            if sector not in self._changed:
                self._changed[sector] = _sector(self._file, sector)
            self._changed[sector][part] = view[place]

    def _append(self, start: int, view: memoryview) -> None:
        if self.error is None:
            try:
                _write_at(self._file, start, view)
                return
            except BaseException as error:  # an interrupt, too, must not unwind through HDF5
                self.error = error
        self._change(start, view)

    def _commit(self) -> None:
        assert self._journal is not None
        os.fsync(self._file.fileno())
        _write_at(self._journal, 0, self._record())
        os.fsync(self._journal.fileno())
        self._applying = True
        self._apply()
        _truncate(self._journal, 0)
        self._applying = False

    def _record(self) -> bytes:
        entries = b"".join(
            _ENTRY.pack(sector, zlib.crc32(_sector(self._file, sector)), content)
            for sector, content in self._changed.items()
        )
        return _HEADER.pack(_MAGIC, len(self._changed), self._size, zlib.crc32(entries)) + entries

    def _apply(self) -> None:
        for sector, content in _runs(self._changed):
            _write_at(self._file, sector * SECTOR, content)
        _truncate(self._file, self._size)
        os.fsync(self._file.fileno())
        self._changed.clear()
        self._committed = self._size

    def _recover(self) -> None:
        """Apply the commit in the journal, unless the journal is incomplete (then never applied) or of another file."""
        try:
            record = self._journal_path.read_bytes()
        except FileNotFoundError:
            return
        size, entries = _parse(record)
        if all(_belongs(_sector(self._file, sector), old, new) for sector, old, new in entries) and entries:
            self._changed = {sector: bytearray(new) for sector, _, new in entries}
            self._size = size
            if self._file.writable():
                self._apply()


def _parse(record: bytes) -> tuple[int, list[tuple[int, int, bytes]]]:
    if len(record) < _HEADER.size:
        return 0, []
    magic, n_sectors, size, checksum = _HEADER.unpack_from(record)
    body = record[_HEADER.size :]
    if magic != _MAGIC or len(body) < n_sectors * _ENTRY.size:
        return 0, []
    body = body[: n_sectors * _ENTRY.size]
    return size, list(_ENTRY.iter_unpack(body)) if zlib.crc32(body) == checksum else []


def _belongs(content: bytearray, old: int, new: bytes) -> bool:
    return bytes(content) == new or zlib.crc32(content) == old


def _sectors(start: int, n: int) -> list[tuple[int, slice, slice]]:
    """The sectors that n bytes from start overlap: number, overlapping part of the sector, its place in those bytes."""
    overlaps = []
    for sector in range(start // SECTOR, -(-(start + n) // SECTOR)):
        first, last = max(start, sector * SECTOR), min(start + n, (sector + 1) * SECTOR)
        part = slice(first - sector * SECTOR, last - sector * SECTOR)
        overlaps.append((sector, part, slice(first - start, last - start)))
    return overlaps if n else []


def _runs(changed: dict[int, bytearray]) -> list[tuple[int, bytearray]]:
    """Runs of consecutive changed sectors: number of the first sector and content of each run."""
    runs: list[tuple[int, bytearray]] = []
    end = -1
    for sector in sorted(changed):
        if sector != end:
            runs.append((sector, bytearray()))
        runs[-1][1].extend(changed[sector])
        end = sector + 1
    return runs


def _sector(file: io.FileIO, sector: int) -> bytearray:
    """The content of a sector on disk; bytes beyond the end of the file are zero."""
    content = bytearray(SECTOR)
    _read_at(file, sector * SECTOR, memoryview(content))
    return content


def _read_at(file: io.FileIO, start: int, view: memoryview) -> int:
    file.seek(start)
    done = 0
    while done < len(view) and (n := file.readinto(view[done:])):
        done += n
    return done


def _write_at(file: io.FileIO, start: int, data: bytes | bytearray | memoryview) -> None:
    view = memoryview(data)
    file.seek(start)
    while view:
        view = view[file.write(view) :]


def _truncate(file: io.FileIO, size: int) -> None:
    file.truncate(size)
