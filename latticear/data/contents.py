"""The arrays that a file holds: HDF5, .npy, .npz, text, or one of these compressed by gzip; never pickles."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import h5py
import numpy as np

from latticear.arguments import did_you_mean
from latticear.checksums import DamagedError, missing_or_changed, read_sums, sums_beside
from latticear.data.foreign import refuse_archive, refuse_foreign
from latticear.data.format import decode_attributes
from latticear.data.hdf5 import datasets_of, opened
from latticear.data.journal import journal_path
from latticear.data.texts import read_text

__all__ = ["CONFIGURATIONS", "Contents", "Stored", "contents_of", "described"]

Stored: TypeAlias = "h5py.Dataset | np.ndarray"
"""An array in a file, read or still to be read."""

CONFIGURATIONS = ("spins", "tokens")
"""Names of datasets that hold configurations; others must be named, unless they are alone."""

COMPANIONS = ("where", "condition", "states", "labels", "temperature", "temperatures", "beta")
"""Names of arrays that go with configurations and are none."""

NAMED = ("HDF5", ".npz")
"""Kinds of files whose arrays have names."""


class Contents(NamedTuple):
    """What a file holds.

    Attributes:
        path: the file.
        kind: "HDF5", ".npy", ".npz" or "text".
        arrays: the arrays by name; datasets of HDF5 have their path, such as `run1/spins`; the only array of a `.npy`
            file or a text has the name "".
        groups: paths of the groups of HDF5.
        attributes: attributes of the file.
        header: whether the first line of a text was left out.
        compressed: whether the file is compressed by gzip.
    """

    path: Path
    kind: str
    arrays: Mapping[str, Stored]
    groups: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = MappingProxyType({})
    header: bool = False
    compressed: bool = False

    def chosen(self, dataset: str | None = None) -> str:
        """The name of the array of configurations.

        Args:
            dataset: the name that a user gives; None for `/spins`, else `/tokens`, else the only array of numbers.

        Raises:
            ValueError: if there is no such array, or none, or several.
        """
        if dataset is not None:
            return self._named(dataset.strip("/"), dataset)
        if self.kind not in NAMED:
            return ""
        for name in CONFIGURATIONS:
            if name in self.arrays and self.arrays[name].shape:
                return name
        usable = self._usable()
        group = next((f"/{name} is a group; " for name in CONFIGURATIONS if name in self.groups), "")
        if len(usable) == 1 and not group:
            return usable[0]
        if usable:
            raise ValueError(
                f"{self.path}: {group}choose one of the arrays {self._listed(usable)} by "
                f"dataset='{usable[0]}' (--dataset {usable[0]})"
            )
        held = f"it has {sorted(self.arrays)}" if self.arrays else "it is empty"
        raise ValueError(f"{self.path} must have a dataset /spins (n, H, W) of numbers; {group}{held}")

    def _named(self, name: str, dataset: str) -> str:
        if name in self.arrays and self.kind in NAMED:
            return name
        usable = self._usable()
        if name in self.groups:
            within = [other for other in usable if other.startswith(f"{name}/")]
            raise ValueError(f"{self.path}: /{name} is a group, which holds {self._listed(within) or 'no numbers'}")
        if self.kind not in NAMED:
            raise ValueError(f"{self.path} is a {self.kind} file of one array: leave dataset (--dataset) out")
        hint = did_you_mean(name, self.arrays)
        raise ValueError(f"{self.path} has no dataset {dataset!r}{hint}; it has {self._listed(usable) or 'no numbers'}")

    def _usable(self) -> list[str]:
        """The arrays that may be configurations: numbers in two or more dimensions, no conditions or masks."""
        return [
            name
            for name, array in self.arrays.items()
            if array.dtype.kind in "biuf" and len(array.shape or ()) > 1 and name.split("/")[-1] not in COMPANIONS
        ]

    def _listed(self, names: list[str]) -> str:
        shown = [f"{name} {self.arrays[name].shape}" for name in names]
        return ", ".join(shown if len(shown) <= 6 else [*shown[:5], f"... ({len(shown)} of them)"])

    def beside(self, name: str, other: str) -> Stored | None:
        """The array `other` in the group of the array `name`, or None."""
        return self.arrays.get("/".join([*name.split("/")[:-1], other]))


@contextmanager
def contents_of(path: Path, size: tuple[int, ...] | None = None) -> Iterator[Contents]:
    """Open a file of arrays.

    Args:
        path: the file.
        size: shape of one configuration, which the conversion that an error names needs, if it is known.

    Raises:
        ValueError: if the file is of another kind, or damaged.
        OSError: if the file does not exist, or another process is writing it.
    """
    content: bytes | None = None
    with open(path, "rb") as file:
        head = file.read(64)
    if head.startswith(b"\x1f\x8b"):
        content = _decompressed(path)
        head = content[:64]
    if head.startswith(b"\x89HDF\r\n\x1a\n") or (content is None and _is_hdf5(path)):
        with opened(path, content) as h5:
            datasets, groups = datasets_of(h5)
            attributes = decode_attributes(h5.attrs)
            yield Contents(path, "HDF5", datasets, tuple(groups), attributes, compressed=content is not None)
        return
    refuse_foreign(path, head, size)
    _check_digest(path)
    if head.startswith(b"PK\x03\x04"):
        yield Contents(path, ".npz", _archived(path, content), compressed=content is not None)
    elif head.startswith(b"\x93NUMPY"):
        yield Contents(path, ".npy", {"": _array(path, content)}, compressed=content is not None)
    else:
        numbers, header = read_text(path.read_bytes() if content is None else content, str(path))
        yield Contents(path, "text", {"": numbers}, header=header, compressed=content is not None)


def described(path: Path, dataset: str | None = None) -> dict[str, Any]:
    """What a file holds, as JSON values, whether or not there are configurations in it.

    Returns:
        `n_samples` and `shape`, the number and the shape of the configurations; `datasets`, a dictionary name ->
        `{"shape", "dtype"}`; `attributes`, those of the file; and, if no array is known to hold the configurations,
        `problem`, which says why.

    Raises:
        ValueError, OSError: as `contents_of`.
    """
    with contents_of(path) as contents:
        datasets = {
            name or "spins": {"shape": list(array.shape or ()), "dtype": str(array.dtype)}
            for name, array in contents.arrays.items()
        }
        rest = {"datasets": datasets, "attributes": dict(contents.attributes)}
        try:
            array = contents.arrays[contents.chosen(dataset)]
        except ValueError as error:
            return {"n_samples": None, "shape": None, **rest, "problem": str(error)}
        shape = array.shape or (1,)
        return {"n_samples": int(shape[0]), "shape": [int(extent) for extent in shape[1:]], **rest}


def _is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5 that begins with something else, or one whose writer died within a commit."""
    return h5py.is_hdf5(path) or journal_path(path).exists()


def _check_digest(path: Path) -> None:
    """Compare a file with the digest beside it, if there is one."""
    beside = sums_beside(path)
    if problem := missing_or_changed(path, read_sums(beside)):
        raise DamagedError(
            f"{path} is damaged: {problem} (its digest is not that in {beside.name}); restore it, or draw again into "
            f"another file; if you changed it, remove {beside.name}"
        )


def _decompressed(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") as file:
            return file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is a damaged gzip file: {error}") from error


def _array(path: Path, content: bytes | None) -> np.ndarray:
    try:
        if content is None:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        return np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        text = " ".join(str(error).split())
        raise ValueError(f"{path} is not a readable .npy file of numbers: {text}") from error


def _archived(path: Path, content: bytes | None) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path if content is None else io.BytesIO(content)) as archive:
            refuse_archive(path, archive)
        with np.load(path if content is None else io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: _member(arrays, name) for name in arrays.files}
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is a damaged archive: {error}") from error


def _member(arrays: Any, name: str) -> np.ndarray:
    """An array of an archive; an empty one of type object in place of Python objects, which would be pickles."""
    try:
        return np.asarray(arrays[name])
    except ValueError:
        return np.empty(0, dtype=object)
