"""The state of a training, from which it can be resumed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from latticear.models import AbstractModel

__all__ = ["MovingAverage", "ResumeError", "TrainingState"]


class ResumeError(ValueError):
    """A state is not one of the training that is to be resumed from it."""


class MovingAverage(AveragedModel):
    """An exponential moving average of the weights that starts with a short memory.

    The decay grows as (1 + k) / (10 + k) with the step k up to its final value, so that the poor weights of the first
    steps are soon forgotten; with a constant decay they would stay in the average for long.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model)
        self._decay = decay

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Update all tensors in one call: for many small tensors the calls take most of the time."""
        k = int(self.n_averaged)
        share = 1 - min(self._decay, (1 + k) / (10 + k)) if k else 1.0
        torch._foreach_lerp_(list(self.module.parameters()), list(model.parameters()), share)
        torch._foreach_copy_(list(self.module.buffers()), list(model.buffers()))
        self.n_averaged += 1


@dataclass
class TrainingState:
    """Everything that is needed to resume a training.

    Attributes:
        model: the network, with the weights after the last completed step.
        optimizer: Adam, with its moments.
        average: exponential moving average of the weights, or None.
        step: number of completed steps.
        of: what the training is: its seed, options and target, by name; a state is resumed by the same one only.
        last: once the training has ended, the weights after the last completed step; None before, while the model has
            them.
    """

    model: AbstractModel
    optimizer: torch.optim.Optimizer
    average: MovingAverage | None
    step: int = 0
    of: dict[str, Any] = field(default_factory=dict)
    last: dict[str, Tensor] | None = None

    def end(self) -> None:
        """Give the model the weights to sample with; the state keeps those from which training can be resumed."""
        self.last = {name: weight.clone() for name, weight in self.model.state_dict().items()}
        self.model.load_state_dict(self.weights())

    def weights(self) -> dict[str, Tensor]:
        """The weights to sample with: the averaged weights if there is an average, else those of the model."""
        source = self.model if self.average is None else self.average.module
        return source.state_dict()

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "model": self.model.state_dict() if self.last is None else self.last,
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "of": self.of,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned, in this version or an earlier one, which did not store `of`.

        Raises:
            ResumeError: for the state of a training with another network, seed, option or target.
        """
        try:
            self._check(state)
            self.optimizer.load_state_dict(state["optimizer"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
            self.model.load_state_dict(state["model"])
            self.step = int(state["step"])
        except (RuntimeError, LookupError, TypeError, AttributeError) as error:
            raise ResumeError(f"it is not the state of a training of this network: {error}") from error

    def _check(self, state: dict[str, Any]) -> None:
        stored = state.get("of", {})
        for key, here in self.of.items():
            if key in stored and stored[key] != here:
                raise ResumeError(f"{key} is {stored[key]!r} there, {here!r} here")
        mine, theirs = (
            {name: tuple(w.shape) for name, w in d.items()} for d in (self.model.state_dict(), state["model"])
        )
        for name in {**mine, **theirs}:
            if mine.get(name) != theirs.get(name):
                raise ResumeError(f"{name} has shape {theirs.get(name)} there, {mine.get(name)} here")
