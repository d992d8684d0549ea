"""The search for a bond dimension: until the ESS is large enough, or time or memory is used up."""

import pytest

import latticear as la
from latticear.models import bond_dimension, model_from_dict, tensor_network
from latticear.models.bond_dimension import Limits
from latticear.models.tensor_network import searched

ISING = la.Ising((6, 6))
BIAS = ISING.bias(la.T_C)


def _auto(**limits) -> la.TensorNetwork:
    return la.TensorNetwork((6, 6), bias=BIAS, bond_dimension="auto", **limits)


def test_it_ends_at_the_first_that_is_good_enough():
    found = searched(BIAS, Limits(0.999, 600, 1000))
    assert found.reached
    assert list(found.ess) == [4, 8]
    assert found.ess[4] < 0.999 <= found.ess[8]
    assert found == searched(BIAS, Limits(0.999, 600, 1000))._replace(bias=found.bias)
    estimates = la.estimate(_auto(target_ess=0.999).sample(2000, seed=5), ISING, la.T_C)
    assert estimates["ess"].value == pytest.approx(found.ess[8], abs=0.01)


def test_what_was_found_is_kept(monkeypatch):
    model = _auto(target_ess=0.999)
    monkeypatch.setattr(tensor_network, "find_bond_dimension", None)
    again = model_from_dict(model.to_dict())
    assert again.bond_dimension == again.bias.bond_dimension == model.bond_dimension == 8


def test_memory_ends_it():
    with pytest.warns(UserWarning, match=r"bond dimension 4: .* below the target 0.99999; .* max_memory = 0.06 MB"):
        model = _auto(target_ess=0.99999, max_memory=0.06)
    assert model.bond_dimension == 4


class _Clock:
    """Each look at it takes a second."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_time_ends_it_before_or_within_a_bond_dimension(monkeypatch):
    monkeypatch.setattr(bond_dimension.time, "monotonic", _Clock())
    before = searched(BIAS, Limits(0.99999, 20.0, 1000))  # the first takes 6 seconds
    assert (before.bond_dimension, before.reached, list(before.ess)) == (4, False, [4])
    assert "a larger one would need more than max_seconds = 20" in str(before)
    monkeypatch.setattr(bond_dimension, "GROWTH", 0.0)
    within = searched(BIAS, Limits(0.99999, 10.0, 1000))
    assert (within.bond_dimension, list(within.ess)) == (4, [4])
    assert "a larger one needs more than max_seconds = 10" in str(within)


def test_it_ends_where_nothing_is_cut(monkeypatch):
    monkeypatch.setattr(bond_dimension, "_ess", lambda *_: 0.5)
    found = searched(la.Ising((3, 3)).bias(2.0), Limits(0.9, 600, 1000))
    assert str(found).startswith("bond dimension 4: ESS 0.5 is below the target 0.9; nothing is cut any more")
    assert list(found.ess) == [4, 8]


def test_the_best_is_taken_where_a_larger_one_is_worse(monkeypatch):
    worse = iter([0.2, 0.5, 0.3, 0.4])
    monkeypatch.setattr(bond_dimension, "_ess", lambda *_: next(worse))
    found = searched(BIAS, Limits(0.9, 600, 0.5))
    assert list(found.ess.values()) == [0.2, 0.5, 0.3]
    assert found.bond_dimension == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_ess": 0}, "target_ess must lie between 0 and 1, got 0"),
        ({"target_ess": 1.5}, "target_ess must lie between 0 and 1, got 1.5"),
        ({"max_seconds": -1}, "max_seconds must be positive, got -1"),
        ({"target_ess": "a"}, "target_ess must be a number, got 'a'"),
        ({"single_precision": "no"}, "single_precision must be True or False, got 'no'"),
        ({"bond_dimension": True}, "bond_dimension must be an integer, got True"),
        ({"max_memory": 0}, "max_memory must be positive, got 0"),
        ({"max_memory": 1e-6}, "bond_dimension auto finds none .* give more, or a number"),
        ({"bias": None}, 'bond_dimension "auto" needs a bias'),
        ({"bias": ISING.bias()}, "a sum over later sites is for one temperature"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        la.TensorNetwork((6, 6), **{"bias": BIAS, "bond_dimension": "auto", **options})


def test_where_rounding_has_lost_what_is_likely_it_is_not_content():
    """All configurations that a too cold glass is drawn as may have similar weights."""
    glass = la.EdwardsAnderson((6, 6), seed=0)
    cold, warm = (searched(glass.bias(t), Limits(0.8, 600, 1000)) for t in (0.1, 0.5))
    assert max(cold.ess.values()) > 0.8
    assert not cold.reached
    assert "these may lack a part of the distribution" in cold.lacks
    assert str(cold).startswith(f"bond dimension {cold.bond_dimension}: the sums over later sites give ln Z = ")
    assert warm.reached
    assert not warm.lacks
