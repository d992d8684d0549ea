"""What a model is trained for: a temperature, all of a range, or all samples of a disorder."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from latticear.hamiltonians import EdwardsAndersonDisorder, TemperatureRange
from latticear.models import AbstractModel
from latticear.random_numbers import TRAINING
from latticear.samples import Samples

__all__ = ["Targets"]

GROUP = 16
"""Configurations of a group that shares a condition: a baseline of fewer would be noise."""


class Targets:
    """What a model is trained for, and samples of it.

    One temperature; or groups of configurations, each at a temperature of a range, or with couplings of its own.
    """

    def __init__(
        self,
        model: AbstractModel,
        temperature: float | TemperatureRange,
        batch_size: int,
        seed: int,
        disorder: EdwardsAndersonDisorder | None = None,
    ) -> None:
        self.model, self.temperature, self.disorder = model, temperature, disorder
        self.n, self.seed, self.n_groups = batch_size, seed, 1
        self.judged = temperature.middle if isinstance(temperature, TemperatureRange) else temperature
        if self.in_groups:
            if batch_size % GROUP:
                what = "a range of temperatures" if isinstance(temperature, TemperatureRange) else "disorder"
                raise ValueError(
                    f"batch_size must be a multiple of {GROUP} for {what}, in groups at one each, got {batch_size}"
                )
            self.n_groups = batch_size // GROUP
        if isinstance(temperature, TemperatureRange):
            low, high = (torch.tensor([t], device=model.rank.device) for t in temperature)
            model.set_condition_range(low, high)

    @property
    def in_groups(self) -> bool:
        """Whether each step has groups of configurations with conditions of their own."""
        return isinstance(self.temperature, TemperatureRange) or self.disorder is not None

    def draw(self, step: int, data: Tensor | None = None) -> tuple[Samples, Tensor]:
        """A batch, and its inverse temperatures, one or `(B,)`.

        Args:
            step: of the training.
            data: tokens `(n, H, W)` that take the place of the last n samples; their log_q is that of the model. One
                temperature and one system only.
        """
        if isinstance(self.temperature, TemperatureRange):
            temperatures = self._temperatures(step, self.temperature)
            return self._samples(step, temperatures[:, None]), 1 / temperatures
        beta = torch.tensor(1 / self.temperature, dtype=torch.float64)
        if self.disorder is not None:
            couplings = self.disorder.draw(self.n_groups, step * self.n_groups, stream=TRAINING)
            return self._samples(step, self._condition(couplings).repeat_interleave(GROUP, 0)), beta
        return self._samples(step) if data is None else self._with(data, step), beta

    def draw_judged(self, step: int) -> Samples:
        """A batch of what metrics are given for: the temperature there is, or the middle of the range; one instance."""
        if isinstance(self.temperature, TemperatureRange):
            condition = torch.tensor([self.judged], dtype=torch.float64, device=self.model.rank.device)
            return self._samples(step, condition)
        if self.disorder is not None:
            return self._samples(step, self._condition(self.disorder.draw(1)))
        return self._samples(step)

    def _temperatures(self, step: int, served: TemperatureRange) -> Tensor:
        """Of each configuration, one in each part of the range."""
        rng = np.random.default_rng([self.seed, TRAINING, step])
        share = (np.arange(self.n_groups) + rng.random(self.n_groups)) / self.n_groups
        temperatures = torch.from_numpy(np.repeat(served.low + (served.high - served.low) * share, GROUP))
        return temperatures.to(self.model.rank.device)

    def _condition(self, couplings: Tensor) -> Tensor:
        return self.model.condition_of(maps=couplings).to(self.model.rank.device)

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
