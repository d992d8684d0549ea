"""Small files of configurations, shared by the tests of what writes and reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import torch
from torch import Tensor

from latticear.data.reading import read_metadata
from latticear.data.writing import SampleWriter
from latticear.hamiltonians import AbstractHamiltonian, Ising
from latticear.lattice import Lattice
from latticear.samples import Samples

ISING = Ising((4, 6), coupling=1.0, field=0.25)
SEED = 7
ATTRIBUTES = {
    "seed": SEED,
    "temperature": 2.5,
    "model": {"name": "pixelcnn", "width": 8},
    "provenance": {"host": "here"},
}


class ThreeHalves(AbstractHamiltonian):
    """Spins -0.5, 0.5, 1.5: states that are no integers."""

    name: ClassVar[str] = "three-halves"

    def __init__(self, shape: tuple[int, int]) -> None:
        self.lattice = Lattice(shape)

    @property
    def states(self) -> Tensor:
        return torch.tensor([-0.5, 0.5, 1.5], dtype=torch.float64)

    @property
    def bond_energies(self) -> Tensor:
        return -torch.outer(self.states, self.states).expand(len(self.bonds), 3, 3)

    @property
    def site_energies(self) -> Tensor:
        return torch.zeros(self.n_sites, 3, dtype=torch.float64)

    @property
    def parameters(self) -> dict[str, Any]:
        return {"shape": list(self.shape)}


def stream(n: int, start: int = 0, shape: tuple[int, ...] = ISING.shape, q: int = 2) -> Samples:
    """Samples start..n-1 of one fixed stream, whatever its pieces."""
    rng = np.random.default_rng(SEED)
    tokens = torch.from_numpy(rng.integers(q, size=(1000, *shape), dtype=np.uint8))
    log_q = torch.from_numpy(-np.abs(np.random.default_rng(SEED + 1).normal(size=1000)))
    return Samples(tokens, log_q, SEED)[start:n]


def write(path: Path, n: int, block: int = 100, **options: Any) -> None:
    """Continue (or begin) the stream in a file up to sample n."""
    options = {"attributes": ATTRIBUTES, **options}
    with SampleWriter(path, ISING, **options) as writer:
        for start in range(writer.n_written, n, block):
            samples = stream(min(n, start + block), start)
            writer.write(samples, ISING.token_energy(samples.tokens))


def give(path: Path, spins: Any, where: Any, name: str = "spins") -> Path:
    """A file as others write it: configurations, and the mask of the sites to hold fixed."""
    with h5py.File(path, "w") as h5:
        h5[name], h5["where"] = spins, where
    return path


def contents(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as h5:
        return {name: item[()] for name, item in h5.items()}


def assert_same_file(path: Path, other: Path) -> None:
    a, b = contents(path), contents(other)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert read_metadata(path) == read_metadata(other)
    assert list(path.parent.glob(f"*{path.name}*")) == [path]


def write_large(path: Path) -> None:
    """1000 configurations of 16x16, ten at a time."""
    system = Ising((16, 16))
    samples = stream(1000, shape=system.shape)
    with SampleWriter(path, system, attributes=ATTRIBUTES, append=True, commit_seconds=0) as writer:
        for start in range(writer.n_written, 1000, 10):
            block = samples[start : start + 10]
            writer.write(block, system.token_energy(block.tokens))
