"""The loss function of each training step."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from latticear.models import AbstractModel
from latticear.models.dropout import dropout_of
from latticear.processes import ALONE, Processes
from latticear.random_numbers import generator, own_random_state
from latticear.targets import AbstractTarget
from latticear.training.batches import Batches
from latticear.training.dataset import Dataset
from latticear.training.drawn import drawn_data, heated
from latticear.training.objectives import Evaluated, Metrics, batch_metrics, evaluated, forward_kl, reverse_kl
from latticear.training.options import TrainingOptions

__all__ = ["Objective"]


class Objective:
    """The loss of each training step and its metrics: a function of the weights and of (seed, step).

    Of several processes, each computes the loss of its own rows of the batch; the losses add up to that of the batch.

    Args:
        model: the model that is trained.
        target: the target that the model is trained for.
        options: the training options.
        seed: seed of all random draws.
        data: tokens of the configurations to maximise the likelihood of; None to draw them by Monte Carlo when they
            are first needed.
        condition: `(n, k)`, the condition of each configuration of the data; or None.
        processes: the processes that share each batch.

    Raises:
        ValueError: if the target needs groups of samples and the batch size is not a multiple of their size.
    """

    def __init__(
        self,
        model: AbstractModel,
        target: AbstractTarget,
        options: TrainingOptions,
        seed: int,
        data: Tensor | None,
        condition: Tensor | None,
        processes: Processes = ALONE,
    ) -> None:
        self._share, self._processes = processes.share(options.batch_size), processes
        self._model, self._target, self._options, self._seed = model, target, options, seed
        self._data, self._condition = data, condition
        self._network: Any = torch.compile(model) if options.compile else model
        self._batches = Batches(model, target, self._share, seed)

    def prepare(self, step: int) -> None:
        """Build the data set if this step or a later one needs it, so that its errors are raised before training.

        Raises:
            ValueError: for data that do not fit the target.
        """
        if step < self._options.n_forward or self._options.n_data:
            _ = self._dataset
        if self._options.n_heated:
            _ = self._heated

    def __call__(self, step: int) -> tuple[Tensor, Metrics]:
        """The loss in nats per site and the metrics of a training step; steps count from 0."""
        forward = step < self._options.n_forward
        if self._model.training != forward:
            self._model.train(forward)  # no dropout in reverse-kl: log_q must be that of the network that drew
        evaluates = self._options.is_evaluated(step)
        loss, metrics = self._likelihood(step, evaluates) if forward else self._free_energy(step)
        if evaluates and self._target.has_energy and (forward or self._target.in_groups):
            values = evaluated(self._batches.shown(step), self._target, self._share)
            metrics |= batch_metrics(values, self._shown_temperature, self._target.n_sites)
        return loss, metrics

    def _likelihood(self, step: int, evaluates: bool) -> tuple[Tensor, Metrics]:
        noise = int(generator(self._seed, "dropout", step).integers(2**63))
        with own_random_state(noise), dropout_of(self._model, noise, self._share.rows.start):
            batch = self._dataset.draw(self._share.n, step, self._share.rows)
            loss, metrics = forward_kl(self._network, *batch, self._share)
        if evaluates:
            metrics |= self._dataset.evaluate(self._model, self._share.n, self._processes)
        return loss, metrics

    def _free_energy(self, step: int) -> tuple[Tensor, Metrics]:
        n_data, n_heated, fraction = self._options.n_data, self._options.n_heated, self._options.beta_share(step)
        data = self._dataset.draw(n_data - n_heated, step).tokens if n_data else None
        if data is not None and n_heated:
            data = torch.cat([data, self._heated.draw(n_heated, step).tokens])
        samples, beta = self._batches.draw(step, data)
        values = evaluated(samples, self._target, self._share)
        loss, metrics = reverse_kl(
            self._network,
            self._target,
            fraction * beta,
            samples,
            n_groups=self._batches.n_groups,
            n_data=n_data,
            n_heated=n_heated,
            share=self._share,
            known=values,
        )
        metrics |= {"beta": fraction * float(beta.mean())}
        if not self._target.in_groups:
            drawn = Evaluated(*(value[: self._share.n - n_data] for value in values))
            metrics |= batch_metrics(drawn, self._shown_temperature, self._target.n_sites)
        if n_heated and step + 1 == self._options.steps:
            # the data of a single batch are too few for the last word
            metrics |= self._dataset.forward_ess(self._model, self._target, float(beta), self._share.n, self._processes)
        return loss, metrics

    @cached_property
    def _dataset(self) -> Dataset:
        options, device, data = self._options, self._model.rank.device, self._data
        if data is None:
            data = drawn_data(self._target, options, self._seed)
        condition = self._condition
        if condition is not None:
            condition = condition.to(next(self._model.parameters()).dtype)
        elif self._target.only is not None and (own := self._target.single.condition) is not None:
            condition = own.expand(len(data), -1)
        return Dataset(data, self._target.space, options.held_out, options.augment, self._seed, device, condition)

    @cached_property
    def _heated(self) -> Dataset:
        setting, options, device = self._target.single, self._options, self._model.rank.device
        tokens = heated(setting.system, setting.temperature, self._dataset.train, self._seed)
        return Dataset(tokens, setting.system, 0.0, options.augment, self._seed, device, purpose="heated")

    @property
    def _shown_temperature(self) -> float:
        temperature = self._target.temperature
        assert temperature is not None
        return temperature
