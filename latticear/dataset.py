"""Configurations to learn from."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from latticear.hamiltonians import AbstractHamiltonian
from latticear.models import AbstractModel
from latticear.objectives import Metrics
from latticear.philox import TRAINING

__all__ = ["Dataset"]


class Dataset:
    """Configurations to learn from: a training part, a held-out part, and symmetries."""

    def __init__(
        self,
        tokens: Tensor,
        hamiltonian: AbstractHamiltonian,
        held_out: float,
        augment: bool,
        seed: int,
        device: torch.device,
    ) -> None:
        if tokens.ndim != 3 or tuple(tokens.shape[1:]) != hamiltonian.shape or tokens.is_floating_point():
            raise ValueError(
                f"data must be integer tokens of shape ('n', {hamiltonian.shape[0]}, {hamiltonian.shape[1]}), "
                f"got {tokens.dtype} of shape {tuple(tokens.shape)}"
            )
        if tokens.numel() and int(tokens.max()) >= hamiltonian.n_tokens:
            raise ValueError(f"data must hold tokens 0..{hamiltonian.n_tokens - 1}, got {int(tokens.max())}")
        n_held = max(1, round(held_out * len(tokens))) if held_out else 0
        if len(tokens) - n_held < 1:
            raise ValueError(f"data must hold at least 2 configurations to keep some out, got {len(tokens)}")
        # the end of a Monte Carlo series is the part least correlated with the rest
        self.train, self.held = tokens[: len(tokens) - n_held], tokens[len(tokens) - n_held :]
        self.lattice, self.seed, self.device = hamiltonian.lattice, seed, device
        self.q = hamiltonian.n_tokens
        self.turn = augment and hamiltonian.lattice_symmetric
        self.flip = augment and hamiltonian.spin_flip

    def draw(self, n: int, step: int) -> Tensor:
        rng = np.random.default_rng([self.seed, TRAINING, step])
        tokens = self.train[torch.from_numpy(rng.integers(len(self.train), size=n))]
        if self.turn:
            images = self.lattice.random_symmetries(n, rng)
            tokens = tokens.flatten(1).gather(1, images).view_as(tokens)
        if self.flip:
            flipped = torch.from_numpy(rng.integers(2, size=(n, 1, 1))).bool()
            tokens = torch.where(flipped, self.q - 1 - tokens, tokens)
        return tokens.to(self.device)

    @torch.no_grad()
    def evaluate(self, model: AbstractModel, batch_size: int) -> Metrics:
        """Held-out negative log-likelihood in nats per site, over at most 10,000 configurations."""
        held = self.held[:10_000]
        if not len(held):
            return {}
        model.eval()
        total = sum(-model(part.to(self.device)).sum().item() for part in held.split(batch_size))
        model.train()
        return {"nll_held_out": total / held.numel()}
