"""Writing configurations to an HDF5 file that stays intact however the process ends.

`latticear.data.format` describes the format of the file; `latticear.data.reading` reads it.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import h5py
import numpy as np
from torch import Tensor

from latticear.checksums import DamagedError
from latticear.data.damage import check_index, death_of
from latticear.data.format import (
    HDF5_VERSION,
    Column,
    columns_of,
    complete_attributes,
    decode_attributes,
    empty_file,
    same_value,
    short_repr,
    spin_table,
)
from latticear.data.hdf5 import datasets_of, what_stands
from latticear.data.journal import JournaledFile, journal_path
from latticear.files import write_atomically
from latticear.samples import Samples
from latticear.spaces import ConfigurationSpace

__all__ = ["SampleWriter", "rows_of"]

_NOT_COMPARED = {"provenance", "latticear_version", "conventions", "units", "beta"}


class SampleWriter:
    """Write samples to an HDF5 file block by block, so that the file stays intact however the process ends.

    The file changes by whole transactions (`latticear.data.journal`), at most one every `commit_seconds`: a killed
    process loses the samples that it wrote since the last commit, never the file. If the disk is full, or `write` is
    interrupted, the file returns to its last commit. Use the writer as a context manager: leaving the `with` block
    commits all samples written.

    Args:
        path: path of the file; its directory must exist.
        hamiltonian: Hamiltonian of the samples; or a `Grid`, whose samples have no energy.
        attributes: attributes of the file: `seed` (required), `temperature`, `model`, `provenance` and others; numbers,
            strings, or JSON values. `beta` is computed from `temperature`.
        append: whether an existing file is continued. Its Hamiltonian and attributes must then equal the arguments,
            except for `provenance`, which stays that of the first run.
        has_log_q: whether the samples have `log_q`.
        n_condition: length k of the `condition` of a sample; 0 for samples without a condition.
        n_components: number C of components at a site; 0 for tokens `(n, H, W)` without that axis. The default is that
            of the Hamiltonian.
        has_given: whether the samples have `log_q_given` and `where`, as samples with sites held fixed do.
        commit_seconds: shortest time between two commits, each of which takes some 10 ms.

    Attributes:
        n_written: number of samples in the file, those of earlier runs included; also the index in the stream of the
            next sample to write.
        left_out: what has no place in the file; nothing.

    Raises:
        FileExistsError: if the file exists and `append` is False.
        ValueError: if the file to be continued holds other datasets or attributes, or was not written by latticear.
        OSError: if the file cannot be made, or is open elsewhere (BlockingIOError).
    """

    left_out: ClassVar[str] = ""
    beside: ClassVar[frozenset[str]] = frozenset()
    """Groups that the file may have besides its datasets."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        hamiltonian: ConfigurationSpace,
        *,
        attributes: Mapping[str, Any],
        append: bool = False,
        has_log_q: bool = True,
        n_condition: int = 0,
        n_components: int | None = None,
        has_given: bool = False,
        commit_seconds: float = 1.0,
    ) -> None:
        self.path = Path(path)
        self.n_written = 0
        self._n_tokens = hamiltonian.n_tokens
        self._spin_table = spin_table(hamiltonian)
        self._attributes = complete_attributes(hamiltonian, attributes)
        if n_components is None:
            n_components = hamiltonian.n_components if hamiltonian.n_components > 1 else 0
        self._columns = columns_of(hamiltonian, has_log_q, n_condition, n_components, has_given)
        self._commit_seconds = commit_seconds
        self._is_new = not self.path.exists()
        if self._is_new:
            _create(self.path, empty_file(hamiltonian, self._columns, self._attributes))
        elif not append:
            raise FileExistsError(f"{self.path} already exists; continue it with append (--append) or name another")
        self._open()

    def __enter__(self) -> SampleWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, samples: Samples, energy: Tensor | None = None) -> None:
        """Append samples that follow those already in the file in the stream of the seed.

        Args:
            samples: n samples drawn with the seed of the file.
            energy: extensive energy of each sample, `(n,)`; None for a grid.

        Raises:
            ValueError: if shapes, tokens or seed do not fit this file; nothing is written then.
            OSError: if the disk is full or fails; the file is then closed at its last commit.
        """
        if not self._release.alive:
            raise ValueError(f"{self.path} is closed: open it again with append (--append)")
        rows = self._rows(samples, energy)
        with self._all_or_nothing():
            stop = self.n_written + len(samples)
            for name, values in rows.items():
                self._datasets[name].resize(stop, axis=0)
                self._datasets[name][self.n_written :] = values
            if time.monotonic() - self._t_commit >= self._commit_seconds:
                self._commit()
            elif self._file.error is not None:
                raise self._file.error
            self.n_written = stop

    def flush(self) -> None:
        """Commit now, so that all samples written so far are on disk.

        Raises:
            OSError: if the disk is full or fails; the file is then closed at its last commit.
        """
        with self._all_or_nothing():
            self._commit()

    def close(self) -> None:
        """Commit and close the file; a second call does nothing. Raises the errors of `flush`."""
        if self._release.alive:
            self.flush()
            self._release()

    def _open(self) -> None:
        if not self._is_new and (death := death_of(lambda: _rehearse(self.path))):
            raise _not_continued(self.path, f"it is damaged: {death}")
        try:
            self._file = JournaledFile(self.path, writable=True)
        except BlockingIOError as error:
            message = f"{self.path} is open elsewhere; close it there first"
            raise BlockingIOError(error.errno, message) from error
        try:
            self._h5 = h5py.File(self._file, "r+", libver=HDF5_VERSION)
        except (OSError, RuntimeError) as error:
            self._file.close()
            raise _damaged(self.path, error) from error
        self._release = weakref.finalize(self, _release, self._h5, self._file)
        try:
            self._check()
        except BaseException as error:
            self._release()
            if isinstance(error, OSError | RuntimeError | KeyError):
                raise _damaged(self.path, error) from error
            raise
        self.flush()

    def _check(self) -> None:
        """Check that datasets and attributes are those to be written; cut all datasets to the shortest one's length.

        Everything in a file to be continued is read, so that no damage is continued.
        """
        _check_same(self.path, decode_attributes(self._h5.attrs), self._attributes)
        _check_columns(self.path, self._h5, self._columns, self.beside)
        # Kept open: HDF5 compresses an incomplete chunk anew whenever its dataset is closed.
        self._datasets = {name: self._h5[name] for name in (*self._columns, "sample")}
        _check_rows_exist(self.path, self._datasets)
        if not self._is_new:
            check_index(self._h5)
            if standing := what_stands(self._h5):
                raise DamagedError(f"{self.path} cannot be continued: {standing}")
        self.n_written = self._n_kept = min(map(len, self._datasets.values()))
        for dataset in self._datasets.values():
            dataset.resize(self.n_written, axis=0)

    def _commit(self) -> None:
        self._h5.flush()
        self._file.commit()
        self._n_kept = len(self._datasets["sample"])
        self._t_commit = time.monotonic()

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            # the state of HDF5 is unknown after a failure inside it: return to the last commit
            cause = self._file.error or error
            self._release()
            self.n_written = self._n_kept
            if not isinstance(cause, OSError):
                raise cause from None
            message = (
                f"writing {self.path} failed ({cause.strerror or cause}); it keeps {self._n_kept} samples: "
                f"free space and continue with append (--append)"
            )
            raise OSError(*((cause.errno,) if cause.errno else ()), message) from cause

    def _rows(self, samples: Samples, energy: Tensor | None) -> dict[str, np.ndarray]:
        """The checked rows to append to each dataset, by its name."""
        n, stop = len(samples), self.n_written + len(samples)
        seed = self._attributes["seed"]
        if samples.seed != seed:
            raise ValueError(f"samples must be of this file's seed {seed}, got samples of seed {samples.seed}")
        tokens = samples.tokens.cpu().numpy()
        rows = rows_of(samples, energy)
        rows[next(iter(self._columns))] = tokens
        _check_rows(self._columns, rows, n)
        if n and int(tokens.max()) >= self._n_tokens:
            raise ValueError(f"tokens must be below {self._n_tokens}, got {int(tokens.max())}")
        if self._spin_table is not None:
            rows["spins"] = self._spin_table[tokens]
        return rows | {"sample": np.arange(self.n_written, stop)}


