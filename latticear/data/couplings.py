"""Couplings of spin glasses on disk: `/couplings`, `(2, H, W)` or `(n, 2, H, W)`, in an HDF5 file.

The layout is that of `EdwardsAnderson`: `[0, y, x]` is the coupling between site (y, x) and its right neighbour,
`[1, y, x]` that between (y, x) and the site below it. A file is written by
`with h5py.File("glass.h5", "w") as h5: h5["couplings"] = couplings`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch
from torch import Tensor

from latticear.data.reading import opened

__all__ = ["Instance", "read_couplings"]


class Instance(NamedTuple):
    """One instance of the couplings, named by its file and its place in that file.

    Attributes:
        path: an HDF5 file that `read_couplings` can read.
        number: the index of the instance in the file, counted from 0.
    """

    path: Path
    number: int = 0

    def to_dict(self) -> dict[str, str | int]:
        """Path and index of the instance as JSON values."""
        return {"path": str(self.path.resolve()), "index": self.number}


def read_couplings(path: str | os.PathLike[str], shape: tuple[int, int], index: int = 0, n_maps: int = 2) -> Tensor:
    """Read the couplings of one instance: float64 `(n_maps, H, W)`, in units of energy.

    Args:
        path: an HDF5 file with a dataset `/couplings`.
        shape: (H, W) of the lattice.
        index: the instance to read where the file holds n of them, 0..n-1.
        n_maps: the number of couplings stored for each site; 2 for the bonds of a square lattice.

    Raises:
        ValueError: if the file is damaged or not HDF5, if it has no dataset `/couplings`, if that dataset has another
            shape or values that are not finite numbers, or if the file holds no instance of this index.
        OSError: if the file does not exist.
    """
    path = Path(path)
    size = (n_maps, *shape)
    with opened(path) as h5:
        dataset = h5.get("couplings")
        if not isinstance(dataset, h5py.Dataset):
            raise ValueError(f"{path} must have a dataset /couplings {size} or {('n', *size)}, it has {sorted(h5)}")
        if dataset.dtype.kind not in "iuf" or dataset.shape not in (size, (*dataset.shape[:1], *size)):
            raise ValueError(
                f"{path}: /couplings must hold numbers of shape {size} or {('n', *size)}, got {dataset.dtype} "
                f"{dataset.shape}"
            )
        n = 1 if dataset.shape == size else len(dataset)
        if not 0 <= index < n:
            raise ValueError(f"{path} holds instances 0..{n - 1}, got {index}" if n else f"{path} holds no instance")
        values = np.asarray(dataset[()] if dataset.shape == size else dataset[index], dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"{path}: /couplings must be finite, got {values[~np.isfinite(values)][0]}")
    return torch.from_numpy(values)
