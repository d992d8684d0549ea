"""Functions of averages: exact identities, errors that cover, verdicts that follow, and wrong input."""

import math

import numpy as np
import pytest
import torch

import latticear as la
from latticear.estimation.estimates import quiet
from latticear.exact import enumerate_states
from latticear.exact.result import QUANTITIES

T = 2.0


@pytest.fixture(scope="module")
def estimates(ising, model) -> la.Estimates:
    fourth = {"m4": lambda spins: spins.mean((1, 2)) ** 4}
    return la.estimate(model.sample(4000, seed=0), ising, T, observables=fourth)


@pytest.fixture(scope="module")
def other(ising, model) -> la.Estimates:
    return la.estimate(model.sample(3000, seed=1), ising, T)


@pytest.fixture(scope="module")
def chains(ising, model) -> la.Estimates:
    return la.neural_mcmc(model.sample(20_000, seed=2), ising, T)


@pytest.mark.parametrize("name", QUANTITIES)
def test_an_average_itself(estimates, name):
    found = la.derived(estimates, lambda a: a[name])
    assert found.value == estimates[name].value
    assert found.error == pytest.approx(estimates[name].jackknife_error, rel=1e-9)
    assert found.delta_error == pytest.approx(found.error, rel=1e-9)
    assert found.verdict == "trusted"
    assert found.verdict.reasons == tuple(f"{name}: {reason}" for reason in estimates[name].verdict.reasons)


def test_errors_of_a_vector(estimates):
    found = la.derived(estimates, lambda a: a["correlation"])
    np.testing.assert_array_equal(found.value, estimates["correlation"].value)
    np.testing.assert_allclose(found.error[1:], estimates["correlation"].error[1:], rtol=0.3)


def test_linear_functions(estimates):
    one = la.derived(estimates, lambda a: a["energy_per_site"])
    found = la.derived(estimates, lambda a: 3 - 2 * a["energy_per_site"])
    assert found.value == 3 - 2 * one.value
    assert found.error == pytest.approx(2 * one.error)


def test_what_varies_together_cancels(estimates):
    """q / q and U - T S - F have no error; own observables vary with the built-in ones."""
    same = la.derived(estimates, lambda a: a["log_z"] / a["log_z"])
    assert (same.value, same.error, same.delta_error) == (1.0, 0.0, pytest.approx(0, abs=1e-12))
    zero = la.derived(estimates, lambda a: a["energy_per_site"] - T * a["entropy_per_site"] - a["free_energy_per_site"])
    assert abs(zero.value) < 1e-12
    assert zero.error < 1e-12
    binder = la.derived(estimates, lambda a: 1 - a["m4"] / (3 * a["magnetization_squared"] ** 2))
    built_in = estimates["binder_cumulant"]
    assert binder.value == pytest.approx(built_in.value, rel=1e-12)
    assert binder.error == pytest.approx(built_in.jackknife_error, rel=1e-9)


def test_independent_sets_add_in_quadrature(estimates, other):
    parts = [la.derived(each, lambda a: a["log_z"]) for each in (estimates, other)]
    found = la.derived([estimates, other], lambda a, b: a["log_z"] + b["log_z"])
    assert found.value == parts[0].value + parts[1].value
    assert found.error == pytest.approx(math.hypot(*(part.error for part in parts)))
    assert found.n == 3000


def test_the_same_samples_are_known(ising, model, estimates):
    """Also if they were estimated in two calls: their difference has no error, and twice a value twice its error."""
    again = la.estimate(model.sample(4000, seed=0), ising, T)
    twice = la.derived([estimates, again], lambda a, b: a["log_z"] + b["log_z"])
    assert twice.error == pytest.approx(2 * estimates["log_z"].jackknife_error)
    assert la.derived([estimates, again], lambda a, b: a["log_z"] - b["log_z"]).error < 1e-12


def test_equal_random_numbers_are_noticed():
    """Two systems sampled with one seed vary together, and so the error of a sum is not that of independent ones."""
    sets = []
    for field in (0.1, 0.11):
        ising = la.Ising((3, 3), field=field)
        torch.manual_seed(0)
        sets.append(la.estimate(la.PixelCNN((3, 3), 2, bias=ising.bias(T)).sample(2000, seed=3), ising, T))
    alone = [la.derived(each, lambda a: a["energy_per_site"]).error for each in sets]
    total = la.derived(sets, lambda a, b: a["energy_per_site"] + b["energy_per_site"]).error
    assert total > 1.2 * math.hypot(*alone)


