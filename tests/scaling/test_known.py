"""Critical points that are known exactly, and systems whose are not."""

import pytest

import latticear as la
from latticear.scaling import known_critical_point


def test_ising_and_potts():
    ising = known_critical_point(la.Ising((4, 4), coupling=2.0))
    assert ising.temperature == pytest.approx(2 * la.T_C)
    assert (ising.inverse_nu, ising.beta_over_nu, ising.gamma_over_nu) == (1, 0.125, 1.75)
    two = known_critical_point(la.Potts((4, 4), q=2))
    assert two.temperature == pytest.approx(la.T_C / 2)  # delta(s, s') = (1 + s s') / 2
    assert two.inverse_nu == 1
    three = known_critical_point(la.Potts((4, 4), q=3))
    assert three.temperature == pytest.approx(0.994973, abs=1e-6)
    assert 1 / three.inverse_nu == pytest.approx(5 / 6)
    assert "logarithmic" in known_critical_point(la.Potts((4, 4), q=4)).remark


@pytest.mark.parametrize("q", [2, 3, 4])
def test_hyperscaling_holds(q):
    point = known_critical_point(la.Potts((4, 4), q=q))
    assert 2 * point.beta_over_nu + point.gamma_over_nu == pytest.approx(2)
    assert point.alpha_over_nu == pytest.approx(2 * point.inverse_nu - 2)


@pytest.mark.parametrize(
    "system",
    [
        la.Ising((4, 4), field=0.1),
        la.Ising((4, 4), coupling=-1.0),
        la.Ising((4, 4), next_nearest=0.5),
        la.Ising((4, 4), geometry="triangular"),
        la.Ising((4, 4), missing=[(0, 0)]),
        la.Ising((1, 8), periodic=(False, True)),
        la.Potts((4, 4), q=5),
        la.BlumeCapel((4, 4)),
        la.EdwardsAnderson((4, 4), seed=0),
    ],
    ids=str,
)
def test_others_are_not_known(system):
    assert known_critical_point(system) is None
