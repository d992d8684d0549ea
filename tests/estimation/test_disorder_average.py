import numpy as np
import pytest

import latticear as la
from latticear.estimation import Estimate, Estimates
from latticear.estimation.estimates import quiet


def _instances(n, spread=1.0, error=0.1, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for true in rng.normal(size=(n, 2)) * spread:
        q2, q4 = 2 + 0.1 * true + error * rng.normal(size=2)
        values = {name: Estimate(float(x), error, n=100, ess=1.0) for name, x in (("q2", q2), ("q4", q4))}
        values |= {"overlap_squared": values["q2"], "overlap_fourth": values["q4"]}
        values["overlap_binder_cumulant"] = Estimate(0.0, 0.1, n=100, ess=1.0)
        rows.append(Estimates(values, temperature=1.0, n=100, diagnostics={}))
    return rows


def test_the_error_holds_the_spread_and_the_errors_of_the_instances():
    rows = _instances(50)
    average = la.disorder_average(rows)
    values = np.array([row["q2"].value for row in rows])
    assert average["q2"].value == pytest.approx(values.mean())
    assert average["q2"].error == pytest.approx(values.std(ddof=1) / 50**0.5)
    assert average["q2"].thermal_error == pytest.approx(0.1 / 50**0.5)
    assert average.n == 50
    again = Estimates.from_dict(average.to_dict(), 9)
    assert again["q2"].thermal_error == pytest.approx(average["q2"].thermal_error)


def test_the_binder_cumulant_is_the_ratio_of_averages_with_its_covariances():
    average = la.disorder_average(_instances(50))
    ratio = la.derived(average, lambda a: (3 - a["overlap_fourth"] / a["overlap_squared"] ** 2) / 2)
    found = average["overlap_binder_cumulant"]
    assert found.value == pytest.approx(ratio.value)
    assert found.error == pytest.approx(ratio.error)
    q2, q4 = average["overlap_squared"], average["overlap_fourth"]
    assert found.value == pytest.approx((3 - q4.value / q2.value**2) / 2)


def test_a_correlation_length_is_that_of_averaged_susceptibilities():
    glasses = [la.EdwardsAnderson((3, 3), seed=seed) for seed in range(3)]
    with quiet():
        each = [la.overlaps(la.TensorNetwork((3, 3), bias=g.bias(1.5)).sample(100), g, 1.5) for g in glasses]
    average = la.disorder_average(each)
    ratio = average["glass_susceptibility"].value / average["glass_susceptibility_k"].value
    expected = (ratio - 1) ** 0.5 / (2 * np.sin(np.pi / 3))
    assert average["glass_correlation_length"].value == pytest.approx(expected)
    assert average["overlap_distribution"].value.sum() == pytest.approx(1)
    assert average["energy_per_site"].verdict == "unchecked"  # of few instances


def test_instances_that_are_not_trusted_are_named():
    rows = _instances(12)
    rows[7].distrust("weights")
    average = la.disorder_average(rows)
    assert average["q2"].verdict == "not trusted"
    assert "1 of 12 instances are not trusted (numbers 7)" in average["q2"].verdict.reasons


def test_wrong_input_is_refused():
    rows = _instances(3)
    with pytest.raises(ValueError, match="needs two or more, got 1"):
        la.disorder_average(rows[:1])
    with pytest.raises(ValueError, match="for instance 1"):
        la.disorder_average([rows[0], 3.0])
    with pytest.raises(ValueError, match="in a list"):
        la.disorder_average(rows[0])
    rows[1].temperature = 2.0
    with pytest.raises(ValueError, match="one temperature, got 1 and 2"):
        la.disorder_average(rows)
