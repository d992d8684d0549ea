"""Couplings of spin glasses on disk: `/couplings`, `(2, H, W)` or `(n, 2, H, W)`, in an HDF5 file.

They are laid out as `EdwardsAnderson` takes them: of the bond from each site to its right neighbour, then to the one
below. `with h5py.File("glass.h5", "w") as h5: h5["couplings"] = couplings` writes a file.
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
    """A file of couplings, and which of them.

    Attributes:
        path: as of `read_couplings`.
        number: from 0.
    """

    path: Path
    number: int = 0

    def to_dict(self) -> dict[str, str | int]:
        """JSON values."""
        return {"path": str(self.path.resolve()), "index": self.number}


def read_couplings(path: str | os.PathLike[str], shape: tuple[int, int], index: int = 0, n_maps: int = 2) -> Tensor:
    """Read the couplings of one instance: float64 `(n_maps, H, W)`, in units of energy.

    Args:
        path: HDF5 with a dataset `/couplings`.
        shape: (H, W) of the lattice.
        index: which of n instances.
        n_maps: numbers for each site; 2 for the bonds of a square lattice.

    Raises:
        ValueError: if the file is damaged or of another kind, has no such dataset, or has one of another shape or with
            values that are not finite numbers; or if there is no instance of this index.
        OSError: if there is no such file.
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
