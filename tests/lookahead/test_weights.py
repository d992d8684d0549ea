"""Boltzmann weights of bonds, in whichever direction and order they are listed."""

import pytest
import torch

from latticear.lookahead import RowWeights

SHAPE = (3, 4)
BONDS = torch.tensor([[0, 1], [3, 0], [5, 9], [8, 0], [6, 11], [11, 0], [1, 4], [0, 7], [2, 3]])
"""To the right, down and along both diagonals, within the lattice and across its boundaries."""


def _weights(bonds: torch.Tensor, tables: torch.Tensor, factors: torch.Tensor | None = None) -> RowWeights:
    return RowWeights.of_bonds(SHAPE, bonds, tables, torch.zeros(12, 3, dtype=torch.float64), 0.7, factors)


def _tables() -> torch.Tensor:
    return torch.randn(len(BONDS), 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_a_bond_may_be_listed_from_either_end():
    tables = _tables()
    forward, backward = _weights(BONDS, tables), _weights(BONDS.flip(1), tables.mT)
    for name in ("right", "down", "down_right", "down_left"):
        one, other = getattr(forward, name), getattr(backward, name)
        assert (one != 1).any()
        assert torch.equal(one, other)
    assert (forward.closed, forward.cyclic) == (True, True)
    across = (-tables[1] / 0.7 + tables[1].min() / 0.7).exp()
    assert torch.allclose(forward.right[0, 0, 3], across)  # from site 3, the last of its row, to site 0


def test_each_instance_has_its_factors():
    factors = torch.rand(4, len(BONDS), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    together = _weights(BONDS, _tables(), factors)
    for k in range(4):
        alone = _weights(BONDS, _tables() * factors[k, :, None, None])
        assert torch.allclose(together.take(torch.tensor([k])).right, alone.right)
        assert torch.allclose(together.down_left[k], alone.down_left[0])
        assert together.log_scale[k].item() == pytest.approx(alone.log_scale.item())
