"""Batches of samples that a model draws in each step of its own training."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from latticear.models import AbstractModel
from latticear.processes import Share
from latticear.random_numbers import TRAINING
from latticear.samples import Samples
from latticear.targets import GROUP, AbstractTarget

__all__ = ["Batches", "Drawn"]


class Drawn(NamedTuple):
    """A batch of samples with the inverse temperatures that they are drawn for.

    Attributes:
        samples: the samples of this process; samples that share a condition follow one another.
        beta: inverse temperature, one number for all samples or `(B,)` for the B samples of all processes.
    """

    samples: Samples
    beta: Tensor


class Batches:
    """Draws the batch of samples of each training step; a batch is a function of the weights and of (seed, step).

    Of several processes, each draws its own rows of the batch.

    Args:
        model: the model that is trained, which draws the samples.
        target: the target that the model is trained for.
        share: number of samples in a batch, and those that this process draws.
        seed: seed of the training.

    Raises:
        ValueError: if the target needs groups of samples and n is not a multiple of their size.
    """

    def __init__(self, model: AbstractModel, target: AbstractTarget, share: Share, seed: int) -> None:
        self._model, self._target, self._share, self._seed = model, target, share, seed
        n = share.n
        if target.in_groups and n % GROUP:
            raise ValueError(
                f"batch_size must be a multiple of {GROUP} for {target.noun} (groups that share a condition), got {n}"
            )
        self.n_groups = n // GROUP if target.in_groups else 1

    def draw(self, step: int, data: Tensor | None = None) -> Drawn:
        """The batch of a training step.

        Args:
            step: number of the training step, from 0.
            data: tokens `(m, H, W)` of configurations that replace the last m samples; log_q is the log-probability
                of the model for them too. Only for a target without groups.
        """
        values, beta = self._target.draw_conditions(self._model, self.n_groups, step, self._seed)
        of_all = None if values is None else values.repeat_interleave(self._share.n // self.n_groups, 0)
        condition = None if of_all is None else of_all[self._share.rows]
        if data is not None:
            return Drawn(self._with(data, step, condition), beta)
        return Drawn(self._samples(step, condition), beta.repeat_interleave(GROUP) if beta.ndim else beta)

    def shown(self, step: int) -> Samples:
        """A batch at the setting at which training progress is evaluated."""
        return self._samples(step, self._target.shown(self._model).condition)

    def _with(self, data: Tensor, step: int, condition: Tensor | None) -> Samples:
        """Samples and data with log_q from one pass of the network: data are samples with all sites held fixed."""
        n, rows = self._share.n, self._share.rows
        given = torch.zeros(n, *data.shape[1:], dtype=data.dtype, device=data.device)
        given[n - len(data) :] = data
        where = torch.zeros_like(given, dtype=torch.bool)
        where[n - len(data) :] = True
        samples = self._samples(step, condition, given[rows], where[rows])
        assert samples.log_q is not None
        assert samples.log_q_given is not None
        return Samples(samples.tokens, samples.log_q + samples.log_q_given, self._seed, condition=samples.condition)

    def _samples(
        self, step: int, condition: Tensor | None, given: Tensor | None = None, where: Tensor | None = None
    ) -> Samples:
        batches = self._model.sample_batches(
            len(self._share),
            seed=self._seed,
            start=step * self._share.n + self._share.rows.start,
            stream=TRAINING,
            condition=condition,
            given=given,
            where=where,
        )
        return Samples.cat(list(batches))
