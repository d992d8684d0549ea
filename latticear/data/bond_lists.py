"""Tables of couplings: a list of bonds with rows `i, j, J`, or a symmetric matrix.

Sites are numbered y W + x from 0.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from latticear.hamiltonians.edwards_anderson import couplings_of
from latticear.lattice import Lattice, repeated_bonds

__all__ = ["bonds_of", "is_matrix", "maps_of", "matrix_of", "text_table"]


def text_table(path: Path) -> np.ndarray:
    """Read a table of numbers, separated by spaces, tabs or commas; `#` begins a comment. float64 `(rows, columns)`.

    Raises:
        ValueError: names the first line that does not hold numbers, or as many as the first one.
    """
    rows: list[list[float]] = []
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            place = f"line {number}: {line.strip()[:40]!r}"
            words = line.partition("#")[0].replace(",", " ").split()
            if words:
                rows.append([float(word) for word in words])
            if rows and words and len(words) != len(rows[0]):
                raise ValueError(f"{len(words)} numbers instead of {len(rows[0])}")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is neither HDF5 nor .npy, nor a text of numbers") from error
    except ValueError as error:
        raise ValueError(f"{path} is neither HDF5 nor .npy, nor a text with rows i j J ({place}: {error})") from error
    return np.array(rows).reshape(len(rows), -1) if rows else np.empty((0, 3))


def is_matrix(values: h5py.Dataset | np.ndarray, n_sites: int) -> bool:
    """Whether a table is a matrix of all pairs of sites. (With three sites a list of three bonds looks like one.)"""
    return values.shape == (n_sites, n_sites)


def bonds_of(path: Path, values: np.ndarray, n_sites: int) -> tuple[Tensor, Tensor]:
    """The bonds in a table: int64 `(n_bonds, 2)`, and their couplings, float64 `(n_bonds,)`.

    Args:
        path: the file, for messages.
        values: a list, `(n_bonds, 3)`; or a symmetric matrix, `(N, N)`, whose entries other than 0 are the couplings.
        n_sites: N.

    Raises:
        ValueError: for a table of another shape, a number that is no site, a bond of a site with itself, two bonds
            between the same sites, or a coupling that is not finite.
    """
    if is_matrix(values, n_sites):
        matrix = _symmetric(path, values)
        ends = torch.from_numpy(np.argwhere(np.triu(matrix, 1)))
        return ends, torch.from_numpy(matrix)[ends[:, 0], ends[:, 1]]
    if values.ndim != 2 or values.shape[1] != 3:
        raise ValueError(
            f"{path}: couplings must be a list of bonds i, j, J, shape (n, 3), or a matrix {(n_sites, n_sites)}, "
            f"got shape {values.shape}"
        )
    _check_sites(path, values, n_sites)
    ends, couplings = torch.from_numpy(values[:, :2].astype(np.int64)), torch.from_numpy(values[:, 2].copy())
    twice = repeated_bonds(ends)
    if twice is not None:
        a, b = (tuple(ends[row].tolist()) for row in twice)
        raise ValueError(
            f"{path} lists the bond between the same two sites twice, as {a} in row {twice[0] + 1} and as {b} in row "
            f"{twice[1] + 1}: list it once, with the sum of the couplings if both are meant"
        )
    return ends, couplings


def matrix_of(path: Path, values: np.ndarray, n_sites: int) -> np.ndarray:
    """The couplings of all pairs of sites, `(N, N)`, from a symmetric matrix or from a list of all bonds.

    Raises:
        ValueError: as `bonds_of`, and for a list that lacks a pair of sites.
    """
    if is_matrix(values, n_sites):
        return _symmetric(path, values)
    ends, couplings = bonds_of(path, values, n_sites)
    listed, matrix = np.eye(n_sites, dtype=bool), np.zeros((n_sites, n_sites))
    for i, j in (ends.T.numpy(), ends.T.flip(0).numpy()):
        listed[i, j], matrix[i, j] = True, couplings
    if not listed.all():
        pair = tuple(np.argwhere(~listed)[0].tolist())
        raise ValueError(
            f"{path} lacks {int((~listed).sum()) // 2} of the {n_sites * (n_sites - 1) // 2} pairs of sites, such as "
            f"{pair}: list them with J = 0, or take hamiltonian.name pair, which has the bonds of its list alone"
        )
    return matrix


def maps_of(path: Path, values: np.ndarray, lattice: Lattice) -> Tensor:
    """The couplings of the nearest-neighbour bonds of a square lattice in the layout of `EdwardsAnderson`, `(2, H, W)`.

    Args:
        path: the file, for messages.
        values: a list of all bonds, or a matrix `(N, N)`, as for `bonds_of`.
        lattice: the lattice.

    Raises:
        ValueError: as `bonds_of`, for a bond that the lattice does not have, a list that lacks one of its bonds, and a
            lattice in which two bonds join the same sites.
    """
    places = {frozenset(pair): place for pair, place in zip(lattice.bonds.tolist(), couplings_of(lattice), strict=True)}
    if len(places) < len(lattice.bonds):
        raise ValueError(
            f"{path}: in a periodic direction of extent 2 two bonds join the same sites, which a list does not tell "
            f"apart: give the couplings as an array {(2, *lattice.shape)}"
        )
    ends, couplings = bonds_of(path, values, lattice.n_sites)
    maps = torch.zeros(2 * lattice.n_sites, dtype=torch.float64)
    for pair, coupling in zip(ends.tolist(), couplings, strict=True):
        place = places.pop(frozenset(pair), None)
        if place is None:
            raise ValueError(
                f"{path} has a bond between sites {pair[0]} and {pair[1]}, which are no neighbours on {lattice}; "
                f"hamiltonian.name pair takes any bonds"
            )
        maps[place] = coupling
    if places and not is_matrix(values, lattice.n_sites):
        pair = tuple(sorted(next(iter(places))))
        raise ValueError(
            f"{path} lacks {len(places)} of the {len(lattice.bonds)} bonds of {lattice}, such as {pair}: list them "
            f"with J = 0 if they are missing in the system"
        )
    return maps.view(2, *lattice.shape)


def _symmetric(path: Path, matrix: np.ndarray) -> np.ndarray:
    uneven = np.argwhere(matrix != matrix.T)
    if len(uneven):
        i, j = uneven[0].tolist()
        raise ValueError(
            f"{path}: the matrix of couplings must be symmetric, got J[{i}, {j}] = {matrix[i, j]:g} and J[{j}, {i}] = "
            f"{matrix[j, i]:g}; a triangle becomes symmetric by J + J.T"
        )
    if matrix.diagonal().any():
        i = int(np.flatnonzero(matrix.diagonal())[0])
        raise ValueError(f"{path}: the matrix must be 0 on the diagonal, got J[{i}, {i}] = {matrix[i, i]:g}")
    return matrix


def _check_sites(path: Path, values: np.ndarray, n_sites: int) -> None:
    """Raise ValueError unless each row of a list joins two different sites."""
    sites = values[:, :2]
    wrong = (sites != np.floor(sites)) | (sites < 0) | (sites >= n_sites)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        from_one = sites.min() == 1 and sites.max() == n_sites
        hint = "; these seem to be numbered from 1: subtract 1" if from_one else ""
        raise ValueError(
            f"{path}, row {row + 1}: sites are numbered y W + x = 0..{n_sites - 1}, got {sites[row, column]:g}{hint}"
        )
    loops = np.flatnonzero(sites[:, 0] == sites[:, 1])
    if len(loops):
        site = sites[loops[0], 0]
        raise ValueError(f"{path}, row {loops[0] + 1}: a bond joins two different sites, got {site:g} twice")
