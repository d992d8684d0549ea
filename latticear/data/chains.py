"""Files of Markov chains: their configurations, and what it takes to continue the chains bit for bit.

An HDF5 file of chains has, besides the datasets that `latticear.data.format` describes, the group /chains with

    /chains/state   uint8, the bytes of a safetensors file: the chains after one of their last measurements
    /chains/NAME    (sample, ...), further numbers of each configuration that estimates need: `records` of `Samples`
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar

import h5py
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from latticear.data.decoding import decoder
from latticear.data.writing import SampleWriter
from latticear.samples import Samples
from latticear.spaces import ConfigurationSpace

__all__ = ["ChainWriter"]

GROUP, STATE = "chains", "state"

STATE_CHUNK, RECORD_CHUNK = 2**16, 2**10
"""Bytes, and rows, of a chunk. The state is not compressed, so that its chunks keep their size and place."""


class ChainWriter(SampleWriter):
    """Write configurations of Markov chains, with their records and their state, so that they can be continued.

    Args:
        path, hamiltonian, options: as in `SampleWriter`.

    Raises:
        FileExistsError, OSError, ValueError: as `SampleWriter`.
    """

    beside: ClassVar[frozenset[str]] = frozenset({GROUP})

    def __init__(self, path: str | os.PathLike[str], hamiltonian: ConfigurationSpace, **options: Any) -> None:
        super().__init__(path, hamiltonian, **options)
        self._configurations = next(iter(self._columns))
        self._decode = decoder(self._configurations == "tokens", hamiltonian)

    def extend(self, measurement: Samples, energy: Tensor, first: int) -> None:
        """Append the configurations of a measurement that the file lacks; the others must be those of the file.

        Args:
            measurement: configurations of all chains.
            energy: their energies, `(n,)`.
            first: number of the first of them in the file, at most `n_written`.

        Raises:
            ValueError: if the file holds other configurations.
            OSError: if the disk is full or fails; the file is then closed at its last commit.
        """
        n, known = len(measurement), min(len(measurement), self.n_written - first)
        if not torch.equal(self.read(first, first + known).tokens, measurement.tokens[:known].cpu()):
            raise ValueError(
                f"{self.path} cannot be continued: its configurations from {first} are not those of these chains, "
                f"perhaps it was made by another version or on another device; name another file"
            )
        with self._all_or_nothing():
            for name, values in measurement.records.items():
                dataset = self._record(name, values)
                lacking = values[max(0, len(dataset) - first) :].cpu().numpy()
                dataset.resize(max(len(dataset), first + n), axis=0)
                dataset[first + n - len(lacking) : first + n] = lacking
        if known < n:
            self.write(measurement[known:], energy[known:])

    def read(self, first: int, stop: int) -> Samples:
        """The configurations `first` to `stop - 1` of the file, with their records."""
        tokens = self._decode(self._datasets[self._configurations][first:stop])
        records = {name: torch.from_numpy(dataset[first:stop]) for name, dataset in self._records().items()}
        return Samples(tokens, None, self._attributes["seed"], records=records)

    @property
    def state(self) -> dict[str, Tensor] | None:
        """The last state that was kept; None if there is none, or not all configurations before it.

        Raises:
            ValueError: if it is damaged.
        """
        group = self._group()
        if STATE not in group or any(len(dataset) < self.n_written for dataset in self._records().values()):
            return None
        try:
            return load(group[STATE][()].tobytes())
        except SafetensorError as error:
            raise ValueError(
                f"{self.path} cannot be continued: the state of its chains is damaged ({error})"
            ) from error

    def keep(self, state: Mapping[str, Tensor]) -> None:
        """Replace the state of the chains, which is committed together with the configurations."""
        content = np.frombuffer(save({name: values.cpu().contiguous() for name, values in state.items()}), np.uint8)
        with self._all_or_nothing():
            group = self._group()
            if STATE not in group:
                group.create_dataset(
                    STATE, shape=(0,), maxshape=(None,), dtype=np.uint8, chunks=(STATE_CHUNK,), fletcher32=True
                )
            group[STATE].resize(len(content), axis=0)
            group[STATE][:] = content

    def _check(self) -> None:
        super()._check()
        for dataset in self._records().values():
            dataset.resize(min(len(dataset), self.n_written), axis=0)

    def _group(self) -> h5py.Group:
        return self._h5.require_group(GROUP)

    def _records(self) -> dict[str, h5py.Dataset]:
        return {name: dataset for name, dataset in self._group().items() if name != STATE}

    def _record(self, name: str, values: Tensor) -> h5py.Dataset:
        """The dataset of a record, which is made for its first values."""
        group, shape = self._group(), tuple(values.shape[1:])
        if name in group:
            return group[name]
        options = {"chunks": (RECORD_CHUNK, *shape), "fletcher32": True}
        return group.create_dataset(name, (0, *shape), values.cpu().numpy().dtype, maxshape=(None, *shape), **options)
