"""A model of a small lattice whose probabilities are given, as an ideal network that may lack a part on purpose."""

from __future__ import annotations

import torch
from torch import Tensor

from latticear.exact.tabulated import Tabulated
from latticear.hamiltonians import AbstractHamiltonian
from latticear.models import AbstractModel

__all__ = ["TableModel", "boltzmann"]


class TableModel(AbstractModel):
    """The exact conditionals of any distribution over all configurations of a small lattice."""

    name = "table"

    def __init__(self, shape, probability: Tensor, n_tokens: int = 2) -> None:
        super().__init__(shape, n_tokens)
        self.probability = probability / probability.sum()
        self._set_rank(torch.arange(self.shape[0] * self.shape[1]).view(self.shape))

    def _logits(self, tokens, condition):
        flat, q = tokens.flatten(1).long(), self.n_tokens
        prefix, logits = torch.zeros(len(flat), dtype=torch.long), []
        for site in range(flat.shape[1]):
            marginal = self.probability.view(q**site, q, -1).sum(-1)
            logits.append(marginal[prefix].log())
            prefix = q * prefix + flat[:, site]
        return torch.stack(logits, 2).unflatten(2, self.shape)


def boltzmann(hamiltonian: AbstractHamiltonian, temperature: float) -> Tensor:
    """The probabilities of all configurations, in lexicographic order."""
    return torch.from_numpy(Tabulated(hamiltonian, temperature).log_p).exp()
