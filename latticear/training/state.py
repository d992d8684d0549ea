"""What a resumed run needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from latticear.models import AbstractModel

__all__ = ["MovingAverage", "TrainingState"]


class MovingAverage(AveragedModel):
    """An exponential average that forgets the first, bad weights: a constant decay would keep them long."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model)
        self._decay = decay

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """All tensors in one call, which for many small ones is most of the work."""
        k = int(self.n_averaged)
        share = 1 - min(self._decay, (1 + k) / (10 + k)) if k else 1.0
        torch._foreach_lerp_(list(self.module.parameters()), list(model.parameters()), share)
        torch._foreach_copy_(list(self.module.buffers()), list(model.buffers()))
        self.n_averaged += 1


@dataclass
class TrainingState:
    """Everything that a resumed run needs.

    Attributes:
        model: the network that is trained, with the weights of the last step.
        optimizer: Adam and its moments.
        average: exponential moving average of the weights, or None.
        step: completed steps.
    """

    model: AbstractModel
    optimizer: torch.optim.Optimizer
    average: MovingAverage | None
    step: int = 0

    def weights(self) -> dict[str, Tensor]:
        """The weights to sample with: the averaged ones where there is an average."""
        best = self.model if self.average is None else self.average.module
        return best.state_dict()

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.step = int(state["step"])
