"""A trained run, as the workflows take it from disk."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from latticear.estimation.estimates import UnreliableEstimateWarning
from latticear.models import AbstractModel
from latticear.runs.config import RunConfig, load_config, resolve_device
from latticear.runs.directory import RunDirectory, load_model
from latticear.targets import AbstractTarget

__all__ = ["Report", "Trained", "quiet", "step_of", "trained"]

Report = Callable[[int, int, str], None]
"""Called with what is done, how much there is to do, and a line about it."""


class Trained(NamedTuple):
    """A run with its network.

    Attributes:
        config: of the run.
        model: with the weights of the newest checkpoint.
    """

    config: RunConfig
    model: AbstractModel

    @property
    def target(self) -> AbstractTarget:
        """What it was trained for."""
        return self.config.target


def trained(path: Path, device: str) -> Trained:
    """Load a run.

    Raises:
        ValueError: if the checkpoint is of another lattice than the config.
    """
    config = load_config(RunDirectory(path).config_path)
    model, space = load_model(path, resolve_device(device)), config.target.space
    if (model.shape, model.n_tokens, model.n_components) != (space.shape, space.n_tokens, space.n_components):
        raise ValueError(
            f"the checkpoint of {path} is a model for shape {model.shape} with {model.n_tokens} tokens, its run.toml "
            f"is for {space.shape} with {space.n_tokens}"
        )
    return Trained(config, model)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The table says what is unreliable; a Python warning beside it would say it twice."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreliableEstimateWarning)
        yield


def step_of(path: Path) -> str | None:
    """Name of the newest checkpoint of a run, or None."""
    latest = RunDirectory(path).latest()
    return latest.name if latest else None
