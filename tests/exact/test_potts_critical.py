"""The transition of the Potts model: against published values, the Ising model, and strips and clusters on lattices."""

import math

import pytest

import latticear as la


@pytest.mark.parametrize(
    ("q", "disordered", "ordered"),
    [(7, -1.2013, -1.5546), (10, -0.9682, -1.6643), (20, -0.6265, -1.8207)],
)
def test_energies_of_both_phases(q, disordered, ordered):
    """C. Borgs, W. Janke, J. Physique I 2 (1992) 2011, table 1, to the digits given there."""
    transition = la.exact.potts_transition(q)
    half = transition.latent_heat_per_site / 2
    assert transition.energy_per_site + half == pytest.approx(disordered, abs=6e-5)
    assert transition.energy_per_site - half == pytest.approx(ordered, abs=6e-5)


def test_two_states_are_the_ising_model():
    """delta(s, s') = (1 + s s') / 2: half the coupling, and half of it for each bond besides."""
    transition, ising = la.exact.potts_transition(2), la.exact.onsager(la.T_C)
    assert transition.temperature == pytest.approx(la.T_C / 2, rel=1e-12)
    assert transition.energy_per_site == pytest.approx(ising.energy_per_site / 2 - 1, rel=1e-6)
    assert transition.latent_heat_per_site == 0


def test_four_states_are_continuous_and_five_hardly_not():
    assert la.exact.potts_transition(4).latent_heat_per_site == 0
    assert 0 < la.exact.potts_transition(5).latent_heat_per_site < 0.06


def test_strips_approach_the_energy():
    """Periodic strips of growing width at T_c, q = 3; corrections fall with the width."""
    transition = la.exact.potts_transition(3)
    off = [
        abs(la.exact.transfer_matrix(la.Potts((width, 3 * width)), transition.temperature).energy_per_site
            - transition.energy_per_site)
        for width in (2, 3, 4, 5)
    ]  # fmt: skip
    assert off == sorted(off, reverse=True)
    assert off[-1] < 0.05


def test_wrong_arguments():
    for q in (1, 2.5, "3"):
        with pytest.raises(ValueError, match="q must be a whole number, 2 or more"):
            la.exact.potts_transition(q)
    for coupling in (0.0, math.nan):
        with pytest.raises(ValueError, match="coupling must be positive"):
            la.exact.potts_transition(3, coupling)
