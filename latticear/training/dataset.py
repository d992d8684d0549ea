"""The data set of maximum likelihood: batches for training, and a part that is held out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from latticear.models import AbstractModel
from latticear.processes import ALONE, Processes, Share
from latticear.random_numbers import generator
from latticear.spaces import ConfigurationSpace
from latticear.training.objectives import Energy, Metrics, ess_of_data

__all__ = ["Batch", "Dataset", "n_held_out"]

MOST_HELD = 10_000
"""Number of configurations of the held-out part, the first ones, on which a network is evaluated."""


class Batch(NamedTuple):
    """Configurations drawn at random from the training part of a data set.

    Attributes:
        tokens: `(n, H, W)` or `(n, C, H, W)`.
        condition: `(n, k)`, the condition of each configuration; None for data without conditions.
    """

    tokens: Tensor
    condition: Tensor | None


class Dataset:
    """A training part and a held-out part of a data set, with the symmetries of the Hamiltonian.

    Args:
        tokens: `(n, H, W)` or `(n, C, H, W)`, as `load_configurations` returns them.
        space: the Hamiltonian or grid of the configurations; a grid has no symmetries.
        held_out: fraction of the data, its last configurations, that is not trained on.
        augment: whether `draw` applies a random symmetry to each configuration.
        seed: seed of the random draws.
        device: device of the batches that `draw` returns.
        condition: `(n, k)`, the condition of each configuration; or None.
        purpose: the purpose of the generator of random draws, in `latticear.random_numbers`.

    Raises:
        ValueError: for conditions of a wrong shape, type or value, or too few configurations.
    """

    def __init__(
        self,
        tokens: Tensor,
        space: ConfigurationSpace,
        held_out: float,
        augment: bool,
        seed: int,
        device: torch.device,
        condition: Tensor | None = None,
        purpose: str = "training",
    ) -> None:
        n_train = len(tokens) - n_held_out(len(tokens), held_out)
        if n_train < 1:
            raise ValueError(f"data must hold at least 2 configurations, of which some are held out, got {len(tokens)}")
        # the end of a Monte Carlo series is the part least correlated with the rest
        self.train, self.held = tokens[:n_train], tokens[n_train:]
        self.condition = None if condition is None else _checked_condition(condition, len(tokens)).to(device)
        self.n_sites, self.seed, self.device = space.n_sites, seed, device
        self.q, self.purpose = space.n_tokens, purpose
        self.turn = space.symmetries if augment else None
        self.flip = augment and space.spin_flip

    def draw(self, n: int, step: int, part: slice = slice(None)) -> Batch:
        """Draw n configurations of the training part, with random symmetries applied; a function of (seed, step).

        `part` says which of them are returned; all random numbers are drawn, so that the others change nothing.
        """
        rng = generator(self.seed, self.purpose, step)
        rows = torch.from_numpy(rng.integers(len(self.train), size=n))[part]
        tokens = self.train[rows]
        if self.turn is not None:
            images = self.turn.draw(n, rng)[part]
            sites = tokens.flatten(-2)  # (n, N) or (n, C, N): the components of a site go together
            images = images.view(len(rows), *(1,) * (sites.ndim - 2), -1)
            tokens = sites.gather(-1, images.expand_as(sites)).view_as(tokens)
        if self.flip:
            flipped = torch.from_numpy(rng.integers(2, size=(n, *(1,) * (tokens.ndim - 1)))[part]).bool()
            tokens = torch.where(flipped, self.q - 1 - tokens, tokens)
        condition = None if self.condition is None else self.condition[rows.to(self.device)]
        return Batch(tokens.to(self.device), condition)

    @torch.no_grad()
    def evaluate(self, model: AbstractModel, batch_size: int, processes: Processes = ALONE) -> Metrics:
        """Negative log-likelihood in nats per site of the held-out part, of its first 10,000 configurations at most."""
        n = min(MOST_HELD, len(self.held))
        if not n:
            return {}
        model.eval()
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for rows in self._in_batches(processes.share(n), batch_size):
            condition = () if self.condition is None else (self.condition[len(self.train) :][rows],)
            total -= model(self.held[rows].to(self.device), *condition).sum()
        model.train()
        processes.add(total)
        return {"nll_held_out": total.item() / (n * self.n_sites)}

    @torch.no_grad()
    def forward_ess(
        self, model: AbstractModel, energy: Energy, beta: float, batch_size: int, processes: Processes = ALONE
    ) -> Metrics:
        """The ESS of a model estimated from the same configurations; they are data of one system at one temperature."""
        share = processes.share(min(MOST_HELD, len(self.held)))
        if not share.n:
            return {}
        condition = None if self.condition is None else self.condition[0]
        log_ratio = [torch.zeros(0, dtype=torch.float64, device=self.device)]
        for rows in self._in_batches(share, batch_size):
            part = self.held[rows].to(self.device)
            log_ratio.append(model(part, condition).double() + beta * energy.energy_given(part, None))
        return {"forward_ess": ess_of_data(share.joined(torch.cat(log_ratio)))}

    @staticmethod
    def _in_batches(share: Share, size: int) -> Iterator[slice]:
        """The rows of a share, in slices of at most so many."""
        for start in range(share.rows.start, share.rows.stop, size):
            yield slice(start, min(start + size, share.rows.stop))


def n_held_out(n: int, fraction: float) -> int:
    """How many of n configurations are held out of training: the last ones, at least one unless the fraction is 0."""
    return max(1, round(fraction * n)) if fraction else 0


def _checked_condition(condition: Tensor, n: int) -> Tensor:
    if condition.ndim != 2 or len(condition) != n or not condition.is_floating_point():
        raise ValueError(
            f"condition must be floating-point numbers of shape (n, k) with n = {n}, one row for each configuration, "
            f"got {condition.dtype} of shape {tuple(condition.shape)}"
        )
    if not condition.isfinite().all():
        row = int((~condition.isfinite()).any(1).nonzero()[0])
        raise ValueError(f"condition must be finite, got {condition[row].tolist()} in row {row}")
    return condition
