"""The data set of maximum likelihood: batches for training, and a part that is held out."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from latticear.models import AbstractModel
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

    def draw(self, n: int, step: int) -> Batch:
        """Draw n configurations of the training part, with random symmetries applied; a function of (seed, step)."""
        rng = generator(self.seed, self.purpose, step)
        rows = torch.from_numpy(rng.integers(len(self.train), size=n))
        tokens = self.train[rows]
        if self.turn is not None:
            images = self.turn.draw(n, rng)
            sites = tokens.flatten(-2)  # (n, N) or (n, C, N): the components of a site go together
            tokens = sites.gather(-1, images.view(n, *(1,) * (sites.ndim - 2), -1).expand_as(sites)).view_as(tokens)
        if self.flip:
            flipped = torch.from_numpy(rng.integers(2, size=(n, *(1,) * (tokens.ndim - 1)))).bool()
            tokens = torch.where(flipped, self.q - 1 - tokens, tokens)
        condition = None if self.condition is None else self.condition[rows.to(self.device)]
        return Batch(tokens.to(self.device), condition)

    @torch.no_grad()
    def evaluate(self, model: AbstractModel, batch_size: int) -> Metrics:
        """Negative log-likelihood in nats per site of the held-out part, of its first 10,000 configurations at most."""
        held = self.held[:MOST_HELD]
        if not len(held):
            return {}
        model.eval()
        total = 0.0
        for start in range(0, len(held), batch_size):
            rows = slice(len(self.train) + start, len(self.train) + min(start + batch_size, len(held)))
            condition = () if self.condition is None else (self.condition[rows],)
            total -= model(held[start : start + batch_size].to(self.device), *condition).sum().item()
        model.train()
        return {"nll_held_out": total / (len(held) * self.n_sites)}

    @torch.no_grad()
    def forward_ess(self, model: AbstractModel, energy: Energy, beta: float, batch_size: int) -> Metrics:
        """The ESS of a model estimated from the same configurations; they are data of one system at one temperature."""
        parts = [part.to(self.device) for part in self.held[:MOST_HELD].split(batch_size) if len(part)]
        if not parts:
            return {}
        condition = None if self.condition is None else self.condition[0]
        log_ratio = [model(part, condition).double() + beta * energy.energy_given(part, None) for part in parts]
        return {"forward_ess": ess_of_data(torch.cat(log_ratio))}


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
