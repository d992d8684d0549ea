"""What all workflows need of a run."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from latticear.data.couplings import read_couplings
from latticear.estimation.estimates import UnreliableEstimateWarning
from latticear.hamiltonians import AbstractHamiltonian, EdwardsAndersonDisorder, TemperatureRange
from latticear.models import AbstractModel
from latticear.runs.config import (
    AnyConfig,
    RunConfig,
    build_hamiltonian,
    build_space,
    load_any,
    load_config,
    resolve_device,
)
from latticear.runs.directory import RunDirectory, load_model
from latticear.spaces import ConfigurationSpace

__all__ = [
    "Instance",
    "Report",
    "condition_at",
    "first_instance",
    "judged_temperature",
    "quiet",
    "served_instance",
    "single_system",
    "single_temperature",
    "step_of",
    "trained",
    "trained_any",
]

Report = Callable[[int, int, str], None]


def trained(path: Path, device: str) -> tuple[RunConfig, AbstractHamiltonian, AbstractModel]:
    """Config, Hamiltonian and network (newest checkpoint) of a run.

    Raises:
        ValueError: if the checkpoint is of another lattice than the config.
    """
    config = load_config(RunDirectory(path).config_path)
    hamiltonian = build_hamiltonian(config)
    return config, hamiltonian, _network(path, device, hamiltonian)


def trained_any(path: Path, device: str) -> tuple[AnyConfig, ConfigurationSpace, AbstractModel]:
    """Config, Hamiltonian or grid, and network of a run, as `trained`."""
    config = load_any(RunDirectory(path).config_path)
    space = build_space(config)
    return config, space, _network(path, device, space)


def _network(path: Path, device: str, space: ConfigurationSpace) -> AbstractModel:
    model = load_model(path, resolve_device(device))
    if (model.shape, model.n_tokens, model.n_components) != (space.shape, space.n_tokens, space.n_components):
        raise ValueError(
            f"the checkpoint of {path} is a model for shape {model.shape} with {model.n_tokens} tokens, its run.toml "
            f"is for {space.shape} with {space.n_tokens}"
        )
    return model


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The table says what is unreliable; a Python warning beside it would say it twice."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreliableEstimateWarning)
        yield


def step_of(path: Path) -> str | None:
    latest = RunDirectory(path).latest()
    return latest.name if latest else None


def judged_temperature(config: RunConfig) -> float:
    """The temperature of a run, or the middle of its range."""
    return config.served.middle if isinstance(config.served, TemperatureRange) else config.served


def condition_at(config: RunConfig, temperature: float) -> torch.Tensor | None:
    """What the network of a run is conditioned on at a temperature; None for a run that serves one alone."""
    return torch.tensor([temperature], dtype=torch.float64) if isinstance(config.served, TemperatureRange) else None


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


def served_instance(
    hamiltonian: AbstractHamiltonian, model: AbstractModel, instance: Instance | None
) -> tuple[AbstractHamiltonian, torch.Tensor | None]:
    """The system to sample with the network of a run, and for an instance of a disorder the condition that tells it.

    Raises:
        ValueError: for a disorder without an instance, an instance without a disorder, or a file that holds none.
        OSError: if there is no such file.
    """
    if not isinstance(hamiltonian, EdwardsAndersonDisorder):
        if instance is not None:
            raise ValueError(f"this run serves one system, {hamiltonian.name}, and no other: leave --instance out")
        return hamiltonian, None
    if instance is None:
        raise ValueError("this run serves any couplings: say which with --instance FILE, HDF5 with /couplings")
    return _told(hamiltonian, model, read_couplings(instance.path, hamiltonian.shape, instance.number))


def first_instance(
    hamiltonian: AbstractHamiltonian, model: AbstractModel
) -> tuple[AbstractHamiltonian, torch.Tensor | None]:
    """The system by which a run is judged and shown, as `served_instance`: the first instance of a disorder."""
    if not isinstance(hamiltonian, EdwardsAndersonDisorder):
        return hamiltonian, None
    return _told(hamiltonian, model, hamiltonian.draw(1)[0])


def _told(
    hamiltonian: EdwardsAndersonDisorder, model: AbstractModel, couplings: torch.Tensor
) -> tuple[AbstractHamiltonian, torch.Tensor]:
    return hamiltonian.instance(couplings), model.condition_of(maps=couplings[None])[0]


def single_system(config: RunConfig) -> None:
    """Refuse what is not one system.

    Raises:
        ValueError: if the config has a disorder.
    """
    if config.hamiltonian["name"] == EdwardsAndersonDisorder.name:
        raise ValueError(f"one system is needed here, got {EdwardsAndersonDisorder.name}, which has any couplings")


def single_temperature(config: RunConfig) -> float:
    """The temperature, of what needs one.

    Raises:
        ValueError: if the config has a range.
    """
    if isinstance(config.served, TemperatureRange):
        raise ValueError(f"one temperature is needed here, got the range {config.served}")
    return config.served