def rows_of(samples: Samples, energy: Tensor | None) -> dict[str, np.ndarray]:
    """What is known of samples besides their tokens, by the names of the datasets of a file."""
    known = {
        "log_q": samples.log_q,
        "condition": samples.condition,
        "log_q_given": samples.log_q_given,
        "where": None if samples.where is None else samples.where.byte(),
        "energy": energy,
    }
    return {name: value.detach().cpu().numpy() for name, value in known.items() if value is not None}


def _create(path: Path, content: bytes) -> None:
    """Create a file with this content in one step, after removing a journal that an earlier file of this name left."""
    try:
        journal_path(path).unlink(missing_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise type(error)(error.errno, f"{path} cannot be made: {os.strerror(error.errno or 0)}") from error


def _release(h5: h5py.File, file: JournaledFile) -> None:
    """Close the file at its last commit: bytes that HDF5 still writes while it closes are discarded."""
    with suppress(Exception):
        h5.close()
    file.close()


def _rehearse(path: Path) -> None:
    """Do in memory what continuing a file does: read it, lengthen each dataset by a row, and close it."""
    with h5py.File(JournaledFile(path, writable=False, rehearsal=True), "r+") as h5:
        check_index(h5)
        for dataset in datasets_of(h5)[0].values():
            if dataset.maxshape[0] is None:
                dataset.resize(len(dataset) + 1, axis=0)
                dataset[-1:] = np.zeros((1, *dataset.shape[1:]), dataset.dtype)


def _check_same(path: Path, stored: dict[str, Any], given: dict[str, Any]) -> None:
    if "format_version" not in stored:
        raise _not_continued(path, "latticear did not write it")
    for name in sorted((stored.keys() | given.keys()) - _NOT_COMPARED):
        a, b = stored.get(name), given.get(name)
        if not same_value(a, b):
            raise _not_continued(path, f"its {name} is {short_repr(a)}, this run's is {short_repr(b)}")


def _check_columns(path: Path, h5: h5py.File, columns: dict[str, Column], beside: frozenset[str]) -> None:
    names = set(columns) | {dim for column in columns.values() for dim in column.dims}
    names |= {"states", "token"} if "tokens" in columns else set()
    if set(h5) - beside != names:
        raise _not_continued(path, f"it holds {sorted(h5)}, this run writes {sorted(names)}")
    for name, column in columns.items():
        stored, given = (h5[name].dtype, h5[name].shape[1:]), (column.dtype, column.shape)
        if stored != given:
            raise _not_continued(path, f"{name} of a sample is {_type(*stored)}, this run's is {_type(*given)}")


def _check_rows_exist(path: Path, datasets: dict[str, h5py.Dataset]) -> None:
    """Refuse a dataset with fewer chunks than its length needs.

    HDF5 visits every row that a resize removes, so a damaged header that declares 2^60 rows would take forever.
    """
    for name, dataset in datasets.items():
        if len(dataset) > dataset.id.get_num_chunks() * dataset.chunks[0]:
            raise _not_continued(path, f"it is damaged: {name} lacks the data of its {len(dataset)} rows")


def _not_continued(path: Path, why: str) -> ValueError:
    return ValueError(f"{path} cannot be continued: {why}; name another file")


def _damaged(path: Path, error: Exception) -> ValueError:
    return _not_continued(path, f"it is not an intact HDF5 file ({' '.join(str(error).split())})")


def _type(dtype: np.dtype[Any], shape: tuple[int, ...]) -> str:
    return f"{dtype} {shape}"


def _check_rows(columns: dict[str, Column], rows: dict[str, np.ndarray], n: int) -> None:
    if set(rows) != set(columns):
        raise ValueError(f"this file takes {sorted(columns)}, got samples with {sorted(rows)}")
    for name, column in columns.items():
        if rows[name].shape != (n, *column.shape):
            raise ValueError(f"{name} must have shape {(n, *column.shape)}, got {rows[name].shape}")
