"""Loads trained runs from disk, for the other workflows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from latticear.models import AbstractModel
from latticear.runs.config import RunConfig, resolve_device, stored_config
from latticear.runs.directory import RunDirectory, load_model
from latticear.targets import AbstractTarget

__all__ = ["Report", "Say", "Trained", "step_of", "trained"]

Report = Callable[[int, int, str], None]
"""A function that is called with the work done, the total work, and a line of text that describes the progress."""

Say = Callable[[str], None]
"""A function that is called with a line of text for the user."""


class Trained(NamedTuple):
    """A run with its network.

    Attributes:
        config: the config of the run.
        model: the network, with the weights of the newest checkpoint.
    """

    config: RunConfig
    model: AbstractModel

    @property
    def target(self) -> AbstractTarget:
        """The target that the network was trained for."""
        return self.config.target


def trained(path: Path, device: str) -> Trained:
    """Load a run and its network.

    Args:
        path: run directory.
        device: device of the network: auto, cpu or cuda.

    Raises:
        ValueError: if lattice or tokens of the checkpoint differ from those of the config.
    """
    config = stored_config(RunDirectory(path).config_path)
    model, space = load_model(path, resolve_device(device)), config.target.space
    if (model.shape, model.n_tokens, model.n_components) != (space.shape, space.n_tokens, space.n_components):
        raise ValueError(
            f"the checkpoint of {path} is a model for shape {model.shape} with {model.n_tokens} tokens, its run.toml "
            f"is for shape {space.shape} with {space.n_tokens}"
        )
    return Trained(config, model)


def step_of(path: Path) -> str | None:
    """Name of the newest checkpoint of a run; None if there is no checkpoint."""
    latest = RunDirectory(path).latest()
    return latest.name if latest else None
