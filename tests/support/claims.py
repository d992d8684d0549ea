"""Whether what the multiscale network takes from the energy is exact, by enumeration."""

from __future__ import annotations

import torch

import latticear as la
from latticear.exact.enumeration import all_configurations
from latticear.hamiltonians.base import AbstractHamiltonian

TEMPERATURE = 1.3


class NotExactError(AssertionError):
    """A conditional that was claimed is not the one of the Boltzmann distribution."""


def claimed(model: la.MultiscalePixelCNN) -> dict[str, torch.Tensor]:
    """Sites whose conditionals the model has from the energy alone, `(T,)`, by phase; the first is not."""
    return {
        key: phase.sites
        for key, phase in model.phases.items()
        if phase.network is None and model.rank.flatten()[phase.sites[0]]
    }


def is_sound(model: la.MultiscalePixelCNN, hamiltonian: AbstractHamiltonian, temperature: float = TEMPERATURE) -> None:
    """Raises NotExactError unless each conditional that is claimed is the one by enumeration, for random tokens.

    Sites drawn together must be independent besides, so each is also given those that stand before it in its phase.
    """
    size = (2, *hamiltonian.shape)
    tokens = torch.randint(hamiltonian.n_tokens, size, generator=torch.Generator().manual_seed(3))
    condition = torch.full((2, 1), temperature, dtype=torch.float64) if model.conditioned else None
    with torch.no_grad():
        log_q_bqs = model.logits(tokens, condition).log_softmax(1).flatten(2)
    rank = model.rank.flatten() * hamiltonian.n_sites
    for key, sites in claimed(model).items():
        rank[sites] += torch.arange(len(sites))
        for site in sites.tolist():
            expected = by_enumeration(hamiltonian, temperature, tokens, rank >= rank[site], site)
            error = (log_q_bqs[:, :, site] - expected).abs().max().item()
            if not error < 1e-10:
                raise NotExactError(f"{key}, site {site}: log-probabilities are off by {error}")


def by_enumeration(
    hamiltonian: AbstractHamiltonian, temperature: float, tokens: torch.Tensor, unknown: torch.Tensor, site: int
) -> torch.Tensor:
    """Log-probabilities `(B, q)` of a site given all that is known.

    What no chain of bonds between unknown sites joins to it is independent of it and need not be summed over.
    """
    q, joined = hamiltonian.n_tokens, _joined(hamiltonian.bonds.tolist(), unknown.tolist(), site)
    assert q ** len(joined) <= 2**16
    values = all_configurations((1, len(joined)), q).flatten(1).long()
    log_p = []
    for known in tokens.flatten(1):
        every = known.repeat(len(values), 1)
        every[:, joined] = values
        weights = -hamiltonian.token_energy(every.view(-1, *hamiltonian.shape)) / temperature
        log_p.append(torch.stack([weights[values[:, 0] == t].logsumexp(0) for t in range(q)]).log_softmax(0))
    return torch.stack(log_p)


def _joined(bonds: list[list[int]], unknown: list[bool], site: int) -> list[int]:
    """The site, then all unknown ones that unknown ones join to it."""
    found = [site]
    for here in found:
        for bond in bonds:
            if here in bond:
                other = bond[1 - bond.index(here)]
                if unknown[other] and other not in found:
                    found.append(other)
    return found
