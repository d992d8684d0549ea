"""A small system as a table: averages agree with the other exact methods, and draws with the probabilities."""

import numpy as np
import pytest
import torch
from support.statistics import counts_of, p_value

import latticear as la
from latticear.exact.tabulated import Tabulated, can_tabulate

SYSTEMS = [
    la.Ising((3, 4), field=0.2),
    la.BlumeCapel((3, 3), crystal_field=1.0),
    la.AshkinTeller((2, 3), four_spin=0.5),
]


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_averages_agree_with_enumeration(system):
    table, exact = Tabulated(system, 1.3), la.exact.enumerate_states(system, 1.3)
    assert table.log_z == pytest.approx(exact.log_z, rel=1e-12)
    assert np.exp(table.log_p).sum() == pytest.approx(1)
    energy = table.average(lambda spins: system.energy(spins) / system.n_sites)
    assert float(energy) == pytest.approx(exact.energy_per_site, rel=1e-10)
    pair = table.average(lambda spins: torch.stack([spins.double().flatten(1)[:, 0] ** k for k in (0, 2)], 1))
    assert pair.shape == (2,)
    assert pair[0] == pytest.approx(1)


def test_draws_have_the_probabilities():
    """A right sampler fails once in 10,000 seeds."""
    ising = la.Ising((2, 3), field=0.3)
    table = Tabulated(ising, 2.0)
    drawn = table.draw(20_000, seed=0)
    assert p_value(counts_of(drawn, 2), torch.from_numpy(table.log_p).exp()) > 1e-4
    assert torch.equal(drawn, table.draw(20_000, seed=0))


def test_large_systems_are_refused():
    assert can_tabulate(la.Ising((4, 4)))
    assert not can_tabulate(la.Ising((4, 5)))
    with pytest.raises(ValueError, match="at most"):
        Tabulated(la.Ising((5, 5)), 1.0)
