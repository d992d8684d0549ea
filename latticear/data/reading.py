"""Reading configurations from HDF5 files of `latticear.data.writing`, and from HDF5 or NumPy files of other programs.

Only numbers, and JSON in attributes, are read; no content of a file is executed (no pickles).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from latticear.data.format import FORMAT_VERSION, decode_attributes, same_value, short_repr, space_of, spin_table
from latticear.data.journal import JournaledFile, journal_path
from latticear.samples import Samples, token_dtype
from latticear.spaces import ConfigurationSpace

__all__ = ["opened", "read_batches", "read_condition", "read_configurations", "read_given", "read_metadata"]

_BLOCK_SITES = 2**22
MAX_CONDITION = 4096
"""Largest number of classes, or of numbers in a condition; a file with more is refused as a mistake."""


def read_configurations(
    path: str | os.PathLike[str], hamiltonian: ConfigurationSpace, *, temperature: float | None = None
) -> Tensor:
    """Read all configurations of a file as tokens `(n, H, W)` or `(n, C, H, W)`, smallest unsigned type.

    Args:
        path: an HDF5 file with a dataset `/spins` `(n, H, W)` or `/tokens`, written by latticear or by another program;
            or a `.npy` file with an array of spins.
        hamiltonian: the Hamiltonian, or the `Grid`, of the configurations.
        temperature: compared with the temperature that the file states, if it states one.

    Raises:
        ValueError: if the file is damaged or neither HDF5 nor `.npy`, if it holds no configurations of this shape or a
            value that is not a spin, if it states another Hamiltonian or temperature, or if it has a dataset `/where`:
            configurations with sites held fixed, which `read_batches` reads, are not samples of the whole distribution.
        OSError: if the file does not exist, or another process is writing it.
    """
    path = Path(path)
    if _is_npy(path):
        return _all_tokens(path, _load_npy(path), hamiltonian, _spin_decoder(hamiltonian))
    with opened(path) as h5:
        _check_origin(path, decode_attributes(h5.attrs), hamiltonian, temperature)
        if "where" in h5 or "log_q_given" in h5:
            raise ValueError(
                f"{path} holds configurations with sites held fixed (/where), which are no samples of the whole "
                f"distribution; name a file without /where"
            )
        return _all_tokens(path, _configurations(path, h5), hamiltonian, _decoder(path, h5, hamiltonian))


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
    if _is_npy(path):
        raise ValueError(f"{path} is a .npy file, which cannot hold a mask /where: write HDF5 with /spins and /where")
    with opened(path) as h5:
        dataset = _configurations(path, h5)
        _check_numbers(path, dataset, hamiltonian)
        where = np.broadcast_to(_mask(path, h5, dataset.shape), dataset.shape)
        values = dataset[()]
        values[~where] = values[where][0]
        return _all_tokens(path, values, hamiltonian, _decoder(path, h5, hamiltonian)), torch.from_numpy(where.copy())


def read_condition(path: str | os.PathLike[str]) -> np.ndarray | None:
    """Read the dataset `/condition` of a file: the condition of each configuration.

    Returns:
        Labels int64 `(n,)` if the dataset is a column of integers, (n,) or (n, 1); numbers float64 `(n, k)` if it is
        anything else; None if the file has no `/condition`, as a `.npy` file never has. `labels.encoded` turns the
        array into the condition that a model takes.

    Raises:
        ValueError: if the file is damaged, if the dataset does not have one finite row for each configuration, or if a
            label is negative or greater than 4095.
        OSError: if the file does not exist, or another process is writing it.
    """
    path = Path(path)
    if _is_npy(path):
        return None
    with opened(path) as h5:
        dataset = h5.get("condition")
        if dataset is None:
            return None
        n = len(_configurations(path, h5))
        shape = dataset.shape if isinstance(dataset, h5py.Dataset) and dataset.dtype.kind in "biuf" else None
        if not shape or len(shape) > 2 or shape[0] != n or not 0 < math.prod(shape[1:]) <= MAX_CONDITION:
            raise ValueError(
                f"{path}: /condition must hold a label or up to {MAX_CONDITION} numbers for each of the {n} "
                f"configurations, got {shape or dataset}"
            )
        values = dataset[()].reshape(n, -1)
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
        ValueError: if latticear did not write the file, or if the file is damaged (damage in the data is raised when
            the iterator reaches it).
        OSError: if the file does not exist, or another process is writing it.
    """
    path = Path(path)
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
    with opened(path) as h5:
        _check_ours(path, h5)
    return _batches(path, batch_size)


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A description of a file of configurations, as JSON values.

    Returns:
        A dictionary with `n_samples`; `shape`, that of one configuration; `datasets`, a dictionary name ->
        `{"shape", "dtype"}`; and `attributes`, those of the file.

    Raises:
        ValueError: if the file is damaged, or neither HDF5 nor `.npy`, or holds no configurations.
        OSError: if the file does not exist, or another process is writing it.
    """
    path = Path(path)
    if _is_npy(path):
        spins = _load_npy(path)
        return _metadata(spins, {"spins": _described(spins)}, {})
    with opened(path) as h5:
        datasets = {name: _described(item) for name, item in h5.items() if isinstance(item, h5py.Dataset)}
        return _metadata(_configurations(path, h5), datasets, decode_attributes(h5.attrs))


def _metadata(data: h5py.Dataset | np.ndarray, datasets: dict[str, Any], attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        "n_samples": int(data.shape[0]),
        "shape": [int(extent) for extent in data.shape[1:]],
        "datasets": datasets,
        "attributes": attributes,
    }


def _described(data: h5py.Dataset | np.ndarray) -> dict[str, Any]:
    return {"shape": list(data.shape or ()), "dtype": str(data.dtype)}


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file at the last commit of its writer, even if that was killed; errors of HDF5 become one line."""
    with open(path, "rb"):
        pass  # for a missing file or a directory this raises the error of the operating system
    journal = journal_path(path)
    try:
        if journal.exists() and journal.stat().st_size:
            with _closing(JournaledFile(path, writable=False)) as file, h5py.File(file, "r") as h5:
                yield h5
        else:
            with h5py.File(path, "r") as h5:
                yield h5
    except BlockingIOError as error:
        message = f"{path} is being written; read it when its writer has closed it"
        raise BlockingIOError(error.errno, message) from error
    except (OSError, RuntimeError, KeyError) as error:
        kind = "is damaged" if h5py.is_hdf5(path) else "is neither HDF5 nor .npy"
        raise ValueError(f"{path} {kind}: {' '.join(str(error).split())}") from error


