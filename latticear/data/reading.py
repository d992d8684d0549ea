"""Reading what HDF5 files of configurations hold besides them: samples with their probabilities, conditions, masks.

`latticear.data.loading` reads configurations alone, of any source. Only numbers, and JSON in attributes, are read; no
content of a file is executed (no pickles).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latticear.data.contents import CONFIGURATIONS, Contents, contents_of, described
from latticear.data.decoding import all_tokens, check_numbers, decoder, spin_decoder, token_decoder
from latticear.data.format import decode_attributes, space_of
from latticear.data.hdf5 import opened
from latticear.data.origin import check_format, check_states
from latticear.samples import Samples, check_log_q
from latticear.spaces import ConfigurationSpace

__all__ = ["opened", "read_batches", "read_condition", "read_given", "read_metadata"]

MAX_CONDITION = 4096
"""Largest number of classes, or of numbers in a condition; a file with more is refused as a mistake."""


def read_given(path: str | os.PathLike[str], hamiltonian: ConfigurationSpace) -> tuple[Tensor, Tensor]:
    """Read configurations of which some sites are to be held fixed: arguments `given` and `where` of `model.sample`.

    Args:
        path: an HDF5 file with a dataset `/spins` `(n, H, W)` or `/tokens`, written by latticear or by another program,
            and a mask `/where`, `(n, H, W)` or `(H, W)` for all configurations: 1 at the sites to hold fixed, 0 at the
            others, where the values of the configurations are ignored.
        hamiltonian: the Hamiltonian of the system to be sampled. The configurations may come from another Hamiltonian
            with the same states.

    Returns:
        Tokens `(n, H, W)`, smallest unsigned type, and a bool mask of that shape.

    Raises:
        ValueError: if the file is damaged or not HDF5, if it lacks one of the datasets, or if a value at a site to hold
            fixed is not a spin.
        OSError: if the file does not exist, or another process is writing it.
    """
    path = Path(path)
    with contents_of(path, hamiltonian.size) as contents:
        if contents.kind != "HDF5":
            raise ValueError(
                f"{path} is a {contents.kind} file, which cannot hold a mask /where: write HDF5 with /spins and /where"
            )
        name = next((name for name in CONFIGURATIONS if name in contents.arrays), None)
        if name is None:
            raise ValueError(f"{path} must have a dataset /spins (n, H, W), it has {sorted(contents.arrays)}")
        dataset = contents.arrays[name]
        check_numbers(str(path), dataset, hamiltonian)
        where = np.broadcast_to(_mask(path, contents, dataset.shape), dataset.shape)
        values = dataset[()]
        values[~where] = values[where][0]
        if name == "tokens":
            check_states(path, contents.arrays.get("states"), hamiltonian)
        tokens = all_tokens(str(path), values, hamiltonian, decoder(name == "tokens", hamiltonian))
        return tokens, torch.from_numpy(where.copy())


def read_condition(path: str | os.PathLike[str], dataset: str | None = None) -> np.ndarray | None:
    """Read `/condition` of an HDF5 or `.npz` file: the condition of each configuration.

    Args:
        path: the file.
        dataset: name of the array of configurations, if it is not `/spins` or `/tokens`; conditions are beside it.

    Returns:
        Labels int64 `(n,)` if the array is a column of integers, (n,) or (n, 1); numbers float64 `(n, k)` if it is
        anything else; None if the file has no `/condition`, as a `.npy` file never has. `labels.encoded` turns the
        array into the condition that a model takes.

    Raises:
        ValueError: if the file is damaged, if the array does not have one finite row for each configuration, or if a
            label is negative or greater than 4095.
        OSError: if the file does not exist, or another process is writing it.
    """
    path = Path(path)
    with contents_of(path) as contents:
        if not any(name.split("/")[-1] == "condition" for name in (*contents.arrays, *contents.groups)):
            return None
        name = contents.chosen(dataset)
        stored, n = contents.beside(name, "condition"), len(contents.arrays[name])
        shape = stored.shape if stored is not None and stored.dtype.kind in "biuf" else ()
        fits = len(shape) in (1, 2) and shape[0] == n and 0 < math.prod(shape[1:]) <= MAX_CONDITION
        if stored is None or not fits:
            raise ValueError(
                f"{path}: /condition must hold a label or up to {MAX_CONDITION} numbers for each of the {n} "
                f"configurations, got {shape or stored}"
            )
        values = stored[()].reshape(n, -1)
    if values.dtype.kind in "iu" and values.shape[1] == 1:
        return _labels(path, values[:, 0])
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(1))[0])
        raise ValueError(f"{path}: /condition must be finite, got {values[row].tolist()} in row {row}")
    return values


def _labels(path: Path, values: np.ndarray) -> np.ndarray:
    wrong = values[(values < 0) | (values >= MAX_CONDITION)]
    if wrong.size:
        raise ValueError(f"{path}: labels in /condition must be 0, 1, ... up to {MAX_CONDITION - 1}, got {wrong[0]}")
    return values.astype(np.int64)


def read_batches(path: str | os.PathLike[str], batch_size: int) -> Iterator[Samples]:
    """Stream the samples of a file that latticear wrote, `batch_size` at a time, in the order of the file.

    Raises:
        ValueError: if latticear did not write the file, if a number in /log_q is not the logarithm of a probability, or
            if the file is damaged (what is wrong with the data is raised when the iterator reaches it).
        OSError: if the file does not exist, or another process is writing it.
    """
    path = Path(path)
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
    with opened(path) as h5:
        check_format(path, decode_attributes(h5.attrs))
    return _batches(path, batch_size)


def read_metadata(path: str | os.PathLike[str], dataset: str | None = None) -> dict[str, Any]:
    """A description of a file of configurations, as JSON values.

    Args:
        path: the file.
        dataset: name of the array of configurations, if it is not `/spins` or `/tokens`.

    Returns:
        A dictionary with `n_samples`; `shape`, that of one configuration; `datasets`, a dictionary name ->
        `{"shape", "dtype"}`; and `attributes`, those of the file.

    Raises:
        ValueError: if the file is damaged or of an unknown format, or holds no configurations.
        OSError: if the file does not exist, or another process is writing it.
    """
    found = described(Path(path), dataset)
    if "problem" in found:
        raise ValueError(found["problem"])
    return found


def _mask(path: Path, contents: Contents, shape: tuple[int, ...]) -> np.ndarray:
    """The dataset `/where` as bool, of the shape of one configuration or of all configurations together."""
    mask = contents.arrays.get("where")
    if mask is None:
        raise ValueError(
            f"{path} has no dataset /where, 1 at the sites to hold fixed and 0 elsewhere; add a mask of shape "
            f"{shape[1:]}, or {shape} for one each: with h5py.File({str(path)!r}, 'r+') as h5: h5['where'] = mask"
        )
    if mask.dtype.kind not in "biuf" or mask.shape not in (shape[-2:], shape[1:], shape):
        raise ValueError(
            f"{path}: /where must hold 0 or 1 in shape {shape[1:]} or {shape}, got {mask.dtype} {mask.shape}"
        )
    values = mask[()]
    wrong = values[(values != 0) & (values != 1)]
    if wrong.size:
        raise ValueError(f"{path}: /where must be 1 at the sites to hold fixed and 0 elsewhere, got {wrong[0]}")
    if not values.any():
        raise ValueError(f"{path}: /where is 0 everywhere: there is no site to hold fixed")
    return values.astype(bool)


def _batches(path: Path, batch_size: int) -> Iterator[Samples]:
    with opened(path) as h5:
        attributes = decode_attributes(h5.attrs)
        dataset = h5["spins" if "spins" in h5 else "tokens"]
        decode = token_decoder(len(h5["states"])) if "spins" not in h5 else spin_decoder(space_of(attributes))
        for start in range(0, len(dataset), batch_size):
            part = slice(start, start + batch_size)
            names = ("log_q", "condition", "log_q_given")
            columns = {name: torch.from_numpy(h5[name][part]) if name in h5 else None for name in names}
            for name in ("log_q", "log_q_given"):
                if (values := columns[name]) is not None:
                    check_log_q(f"{path}: /{name}", values, math.prod(dataset.shape[1:]), row="row", first=start)
            yield Samples(
                tokens=decode(dataset[part]),
                seed=int(attributes["seed"]),
                provenance=attributes.get("provenance", {}),
                where=torch.from_numpy(h5["where"][part]).bool() if "log_q_given" in h5 else None,
                log_q=columns["log_q"],
                condition=columns["condition"],
                log_q_given=columns["log_q_given"],
            )
