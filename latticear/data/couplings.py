"""Couplings on disk: in an HDF5 file, a `.npy` file or a text.

    (2, H, W)   the couplings of the Edwards-Anderson model: `[0, y, x]` is J between site (y, x) and its right
                neighbour, `[1, y, x]` that between (y, x) and the site below it; (n, 2, H, W) holds n instances
    (N, N)      a symmetric matrix of the couplings of all pairs of sites; (n, N, N) holds n instances
    (n, 3)      a list of bonds, with rows `i, j, J`; each pair of sites occurs once
    (n,)        one coupling for each bond of a pair Hamiltonian

Sites are numbered y W + x from 0. In an HDF5 file the array is the dataset `/couplings`, beside which `/bonds`,
`(n, 2)`, may hold the sites of the bonds; a text has a list or a matrix. A file is written by
`with h5py.File("glass.h5", "w") as h5: h5["couplings"] = couplings`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch
from torch import Tensor

from latticear.data.bond_lists import bonds_of, is_matrix, maps_of, matrix_of, text_table
from latticear.data.fingerprint import fingerprint_of
from latticear.data.reading import opened
from latticear.hamiltonians import EdwardsAnderson, PairHamiltonian, SherringtonKirkpatrick
from latticear.lattice import Lattice

__all__ = [
    "TAKE_A_FILE",
    "Couplings",
    "Instance",
    "count_instances",
    "couplings_for",
    "read_bonds",
    "read_coupling_matrix",
    "read_couplings",
    "shape_of_couplings",
]


TAKE_A_FILE = (EdwardsAnderson.name, SherringtonKirkpatrick.name, PairHamiltonian.name)
"""Names of the Hamiltonians whose couplings may come from a file."""


class Instance(NamedTuple):
    """One instance of the couplings, named by its file and its place in that file.

    Attributes:
        path: a file that `read_couplings` can read.
        number: the index of the instance in the file, counted from 0.
    """

    path: Path
    number: int = 0

    def to_dict(self) -> dict[str, str | int]:
        """Path and index of the instance as JSON values."""
        return {"path": str(self.path.resolve()), "index": self.number}


class Couplings(NamedTuple):
    """The couplings of one system, in the layout of its class.

    Attributes:
        values: float64, the argument `couplings` of the class.
        bonds: int64 `(n_bonds, 2)`, the argument `bonds` of a pair Hamiltonian; None where the class has its own bonds.
    """

    values: Tensor
    bonds: Tensor | None = None

    @property
    def digest(self) -> str:
        """A hash of the numbers, 16 hexadecimal digits; different couplings have different ones."""
        return fingerprint_of(self.values, self.bonds)

    @property
    def arguments(self) -> dict[str, Tensor]:
        """The keyword arguments of the constructor of the system."""
        return {"couplings": self.values} | ({} if self.bonds is None else {"bonds": self.bonds})

    def to_hdf5(self) -> bytes:
        """The content of an HDF5 file with these couplings."""
        content = io.BytesIO()
        with h5py.File(content, "w") as h5:
            for name, values in self.arguments.items():
                h5.create_dataset(name, data=values.numpy(), fletcher32=True)
        return content.getvalue()


def couplings_for(name: str, path: str | os.PathLike[str], lattice: Lattice, index: int | None = None) -> Couplings:
    """Read the couplings of a Hamiltonian that a config names.

    Args:
        name: name of the Hamiltonian, one of `TAKE_A_FILE`.
        path: the file.
        lattice: the lattice of the Hamiltonian.
        index: the instance to read where the file holds several.

    Raises:
        ValueError: for a file that does not fit.
        OSError: if the file does not exist.
    """
    if name == EdwardsAnderson.name:
        return Couplings(read_couplings(path, lattice.shape, index, lattice=lattice))
    if name == SherringtonKirkpatrick.name:
        return Couplings(read_coupling_matrix(path, lattice.n_sites, index))
    if index not in (None, 0):
        raise ValueError(f"{path}: the bonds of a pair Hamiltonian are one instance, got index {index}")
    with _content(Path(path)) as (values, ends):
        if len(values.shape) == 1 and ends is None:
            return Couplings(_finite(Path(path), values))
    bonds, couplings = read_bonds(path, lattice.n_sites)
    return Couplings(couplings, bonds)


def count_instances(path: str | os.PathLike[str], shape: tuple[int, int]) -> int:
    """The number of instances in a file of couplings.

    Args:
        path: a file as for `read_couplings` or `read_coupling_matrix`.
        shape: (H, W) of the lattice.

    Raises:
        ValueError: if the file is damaged or of another kind.
        OSError: if the file does not exist.
    """
    n_sites = shape[0] * shape[1]
    with _content(Path(path)) as (values, _):
        several = values.shape[1:] in ((2, *shape), (n_sites, n_sites))
        return len(values) if several and values.shape != (2, *shape) else 1


def shape_of_couplings(path: str | os.PathLike[str]) -> tuple[int, ...]:
    """The shape of the array of couplings in a file.

    Raises:
        ValueError: if the file is damaged or of another kind.
        OSError: if the file does not exist.
    """
    with _content(Path(path)) as (values, _):
        return tuple(values.shape)


def read_couplings(
    path: str | os.PathLike[str],
    shape: tuple[int, int],
    index: int | None = 0,
    n_maps: int = 2,
    *,
    lattice: Lattice | None = None,
) -> Tensor:
    """Read the couplings of one instance of the Edwards-Anderson model: float64 `(n_maps, H, W)`, in units of energy.

    Args:
        path: an HDF5 file with a dataset `/couplings`, a `.npy` file, or a text with a list of bonds `i j J`.
        shape: (H, W) of the lattice.
        index: the instance to read where the file holds n of them, 0..n-1; None to refuse a file with several.
        n_maps: the number of couplings stored for each site; 2 for the bonds of a square lattice.
        lattice: the lattice whose bonds a list must have; the periodic one by default.

    Raises:
        ValueError: if the file is damaged or of another kind, if it has no dataset `/couplings`, if its array has
            another shape or values that are not finite numbers, if a list has other bonds than the lattice, or if the
            file holds no instance of this index.
        OSError: if the file does not exist.
    """
    path = Path(path)
    with _content(path) as (values, _):
        if n_maps == 2 and (is_matrix(values, shape[0] * shape[1]) or values.shape[1:] == (3,)):
            return maps_of(path, _finite(path, values).numpy(), lattice or Lattice(shape))
        return _finite(path, _instance(path, values, (n_maps, *shape), index))


def read_coupling_matrix(path: str | os.PathLike[str], n_sites: int, index: int | None = 0) -> Tensor:
    """Read the couplings of all pairs of sites: float64 `(N, N)`, symmetric, with a zero diagonal.

    Args:
        path: a file as for `read_couplings`, with a matrix or several, or with a list of the bonds of all pairs.
        n_sites: N.
        index: the instance to read where the file holds n of them, 0..n-1; None to refuse a file with several.

    Raises:
        ValueError: if the file is damaged or of another kind, for a matrix that is not symmetric, or a list that lacks
            a pair of sites.
        OSError: if the file does not exist.
    """
    path = Path(path)
    with _content(path) as (values, _):
        if values.shape[1:] != (3,) or is_matrix(values, n_sites):
            values = _instance(path, values, (n_sites, n_sites), index)
        return torch.from_numpy(matrix_of(path, _finite(path, values).numpy(), n_sites))


def read_bonds(path: str | os.PathLike[str], n_sites: int) -> tuple[Tensor, Tensor]:
    """Read a list of bonds with their couplings: arguments `bonds` and `couplings` of `PairHamiltonian`.

    Args:
        path: a file as for `read_couplings`, with a list of bonds or a matrix, whose entries other than 0 are bonds.
        n_sites: N, the number of sites.

    Returns:
        The sites of the bonds, int64 `(n_bonds, 2)`, and their couplings, float64 `(n_bonds,)`.

    Raises:
        ValueError: if the file is damaged or of another kind, for a number that is no site, or for two bonds between
            the same sites.
        OSError: if the file does not exist.
    """
    path = Path(path)
    with _content(path) as (values, ends):
        if ends is not None:
            if ends.shape != (*values.shape, 2):
                raise ValueError(f"{path}: /bonds must have shape {(*values.shape, 2)}, got {ends.shape}")
            values = np.column_stack([ends, values])
        return bonds_of(path, _finite(path, values).numpy(), n_sites)


@contextmanager
def _content(path: Path) -> Iterator[tuple[h5py.Dataset | np.ndarray, np.ndarray | None]]:
    """The numbers in a file, not yet read where they may be many, and the dataset `/bonds`, if there is one."""
    with path.open("rb") as file:
        is_npy = file.read(6) == b"\x93NUMPY"
    if h5py.is_hdf5(path):
        with opened(path) as h5:
            dataset, bonds = h5.get("couplings"), h5.get("bonds")
            if not isinstance(dataset, h5py.Dataset):
                raise ValueError(f"{path} must have a dataset /couplings, it has {sorted(h5)}")
            yield _numbers(path, dataset), _numbers(path, bonds)[()] if isinstance(bonds, h5py.Dataset) else None
    elif is_npy:
        try:
            values = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError, SyntaxError) as error:
            raise ValueError(f"{path} is not a readable .npy file of numbers: {error}") from error
        yield _numbers(path, values), None
    else:
        yield text_table(path), None


def _numbers(path: Path, values: h5py.Dataset | np.ndarray) -> h5py.Dataset | np.ndarray:
    if values.dtype.kind not in "biuf" or values.shape is None:
        raise ValueError(f"{path}: couplings must hold numbers, got {values.dtype}")
    return values


def _instance(
    path: Path, values: h5py.Dataset | np.ndarray, size: tuple[int, ...], index: int | None
) -> h5py.Dataset | np.ndarray:
    """The couplings of one instance, of shape `size`, from an array of this shape or of several instances."""
    if size not in (values.shape, values.shape[1:]):
        raise ValueError(
            f"{path}: couplings must hold numbers of shape {size} or (n, {str(size)[1:-1]}), or a list of bonds "
            f"i, j, J, got {values.dtype} {values.shape}"
        )
    n = 1 if values.shape == size else len(values)
    if index is None and n > 1:
        raise ValueError(f"{path} holds {n} instances: choose one by hamiltonian.index = 0..{n - 1}")
    if not 0 <= (index or 0) < n:
        raise ValueError(f"{path} holds instances 0..{n - 1}, got {index}" if n else f"{path} holds no instance")
    return values if values.shape == size else values[index or 0]


def _finite(path: Path, values: h5py.Dataset | np.ndarray) -> Tensor:
    array = np.array(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{path}: couplings must be finite, got {array[~np.isfinite(array)][0]}")
    return torch.from_numpy(array)
