"""One point of a scan: what it is, and where its run and its results are."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from latticear.data.couplings import Instance, read_couplings
from latticear.hamiltonians import AbstractDisorder, AbstractHamiltonian
from latticear.runs.config import RunConfig

__all__ = ["Point", "Shape", "digits", "record_of", "run_of", "size_name"]

Shape = tuple[int, int]

SEEDS = 2**32
"""Distance of the seeds of two sizes or temperatures whose instances have seeds of their own."""


class Point(NamedTuple):
    """One size and temperature of a scan, and one instance where it is over instances.

    Attributes:
        number: position of the size and temperature in the table.
        shape: (H, W).
        temperature: T, in units of the coupling.
        run: directory of the run whose network draws the samples; several points may share a network.
        config: config of that run.
        source: directory of the run that gives the initial weights; None for random initial weights.
        record: file with the results of the point; it exists if and only if the point is finished.
        instance: file and number of its couplings; None where the scan is of one system for each size.
    """

    number: int
    shape: Shape
    temperature: float
    run: Path
    config: RunConfig
    source: Path | None
    record: Path
    instance: Instance | None = None

    def __str__(self) -> str:
        of = "" if self.instance is None else f", instance {self.instance.number}"
        return f"{size_name(self.shape)} T = {self.temperature:g}{of}"

    @property
    def system(self) -> AbstractHamiltonian:
        """The Hamiltonian whose configurations are drawn."""
        space = self.config.target.space
        if self.instance is None or not isinstance(space, AbstractDisorder):
            return self.config.target.system
        path, number = self.instance
        return space.instance(read_couplings(path, space.shape, number, space.n_maps, lattice=space.lattice))

    @property
    def is_for_all(self) -> bool:
        """Whether the network of its run is for all instances."""
        return isinstance(self.config.target.space, AbstractDisorder)

    @property
    def seed(self) -> int:
        """The seed of its samples: another one for each point, so that errors are independent.

        The samples of instance K at the first size and temperature have the seed of the scan plus K.
        """
        if self.instance is None:
            return (self.config.seed + self.number) % 2**63
        own = self.instance.number if self.is_for_all else 0  # a config for one instance has it in its seed
        return (self.config.seed + own + SEEDS * self.number) % 2**63


def size_name(shape: Shape) -> str:
    """HxW, the name of a size in folders and tables."""
    return f"{shape[0]}x{shape[1]}"


def digits(temperature: float) -> str:
    """A temperature as text in the names of folders and files."""
    return f"{temperature:.12g}"


def run_of(out: Path, shape: Shape, temperature: float | None, instance: Instance | None = None) -> Path:
    """The directory of a run; without a temperature that of one network for all temperatures."""
    size = out / size_name(shape)
    own = size if instance is None else size / f"instance-{instance.number}"
    return own if temperature is None else own / f"T{digits(temperature)}"


def record_of(out: Path, shape: Shape, temperature: float, instance: Instance | None = None) -> Path:
    """The file with the results of a size and temperature, or with those of one instance."""
    whole = out / "points" / f"{size_name(shape)}-T{digits(temperature)}.json"
    return whole if instance is None else whole.with_suffix("") / f"instance-{instance.number}.json"