def test_the_slope_of_the_energy_is_the_heat_capacity(ising, model):
    """The errors at both temperatures cancel in their difference, which the verdict says."""
    low, high = la.reweight(model.sample(4000, seed=0), ising, [T - 0.02, T + 0.02])
    slope = la.derived([low, high], lambda a, b: (b["energy_per_site"] - a["energy_per_site"]) / 0.04)
    capacity = la.estimate(model.sample(4000, seed=0), ising, T)["heat_capacity_per_site"]
    assert slope.value == pytest.approx(capacity.value, rel=1e-3)
    assert slope.error == pytest.approx(capacity.jackknife_error, rel=0.02)
    assert slope.verdict == "unchecked"
    assert "cancel" in slope.verdict.reasons[0]
    exact = (
        enumerate_states(ising, T + 0.02).energy_per_site - enumerate_states(ising, T - 0.02).energy_per_site
    ) / 0.04
    assert abs(slope.value - exact) < 4 * slope.error


@pytest.mark.parametrize(
    "fn",
    [
        lambda a: torch.log(a["abs_magnetization"]) * a["energy_per_site"],
        lambda a: np.log(a["abs_magnetization"]) * a["energy_per_site"],
        lambda a: math.log(a["abs_magnetization"]) * a["energy_per_site"],  # hides a part of the gradient from torch
        lambda a: torch.log(torch.tensor(float(a["abs_magnetization"]))) * float(a["energy_per_site"]),
    ],
)
def test_every_kind_of_function(estimates, fn):
    expected = la.derived(estimates, lambda a: a["abs_magnetization"].log() * a["energy_per_site"])
    found = la.derived(estimates, fn)
    assert found.value == pytest.approx(expected.value, rel=1e-6)
    assert found.error == pytest.approx(expected.error, rel=1e-3)
    assert found.delta_error == pytest.approx(expected.delta_error, rel=1e-2)
    assert found.delta_error == pytest.approx(found.error, rel=0.05)


def test_vectors_and_lists(estimates):
    one = la.derived(estimates, lambda a: a["abs_magnetization"] ** 2)
    for fn in (
        lambda a: [a["abs_magnetization"] ** 2, a["energy_per_site"]],
        lambda a: np.array([float(a["abs_magnetization"]) ** 2, float(a["energy_per_site"])]),
    ):
        found = la.derived(estimates, fn)
        assert found.value.shape == found.error.shape == found.delta_error.shape == (2,)
        assert found.error[0] == pytest.approx(one.error)


def test_more_samples_than_stretches(ising, model):
    """Blocks begin at stretches of two samples; own observables still vary with the built-in ones."""
    samples = model.sample(17_001, seed=4)
    more = {"again": lambda spins: spins.mean((1, 2)).abs()}
    estimates = la.estimate((samples[k : k + 1700] for k in range(0, 17_001, 1700)), ising, T, observables=more)
    assert la.derived(estimates, lambda a: a["again"] - a["abs_magnetization"]).error < 1e-12
    error = la.derived(estimates, lambda a: a["log_z"]).error
    assert error == pytest.approx(estimates["log_z"].jackknife_error, rel=0.01)


def test_chains(chains):
    """Errors from blocks are those from the autocorrelation time, which is longer than that of independent samples."""
    assert chains["energy_per_site"].tau_int > 0.6
    for name in ("energy_per_site", "abs_magnetization", "heat_capacity_per_site"):
        found = la.derived(chains, lambda a: a[name])  # noqa: B023
        assert found.value == chains[name].value
        assert found.error == pytest.approx(chains[name].error, rel=0.3)
    with pytest.raises(ValueError, match="there is no quantity 'log_z'"):
        la.derived(chains, lambda a: a["log_z"])


def test_free_energy_of_parallel_tempering(ising):
    estimates = la.parallel_tempering(ising, T, n=2000)
    for name in ("log_z", "free_energy_per_site", "entropy_per_site"):
        found = la.derived(estimates, lambda a: a[name])  # noqa: B023
        assert found.error == pytest.approx(estimates[name].error, rel=0.4)
    gone = la.derived(estimates, lambda a: a["energy_per_site"] - T * a["entropy_per_site"] - a["free_energy_per_site"])
    assert gone.error < 1e-10


