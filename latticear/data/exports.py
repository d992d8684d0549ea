"""Configurations in files of the kind that the ending of a name asks for: HDF5, `.npy`, `.npz` or `.csv`.

    .h5 .hdf5  everything that is known of the configurations (`latticear.data.writing`); grows, and can be continued
    .npy       an array of the values of the sites, (n, H, W) or (n, C, H, W)
    .npz       the same as `spins`, with `log_q`, `energy` and whatever else there is, each an array
    .csv       one configuration a row: the values of the sites in raster order, separated by commas

Files other than HDF5 are written under a temporary name and renamed when they are complete. Beside those without a
checksum of their own, `.npy` and `.csv`, the file NAME.sha256 has their digest. If the writing is
interrupted, the configurations written so far are kept in a file of another name, NAME.partial.npy for NAME.npy.
"""

from __future__ import annotations

import io
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from torch import Tensor

from latticear.checksums import sums_beside, sums_of
from latticear.data.format import spin_table
from latticear.data.writing import SampleWriter, rows_of
from latticear.files import beside, synchronise, write_atomically
from latticear.samples import Samples
from latticear.spaces import ConfigurationSpace

__all__ = ["ENDINGS", "HDF5", "Writer", "check_ending", "writer_for"]

HDF5 = (".h5", ".hdf5")
ENDINGS = (*HDF5, ".npy", ".npz", ".csv")


class Writer(Protocol):
    """A file that configurations are written to, batch by batch; leaving its context completes the file."""

    @property
    def n_written(self) -> int:
        """Number of configurations in the file."""

    @property
    def left_out(self) -> str:
        """What has no place in the file, for example "log_q and energy"; empty if nothing was left out."""

    def __enter__(self) -> Writer: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, samples: Samples, energy: Tensor | None = None) -> None:
        """Append configurations, with their energies if they have any."""


