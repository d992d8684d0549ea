"""What a model is trained for: a temperature, or all of a range."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from latticear.hamiltonians import TemperatureRange
from latticear.models import AbstractModel
from latticear.philox import TRAINING
from latticear.samples import Samples

__all__ = ["Targets"]

GROUP = 16
"""Configurations of a group that shares a temperature: a baseline of fewer would be noise."""


class Targets:
    """The temperatures that a model is trained for, and samples at them."""

    def __init__(
        self,
        model: AbstractModel,
        temperature: float | TemperatureRange,
        batch_size: int,
        seed: int,
    ) -> None:
        self.model, self.temperature, self.n, self.seed = model, temperature, batch_size, seed
        self.n_groups = 1
        self.judged = temperature.middle if isinstance(temperature, TemperatureRange) else temperature
        if isinstance(temperature, TemperatureRange):
            if batch_size % GROUP:
                raise ValueError(
                    f"batch_size must be a multiple of {GROUP} for a range of temperatures, in groups at one each, got "
                    f"{batch_size}"
                )
            self.n_groups = batch_size // GROUP
            low, high = (torch.tensor([t], device=model.rank.device) for t in temperature)
            model.set_condition_range(low, high)

    def draw(self, step: int, data: Tensor | None = None) -> tuple[Samples, Tensor]:
        """A batch, and its inverse temperatures, one or `(B,)`.

        Args:
            step: of the training.
            data: tokens `(n, H, W)` that take the place of the last n samples; their log_q is that of the model. One
                temperature only.
        """
        if not isinstance(self.temperature, TemperatureRange):
            samples = self._samples(step) if data is None else self._with(data, step)
            return samples, torch.tensor(1 / self.temperature, dtype=torch.float64)
        rng = np.random.default_rng([self.seed, TRAINING, step])
        share = (np.arange(self.n_groups) + rng.random(self.n_groups)) / self.n_groups  # one in each part of the range
        low, high = self.temperature
        temperatures = torch.from_numpy(np.repeat(low + (high - low) * share, self.n // self.n_groups))
        temperatures = temperatures.to(self.model.rank.device)
        return self._samples(step, temperatures[:, None]), 1 / temperatures

    def draw_judged(self, step: int) -> Samples:
        """A batch at the temperature that metrics are given for: the one there is, or the middle of the range."""
        if not isinstance(self.temperature, TemperatureRange):
            return self._samples(step)
        condition = torch.tensor([self.judged], dtype=torch.float64, device=self.model.rank.device)
        return self._samples(step, condition)

    def _with(self, data: Tensor, step: int) -> Samples:
        """Samples and data weighed in one pass: the data are samples with all sites held fixed."""
        given = torch.zeros(self.n, *data.shape[1:], dtype=data.dtype, device=data.device)
        given[self.n - len(data) :] = data
        where = torch.zeros_like(given, dtype=torch.bool)
        where[self.n - len(data) :] = True
        batches = self.model.sample_batches(
            self.n, seed=self.seed, start=step * self.n, stream=TRAINING, given=given, where=where
        )
        samples = Samples.cat(list(batches))
        assert samples.log_q is not None
        assert samples.log_q_given is not None
        return Samples(samples.tokens, samples.log_q + samples.log_q_given, self.seed)

    def _samples(self, step: int, condition: Tensor | None = None) -> Samples:
        start = step * self.n
        batches = self.model.sample_batches(self.n, seed=self.seed, start=start, stream=TRAINING, condition=condition)
        return Samples.cat(list(batches))