def test_islands(ising):
    model = la.MultiscalePixelCNN((4, 4), width=4, bias=la.Ising((4, 4)).bias(T))
    with quiet():
        estimates = la.sequential_monte_carlo(model, la.Ising((4, 4)), T, n=2000)
    for name in ("log_z", "abs_magnetization"):
        found = la.derived(estimates, lambda a: a[name])  # noqa: B023
        assert found.error == pytest.approx(estimates[name].jackknife_error, rel=1e-9)
    correlation = la.derived(estimates, lambda a: a["correlation"])
    np.testing.assert_allclose(correlation.error[1:], estimates["correlation"].error[1:], rtol=0.3)


def test_verdicts(estimates, other, ising, model):
    unchecked = la.estimate(model.sample(3000, seed=1), ising, T, exact=None)
    found = la.derived([estimates, unchecked], lambda a, b: a["log_z"] - b["log_z"])
    assert found.verdict == "unchecked"
    assert found.verdict.reasons[0].startswith("log_z of estimates[1]: nothing independent")
    known = la.derived([estimates, unchecked], lambda a, b: a["log_z"] - b["log_z"], exact=0.0)
    assert known.verdict == "trusted"
    wrong = la.derived([estimates, other], lambda a, b: a["log_z"] - b["log_z"], exact=1.0)
    assert wrong.verdict == "not trusted"
    broken = la.estimate(model.sample(3000, seed=5), ising, T)
    broken.distrust("it is broken")
    bad = la.derived([estimates, broken], lambda a, b: a["log_z"] - b["energy_per_site"])
    assert bad.verdict == "not trusted"
    assert bad.verdict.reasons == ("energy_per_site of estimates[1]: it is broken",)
    assert la.derived([estimates, broken], lambda a, b: 2 * a["log_z"]).verdict == "trusted"


def test_what_is_not_smooth_is_not_trusted(estimates):
    center = estimates["energy_per_site"].value
    found = la.derived(estimates, lambda a: (a["energy_per_site"] - center) ** 2)
    assert found.verdict == "not trusted"
    assert "delta method and jackknife disagree" in found.verdict.reasons[0]
    edge = la.derived(estimates, lambda a: (a["energy_per_site"] - center) ** 0.5)
    assert edge.error == math.inf
    assert "not finite" in edge.verdict.reasons[0]


def test_wrong_input(estimates, other):
    loaded = la.Estimates.from_dict(estimates.to_dict(), 9)
    both = [estimates, other]
    for message, given, fn in (
        (
            "no quantity 'abs_magnetisation'; did you mean 'abs_magnetization'",
            estimates,
            lambda a: a["abs_magnetisation"],
        ),
        ("'ess' has no covariances", estimates, lambda a: a["ess"]),
        ("not stored in files", loaded, lambda a: a["log_z"]),
        ("estimates must be what la.estimate", 3, lambda a: a["log_z"]),
        ("estimates must be what la.estimate", {"log_z": 3.0}, lambda a: a["log_z"]),
        ("got an empty list", [], lambda: 1.0),
        ("fn must be a function", estimates, "log_z"),
        ("one argument for each of the estimates, 2 in all", both, lambda a: a["log_z"]),
        ("uses none of the averages", estimates, lambda a: 1.0),
        ("must return a real number or a vector", estimates, lambda a: f"{a['log_z']}"),
        ("must return a real number or a vector", estimates, lambda a: None),
        ("must be finite at the measured averages", estimates, lambda a: np.log(a["energy_per_site"])),
    ):
        with pytest.raises(ValueError, match=message.replace("[", r"\[")) as caught:
            la.derived(given, fn)
        assert "\n" not in str(caught.value)


def test_error_bars_cover(ising, model):
    """100 repeats: the variance of z has a standard deviation of 0.14; a right error bar leaves the limits, which are
    four of these, about once in 10,000 for each quantity."""
    near = (T - 0.05, T + 0.05)
    exact = [enumerate_states(ising, t).to_dict() for t in near]
    functions = {
        "slope": lambda a, b: (b["energy_per_site"] - a["energy_per_site"]) / 0.1,
        "ratio": lambda a, b: a["magnetization_squared"] / a["abs_magnetization"] ** 2,
        "log": lambda a, b: np.log(a["heat_capacity_per_site"] * b["susceptibility"]),
    }
    samples, n = model.sample(100 * 1000, seed=12), 1000
    z = {name: [] for name in functions}
    with quiet():
        for k in range(100):
            sets = la.reweight(samples[k * n : (k + 1) * n], ising, near, exact=None)
            for name, fn in functions.items():
                found = la.derived(sets, fn)
                z[name].append((found.value - fn(*exact)) / found.error)
    for name, values in z.items():
        assert 0.5 < np.mean(np.square(values)) < 1.65, name
