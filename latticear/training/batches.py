"""The samples that a model is trained on: drawn anew from itself in every step."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from latticear.models import AbstractModel
from latticear.random_numbers import TRAINING
from latticear.samples import Samples
from latticear.targets import GROUP, AbstractTarget

__all__ = ["Batches", "Drawn"]


class Drawn(NamedTuple):
    """Samples of a model, and what they are for.

    Attributes:
        samples: in groups, one after the other.
        beta: inverse temperature, one or `(B,)`.
    """

    samples: Samples
    beta: Tensor


class Batches:
    """Samples of a model for the steps of its training, functions of (seed, step).

    Args:
        model: that is trained.
        target: that it is trained for.
        n: samples in a batch.
        seed: of the training.

    Raises:
        ValueError: if the batch cannot be divided into the groups of the target.
    """

    def __init__(self, model: AbstractModel, target: AbstractTarget, n: int, seed: int) -> None:
        self._model, self._target, self._n, self._seed = model, target, n, seed
        if target.in_groups and n % GROUP:
            raise ValueError(
                f"batch_size must be a multiple of {GROUP} for {target.noun}, in groups at one each, got {n}"
            )
        self.n_groups = n // GROUP if target.in_groups else 1

    def draw(self, step: int, data: Tensor | None = None) -> Drawn:
        """A batch.

        Args:
            step: of the training.
            data: tokens `(n, H, W)` that take the place of the last n samples; their log_q is that of the model. Only
                where the target has no groups.
        """
        values, beta = self._target.draw_conditions(self._model, self.n_groups, step, self._seed)
        if data is not None:
            return Drawn(self._with(data, step), beta)
        condition = None if values is None else values.repeat_interleave(GROUP, 0)
        return Drawn(self._samples(step, condition), beta.repeat_interleave(GROUP) if beta.ndim else beta)

    def shown(self, step: int) -> Samples:
        """A batch of the setting that training is watched at."""
        return self._samples(step, self._target.shown(self._model).condition)

    def _with(self, data: Tensor, step: int) -> Samples:
        """Samples and data weighed in one pass: the data are samples with all sites held fixed."""
        given = torch.zeros(self._n, *data.shape[1:], dtype=data.dtype, device=data.device)
        given[self._n - len(data) :] = data
        where = torch.zeros_like(given, dtype=torch.bool)
        where[self._n - len(data) :] = True
        samples = self._samples(step, None, given, where)
        assert samples.log_q is not None
        assert samples.log_q_given is not None
        return Samples(samples.tokens, samples.log_q + samples.log_q_given, self._seed)

    def _samples(
        self, step: int, condition: Tensor | None, given: Tensor | None = None, where: Tensor | None = None
    ) -> Samples:
        batches = self._model.sample_batches(
            self._n,
            seed=self._seed,
            start=step * self._n,
            stream=TRAINING,
            condition=condition,
            given=given,
            where=where,
        )
        return Samples.cat(list(batches))