@contextmanager
def _closing(file: JournaledFile) -> Iterator[JournaledFile]:
    try:
        yield file
    finally:
        file.close()


def _is_npy(path: Path) -> bool:
    with open(path, "rb") as file:
        magic = file.read(6)
    if magic.startswith(b"PK\x03\x04"):
        raise ValueError(f"{path} is an archive (.npz?): save the one array of spins with numpy.save")
    return magic == b"\x93NUMPY"


def _load_npy(path: Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        raise ValueError(f"{path} is not a readable .npy file of numbers: {error}") from error
    return np.atleast_1d(array)


def _configurations(path: Path, h5: h5py.File) -> h5py.Dataset:
    for name in ("spins", "tokens"):
        if isinstance(h5.get(name), h5py.Dataset) and h5[name].shape:
            return h5[name]
    raise ValueError(f"{path} must have a dataset /spins (n, H, W), it has {sorted(h5)}")


def _mask(path: Path, h5: h5py.File, shape: tuple[int, ...]) -> np.ndarray:
    """The dataset `/where` as bool, of the shape of one configuration or of all configurations together."""
    mask = h5.get("where")
    if not isinstance(mask, h5py.Dataset):
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


def _check_ours(path: Path, h5: h5py.File) -> None:
    stored = h5.attrs.get("format_version")
    if stored is None:
        raise ValueError(f"{path} was not written by latticear; read_configurations reads any file with /spins")
    if stored > FORMAT_VERSION:
        raise ValueError(f"{path} has format {stored}, this latticear reads up to {FORMAT_VERSION}: update it")


def _check_origin(
    path: Path, stored: dict[str, Any], hamiltonian: ConfigurationSpace, temperature: float | None
) -> None:
    if hamiltonian.kind == "grid":
        # a grid accepts images and configurations of any Hamiltonian, as long as every value is one of its own
        declared = stored.get("grid")
        given = decode_attributes({"": hamiltonian.to_dict()})[""]
        if isinstance(declared, dict) and declared != given:
            raise ValueError(f"{path} holds configurations of another grid: {_differences(declared, given)}")
        return
    source = stored.get("hamiltonian")
    given = decode_attributes({"": hamiltonian.to_dict()})[""]
    if isinstance(source, dict) and source != given:
        raise ValueError(f"{path} holds configurations of another Hamiltonian: {_differences(source, given)}")
    t_stored = stored.get("temperature")
    if temperature is not None and t_stored is not None and not same_value(float(t_stored), temperature):
        raise ValueError(f"{path} holds configurations at temperature {t_stored}, not at the requested {temperature}")


def _differences(stored: dict[str, Any], given: dict[str, Any]) -> str:
    names = [name for name in {**given, **stored} if stored.get(name) != given.get(name)]
    return ", ".join(
        f"{name} {short_repr(stored.get(name))} instead of {short_repr(given.get(name))}" for name in names
    )


def _decoder(path: Path, h5: h5py.File, hamiltonian: ConfigurationSpace) -> Callable[[np.ndarray], Tensor]:
    """A function that turns an array of the file's configurations into tokens."""
    if _configurations(path, h5).name != "/tokens":
        return _spin_decoder(hamiltonian)
    if "states" in h5 and not np.array_equal(h5["states"][()], hamiltonian.states.cpu()):
        raise ValueError(
            f"{path} has the states {h5['states'][()].tolist()}, "
            f"{type(hamiltonian).__name__} has {hamiltonian.states.tolist()}"
        )
    return _token_decoder(hamiltonian.n_tokens)


def _spin_decoder(hamiltonian: ConfigurationSpace) -> Callable[[np.ndarray], Tensor]:
    """A function from spins to tokens: a table for int8, else `hamiltonian.tokens`, whose error names a bad value."""
    spins = spin_table(hamiltonian)
    tokens_of = np.zeros(256, dtype=np.uint8)
    if spins is not None:
        tokens_of[spins.view(np.uint8)] = np.arange(len(spins))

    def decode(block: np.ndarray) -> Tensor:
        if spins is not None and block.dtype == np.int8:
            tokens = tokens_of[block.view(np.uint8)]
            if np.array_equal(spins[tokens], block):
                return torch.from_numpy(tokens)
        return hamiltonian.tokens(torch.from_numpy(np.array(block, dtype=np.float64)))

    return decode


def _token_decoder(n_tokens: int) -> Callable[[np.ndarray], Tensor]:
    def decode(block: np.ndarray) -> Tensor:
        if block.size and not (block.min() >= 0 and block.max() < n_tokens):
            raise ValueError(f"tokens must lie in 0..{n_tokens - 1}, got {block.min()}..{block.max()}")
        if block.dtype.kind == "f" and not np.array_equal(block, np.trunc(block)):
            raise ValueError(f"tokens must be integers, got {block[block != np.trunc(block)][0]}")
        return torch.from_numpy(block.astype(np.int32)).to(token_dtype(n_tokens))

    return decode


def _check_numbers(path: Path, data: h5py.Dataset | np.ndarray, hamiltonian: ConfigurationSpace) -> None:
    if data.dtype.kind not in "iuf" or data.shape[1:] != hamiltonian.size:
        expected = ", ".join(map(str, hamiltonian.size))
        raise ValueError(f"{path} must hold numbers of shape (n, {expected}), got {data.dtype} {data.shape}")
    if data.shape[0] == 0:
        raise ValueError(f"{path} holds no configuration")


def _all_tokens(
    path: Path,
    data: h5py.Dataset | np.ndarray,
    hamiltonian: ConfigurationSpace,
    decode: Callable[[np.ndarray], Tensor],
) -> Tensor:
    """Decode all configurations in blocks: as float64 at once, a file would take eight times its size in memory."""
    _check_numbers(path, data, hamiltonian)
    n = data.shape[0]
    try:
        tokens = torch.empty(data.shape, dtype=token_dtype(hamiltonian.n_tokens))
    except RuntimeError as error:
        raise ValueError(f"{path} holds {n} configurations, which do not fit into memory") from error
    step = max(1, _BLOCK_SITES // math.prod(hamiltonian.size))
    for start in range(0, n, step):
        try:
            tokens[start : start + step] = decode(np.ascontiguousarray(data[start : start + step]))
        except ValueError as error:
            raise ValueError(f"{path}, configurations from {start}: {error}") from error
    return tokens


def _batches(path: Path, batch_size: int) -> Iterator[Samples]:
    with opened(path) as h5:
        attributes = decode_attributes(h5.attrs)
        dataset = _configurations(path, h5)
        decode = _token_decoder(len(h5["states"])) if dataset.name == "/tokens" else _spin_decoder(space_of(attributes))
        for start in range(0, len(dataset), batch_size):
            part = slice(start, start + batch_size)
            names = ("log_q", "condition", "log_q_given")
            columns = {name: torch.from_numpy(h5[name][part]) if name in h5 else None for name in names}
            yield Samples(
                tokens=decode(dataset[part]),
                seed=int(attributes["seed"]),
                provenance=attributes.get("provenance", {}),
                where=torch.from_numpy(h5["where"][part]).bool() if "log_q_given" in h5 else None,
                log_q=columns["log_q"],
                condition=columns["condition"],
                log_q_given=columns["log_q_given"],
            )