def check_ending(path: Path, *, append: bool = False, has_given: bool = False) -> None:
    """Check the name of a file of configurations before any work is done.

    Args:
        path: the file.
        append: whether an existing file is to be continued.
        has_given: whether the configurations have sites held fixed, and a mask of these sites.

    Raises:
        ValueError: for an ending that is none of `ENDINGS`, or one whose files cannot hold what is asked for.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(f"the ending of {path} must say what to write, one of {', '.join(ENDINGS)}; got {ending!r}")
    if append and ending not in HDF5:
        raise ValueError(f"--append continues an HDF5 file, got {path}: write .h5, or leave --append out")
    if has_given and ending in (".npy", ".csv"):
        raise ValueError(f"{path} cannot hold which sites were held fixed (/where): write .h5 or .npz")


def writer_for(
    path: Path, space: ConfigurationSpace, hdf5: type[SampleWriter] = SampleWriter, **options: Any
) -> Writer:
    """A writer of the kind that the ending of the path asks for, after `check_ending`.

    Args:
        path: the file.
        space: the Hamiltonian, or the grid, of the configurations.
        hdf5: what writes HDF5.
        options: its further arguments.

    Raises:
        FileExistsError: if the file exists and is not to be continued.
        OSError: if the file cannot be made.
    """
    ending = path.suffix.lower()
    if ending in HDF5:
        return hdf5(path, space, **options)
    if path.exists():
        raise FileExistsError(f"{path} already exists; name another file")
    kinds: dict[str, Callable[[Path, ConfigurationSpace], Writer]]
    kinds = {".npy": ArrayWriter, ".npz": ArchiveWriter, ".csv": TextWriter}
    return kinds[ending](path, space)


class AbstractExport(ABC):
    """A file that has its name only when it is complete, and another name if its writing is interrupted.

    Args:
        path: the file; it must not exist.
        space: the Hamiltonian, or the grid, of the configurations.

    Attributes:
        n_written: number of configurations written.
    """

    def __init__(self, path: Path, space: ConfigurationSpace) -> None:
        self.path, self.n_written = path, 0
        table = spin_table(space)
        self._values = space.states.double().cpu().numpy() if table is None else table
        self._left_out: list[str] = []
        self._temporary = beside(path)
        try:
            self._temporary.write_bytes(b"")
        except OSError as error:
            raise type(error)(error.errno, f"{path} cannot be made: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._complete(self.path)
            elif isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt(self._kept()) from error
        finally:
            self._close()
            for file in self._files():
                file.unlink(missing_ok=True)

    @property
    def left_out(self) -> str:
        return " and ".join(self._left_out)

    def write(self, samples: Samples, energy: Tensor | None = None) -> None:
        """Append configurations, with their energies if they have any.

        Raises:
            OSError: if the disk is full or fails.
        """
        rows = rows_of(samples, energy)
        spins = self._values[samples.tokens.cpu().numpy()]
        self._left_out = [] if self._takes_everything else list(rows)
        with self._named_errors():
            self._write({"spins": spins, **rows})
        self.n_written += len(samples)

    def _kept(self) -> str:
        """Keep the configurations written so far in a file of another name; what to tell the user."""
        if not self.n_written:
            return f"nothing was written to {self.path}"
        partial = self.path.with_suffix(f".partial{self.path.suffix}")
        self._complete(partial)
        return f"{partial} holds the {self.n_written} configurations drawn so far"

    def _complete(self, path: Path) -> None:
        with self._named_errors():
            self._finish()
            if not self._has_checksum:
                write_atomically(sums_beside(path), sums_of({path.name: self._temporary}))
            self._temporary.replace(path)

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            message = (
                f"writing {self.path} failed ({error.strerror or error}); nothing is kept: free space, or write .h5"
            )
            raise OSError(*((error.errno,) if error.errno else ()), message) from error

    _takes_everything: ClassVar[bool] = False
    """Whether the file has a place for everything that is known of the configurations."""

    _has_checksum: ClassVar[bool] = False
    """Whether the format of the file has a checksum of its own."""

    @abstractmethod
    def _write(self, rows: dict[str, np.ndarray]) -> None:
        """Append rows: `spins` and, by name, whatever else is known of the configurations."""

    @abstractmethod
    def _finish(self) -> None:
        """Complete the temporary file, and wait until it is stored on the disk."""

    @abstractmethod
    def _close(self) -> None:
        """Close all files."""

    def _files(self) -> list[Path]:
        """The temporary files."""
        return [self._temporary]


class ArrayWriter(AbstractExport):
    """Writes the values of the sites to a `.npy` file."""

    _column: Column | None = None

    def _write(self, rows: dict[str, np.ndarray]) -> None:
        if self._column is None:
            self._column = Column(self._temporary, rows["spins"])
        self._column.write(rows["spins"])

    def _finish(self) -> None:
        if self._column is not None:
            self._column.finish()

    def _close(self) -> None:
        if self._column is not None:
            self._column.close()


class ArchiveWriter(AbstractExport):
    """Writes one array for everything that is known of the configurations to a `.npz` file.

    Each array grows in a file of its own; the archive is made of these files at the end.
    """

    _takes_everything = _has_checksum = True

    def __init__(self, path: Path, space: ConfigurationSpace) -> None:
        super().__init__(path, space)
        self._columns: dict[str, Column] = {}

    def _write(self, rows: dict[str, np.ndarray]) -> None:
        for name, values in rows.items():
            if name not in self._columns:
                self._columns[name] = Column(self._temporary.with_suffix(f".{name}.new"), values)
            self._columns[name].write(values)

    def _finish(self) -> None:
        with zipfile.ZipFile(self._temporary, "w") as archive:
            for name, column in self._columns.items():
                column.finish()
                archive.write(column.path, f"{name}.npy")
        synchronise(self._temporary)

    def _close(self) -> None:
        for column in self._columns.values():
            column.close()

    def _files(self) -> list[Path]:
        return [self._temporary, *(column.path for column in self._columns.values())]


class TextWriter(AbstractExport):
    """Writes one configuration a row to a `.csv` file."""

    def __init__(self, path: Path, space: ConfigurationSpace) -> None:
        super().__init__(path, space)
        self._format = "%d" if self._values.dtype.kind == "i" else "%.17g"
        self._file = self._temporary.open("wb")

    def _write(self, rows: dict[str, np.ndarray]) -> None:
        spins = rows["spins"]
        np.savetxt(self._file, spins.reshape(len(spins), -1), fmt=self._format, delimiter=",")

    def _finish(self) -> None:
        self._file.close()
        synchronise(self._temporary)

    def _close(self) -> None:
        with suppress(OSError):
            self._file.close()


class Column:
    """A `.npy` file that grows by rows. Its header, as long for any number of rows, is written at the end.

    Args:
        path: the file.
        like: an array `(n, ...)` of the type and the shape of the rows.
    """

    def __init__(self, path: Path, like: np.ndarray) -> None:
        self.path, self._dtype, self._shape, self._n = path, like.dtype, like.shape[1:], 0
        self._file = path.open("wb")
        self._file.write(self._header())

    def write(self, values: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(values, dtype=self._dtype).tobytes())
        self._n += len(values)

    def finish(self) -> None:
        """Complete the file, and wait until it is stored on the disk."""
        self._file.seek(0)
        self._file.write(self._header())
        self._file.close()
        synchronise(self.path)

    def close(self) -> None:
        with suppress(OSError):
            self._file.close()

    def _header(self) -> bytes:
        content = io.BytesIO()
        described = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._n, *self._shape)}
        np.lib.format.write_array_header_1_0(content, described)
        return content.getvalue()
