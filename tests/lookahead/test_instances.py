"""Configurations that share instances: the sums are computed once for each instance."""

import torch

import latticear as la
from latticear.exact import all_configurations
from latticear.lookahead import Environments, RowWeights, Sweep


def _glasses(n: int) -> RowWeights:
    glass = la.EdwardsAnderson((3, 4), torch.ones(2, 3, 4).tolist())
    factors = torch.randn(n, len(glass.bonds), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return RowWeights.of_bonds(glass.shape, glass.bonds, glass.bond_energies, glass.site_energies, 0.8, factors)


def _logits(environments: Environments, tokens: torch.Tensor) -> torch.Tensor:
    sweep, logits = Sweep(environments, len(tokens)), []
    for token in tokens.flatten(1).long().T:
        logits.append(sweep.logits())
        sweep.take(token)
    return torch.stack(logits, 1)


def test_each_configuration_has_its_instance():
    environments = Environments(_glasses(3), 2)
    which, tokens = torch.tensor([2, 0, 1, 1, 2, 0, 2]), all_configurations((3, 4), 2)[7::600][:7]
    each = environments.of_each(which)
    assert each.n_bytes == environments.n_bytes
    found = _logits(each, tokens)
    for k in range(3):
        mine = which == k
        alone = Environments(_glasses(3).take(torch.tensor([k])), 2)
        assert torch.allclose(found[mine], _logits(alone, tokens[mine]), atol=1e-10)
    assert not torch.allclose(found[which == 0], _logits(alone, tokens[which == 0]), atol=1e-2)
