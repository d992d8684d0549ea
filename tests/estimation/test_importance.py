"""Importance sampling: right by enumeration, errors that cover, warnings where they are due."""

import math
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from support.table import TableModel, boltzmann

import latticear as la
from latticear.estimation.thermodynamics import delta_error
from latticear.exact import all_configurations, enumerate_states
from latticear.exact.result import QUANTITIES
from latticear.samples import Samples, check_log_q

TEMPERATURE = 2.0


def test_every_quantity_agrees_with_enumeration(ising, model):
    exact = enumerate_states(ising, TEMPERATURE)
    estimates = la.estimate(model.sample(50_000, seed=0), ising, TEMPERATURE, exact=exact)
    assert estimates.reliable, estimates.warnings
    judged = exact.to_dict()
    assert set(judged) == set(QUANTITIES)
    for name, value in judged.items():
        estimate = estimates[name]
        assert estimate.exact == value
        assert abs(estimate.deviation) < 4, (name, str(estimate), value)
        assert 0.8 < estimate.jackknife_error / estimate.error < 1.25, name


def test_error_bars_cover(ising, model):
    """200 repeats: z has variance one. The sample variance of 200 normal z has a standard deviation of 0.1, so a right
    error bar leaves (0.6, 1.45) about once in 10,000 for each of nine quantities (which are correlated)."""
    exact = enumerate_states(ising, TEMPERATURE).to_dict()
    n = 1000
    samples = model.sample(200 * n, seed=11)
    z = {name: [] for name in exact}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", la.UnreliableEstimateWarning)  # k-hat scatters at such a small n
        for k in range(200):
            for name, estimate in la.estimate(samples[k * n : (k + 1) * n], ising, TEMPERATURE).items():
                if name in exact:
                    z[name].append((estimate.value - exact[name]) / estimate.error)
    for name, values in z.items():
        assert 0.6 < np.var(values) < 1.45, name
        assert abs(np.mean(values)) < 0.45, name  # 4 / sqrt(200) and the bias of ratios at n = 1000


def test_z_is_unbiased_and_its_logarithm_corrected(ising, model):
    """The plain ln of the mean is low by var / 2n; at n = 20 that is visible, and removed."""
    exact = enumerate_states(ising, TEMPERATURE).log_z
    samples = model.sample(20 * 4000, seed=5)
    energy = ising.token_energy(samples.tokens)
    log_w = (-energy / TEMPERATURE - samples.log_q).view(4000, 20).numpy()
    w = np.exp(log_w - exact)
    error = w.mean(1).std() / np.sqrt(4000)
    assert abs(w.mean() - 1) < 4 * error
    plain = np.log(w.mean(1))
    corrected = plain + w.var(1) / (2 * 20 * w.mean(1) ** 2)
    assert plain.mean() < -4 * plain.std() / np.sqrt(4000)
    assert abs(corrected.mean()) < 0.3 * abs(plain.mean())


def test_a_model_that_is_the_target_has_no_error_in_ln_z():
    """Independent sites in a field: q = p, so every weight is Z."""
    field, temperature = 0.7, 1.3
    ising = la.Ising((3, 3), coupling=0.0, field=field)
    p = 1 / (1 + np.exp(-2 * field / temperature))
    tokens = (torch.rand(500, 3, 3, generator=torch.Generator().manual_seed(0)) < p).to(torch.uint8)
    up = tokens.flatten(1).double().sum(1)
    samples = Samples(tokens, up * np.log(p) + (9 - up) * np.log(1 - p), seed=0)
    estimates = la.estimate(samples, ising, temperature)
    assert estimates["ess"].value == pytest.approx(1)
    assert estimates["log_z"].value == pytest.approx(9 * np.log(2 * np.cosh(field / temperature)), rel=1e-12)
    assert estimates["log_z"].error < 1e-12


def test_batches_give_what_the_whole_gives(ising, model):
    whole = la.estimate(model.sample(3000, seed=1), ising, TEMPERATURE)
    streamed = la.estimate(model.sample_batches(3000, seed=1), ising, TEMPERATURE)
    for name, estimate in whole.items():
        assert np.allclose(streamed[name].value, estimate.value, rtol=1e-10), name
        assert np.allclose(streamed[name].error, estimate.error, rtol=1e-8, atol=1e-14), name


def test_reweighting_to_other_temperatures(ising, model):
    temperatures = [1.7, 2.0, 2.6]
    results = la.reweight(
        model.sample_batches(40_000, seed=3),
        ising,
        temperatures,
        exact=[enumerate_states(ising, t) for t in temperatures],
    )
    for temperature, result in zip(temperatures, results, strict=True):
        assert result.temperature == temperature
        for name in ("free_energy_per_site", "energy_per_site", "abs_magnetization", "heat_capacity_per_site"):
            assert abs(result[name].deviation) < 4, (temperature, name)


def test_own_observables(ising, model):
    def staggered(spins):
        return (spins[:, ::2].sum((1, 2)) - spins[:, 1::2].sum((1, 2))) / 9

    samples = model.sample(20_000, seed=4)
    estimates = la.estimate(
        samples,
        ising,
        TEMPERATURE,
        observables={"staggered": staggered, "rows": lambda s: s.mean(2), "m2": lambda s: s.mean((1, 2)) ** 2},
    )
    assert isinstance(estimates["staggered"].value, float)
    assert estimates["rows"].value.shape == (3,)
    assert estimates["m2"].value == pytest.approx(estimates["magnetization_squared"].value, rel=1e-10)
    assert estimates["m2"].error == pytest.approx(estimates["magnetization_squared"].error, rel=1e-6)
    assert estimates["correlation"].value[0] == pytest.approx(1)
    pair = -(estimates["energy_per_site"].value + 0.1 * (samples_m := _mean_m(samples, ising))) / 2
    assert estimates["correlation"].value[1] == pytest.approx(pair, rel=1e-9), samples_m


def _mean_m(samples, ising) -> float:
    energy = ising.token_energy(samples.tokens)
    w = (-energy / TEMPERATURE - samples.log_q).softmax(0)
    return float((w * ising.spins(samples.tokens).mean((1, 2))).sum())


@pytest.mark.parametrize(
    ("observables", "message"),
    [
        ({"bad": lambda spins: spins}, "observable 'bad' must return shape"),
        ({"bad": lambda spins: spins.mean()}, "must return shape"),
        ({"bad": lambda spins: spins.mean((1, 2)) * 1j}, "must have finite real values"),
        ({"bad": lambda spins: spins.mean((1, 2)).log()}, "must have finite real values"),
        ({"bad": lambda spins: None}, "observable 'bad' must return numbers, of shape .* got NoneType None"),
        ({"bad": lambda spins: [[1.0], [1.0, 2.0]]}, "must return numbers, .* got list"),
        ({"bad": 3}, "observable 'bad' must be a function of the spins .* got int 3"),
        ([len], "observables must be functions by name, .* got list"),
        ({3: len}, "the name of an observable must be text, got int 3"),
        ({"log_z": lambda spins: spins.mean((1, 2))}, "has the name of a built-in quantity"),
        ({"verdict": lambda spins: spins.mean((1, 2))}, "'verdict' has the name of another key of estimates.json"),
    ],
)
def test_bad_observables(ising, model, observables, message):
    with pytest.raises(ValueError, match=message):
        la.estimate(model.sample(100), ising, TEMPERATURE, observables=observables)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, -1e300, 0.1])
def test_samples_whose_log_q_is_no_log_probability(ising, model, wrong):
    samples = model.sample(100)
    samples.log_q[67] = wrong
    shown = re.escape(f"{wrong:g}")
    for given in (samples, iter([samples[:60], samples[60:]])):
        with pytest.raises(ValueError, match=rf"log_q must be the logarithm .* got {shown} in sample 67"):
            la.estimate(given, ising, TEMPERATURE)


def test_log_q_may_exceed_zero_by_rounding():
    check_log_q("log_q", torch.tensor([-1.0, 1e-6]), 16, row="sample")


def test_samples_that_cannot_be_weighed(ising, model):
    samples = model.sample(100)
    with pytest.raises(ValueError, match="no log_q"):
        la.estimate(Samples(samples.tokens, None, seed=0), ising, TEMPERATURE)
    with pytest.raises(ValueError, match="samples have shape"):
        la.estimate(samples, la.Ising((3, 4)), TEMPERATURE)
    with pytest.raises(ValueError, match="needs at least 10 samples, got 3"):
        la.estimate(samples[:3], ising, TEMPERATURE)
    with pytest.raises(ValueError, match="no samples"):
        la.estimate([], ising, TEMPERATURE)
    with pytest.raises(ValueError, match="temperature must be positive"):
        la.estimate(samples, ising, -1.0)


def test_a_bad_model_is_told_loudly():
    ising = la.Ising((6, 6))
    with pytest.warns(la.UnreliableEstimateWarning, match="cannot be trusted"):
        estimates = la.estimate(la.PixelCNN((6, 6), 2, width=4, depth=2).sample(2000), ising, 1.5)
    assert not estimates.reliable
    assert not estimates["energy_per_site"].reliable
    assert "WARNING" in str(estimates)


def test_the_exact_distribution_weighs_one(ising):
    model = TableModel((3, 3), boltzmann(ising, TEMPERATURE))
    estimates = la.estimate(model.sample(1000), ising, TEMPERATURE, exact=enumerate_states(ising, TEMPERATURE))
    assert estimates["ess"].value == pytest.approx(1)
    assert estimates["log_z"].value == pytest.approx(estimates["log_z"].exact, rel=1e-12)
    assert abs(estimates["abs_magnetization"].deviation) < 4


def test_samples_that_miss_what_a_heat_bath_would_make_are_told():
    """Deep in the ordered phase the excitations are rare; a model that draws too few of them has equal weights on what
    it draws. Its ESS is near one and its error bars are far too small; Callen's identity gives it away."""
    ising, temperature = la.Ising((4, 4)), 1.0
    p = boltzmann(ising, temperature)
    p = torch.where(p > 0.4, p, p * 1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", la.UnreliableEstimateWarning)
        estimates = la.estimate(TableModel((4, 4), p / p.sum()).sample(10_000, seed=1), ising, temperature)
    assert estimates["ess"].value > 0.95
    assert not estimates.reliable
    assert any("heat bath" in reason for reason in estimates.warnings)
    fair = la.estimate(TableModel((4, 4), boltzmann(ising, temperature)).sample(10_000, seed=1), ising, temperature)
    assert fair.reliable, fair.warnings


def test_imbalance_is_a_standard_score_for_a_right_estimate(ising, model):
    """200 repeats: mean 0, variance 1; a sample variance beyond (0.6, 1.45) once in 10,000."""
    samples = model.sample(200 * 1000, seed=21)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", la.UnreliableEstimateWarning)
        parts = [la.estimate(samples[k * 1000 : (k + 1) * 1000], ising, TEMPERATURE) for k in range(200)]
    scores = [part.diagnostics["imbalance"] for part in parts]
    assert abs(np.mean(scores)) < 0.4
    assert 0.6 < np.var(scores) < 1.45


def test_forward_ess_shows_a_collapsed_model():
    """Below T_c a model of one phase weighs well on its own samples and badly on those of both phases."""
    ising, temperature = la.Ising((3, 3)), 1.5
    up = all_configurations((3, 3), 2).flatten(1).sum(1) > 4
    model = TableModel((3, 3), boltzmann(ising, temperature) * torch.where(up, 1.0, 1e-6))
    own = la.estimate(model.sample(2000, seed=0), ising, temperature, exact=None)
    assert own["ess"].value > 0.99
    assert own.verdict == "unchecked"
    target = Samples.cat(list(la.monte_carlo(ising, temperature, n=4000, method="swendsen-wang", seed=0)))
    own["forward_ess"] = la.forward_ess(model, target.tokens, ising, temperature)
    assert own["forward_ess"].value < 1e-4
    own.check_collapse()
    assert not own.reliable


def test_forward_ess_leaves_the_model_in_its_mode(ising, model):
    tokens = model.sample(20, seed=0).tokens
    model.train()
    la.forward_ess(model, tokens, ising, TEMPERATURE)
    assert model.training
    model.eval()


def test_forward_ess_is_the_ess_of_a_good_model(ising, model):
    own = la.estimate(model.sample(20_000, seed=0), ising, TEMPERATURE)["ess"]
    target = Samples.cat(list(la.monte_carlo(ising, TEMPERATURE, n=20_000, seed=0)))
    forward = la.forward_ess(model, target.tokens, ising, TEMPERATURE)
    assert abs(forward.value - own.value) < 0.05


@pytest.mark.slow
def test_a_million_samples_of_32x32_in_little_memory():
    code = """
import resource, torch, latticear as la
from latticear.samples import Samples, check_log_q
torch.set_num_threads(1)
ising = la.Ising((32, 32))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def batches():
    for k in range(250):
        tokens = torch.randint(2, (4000, 32, 32), dtype=torch.uint8)
        yield Samples(tokens, torch.full((4000,), -709.78), seed=0)
la.estimate(batches(), ising, 1e4)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 400


def test_error_of_a_mean_of_ten_has_no_bias():
    x = np.random.default_rng(0).normal(size=10)
    assert delta_error((x - x.mean())[:, None]) == pytest.approx(x.std(ddof=1) / np.sqrt(10), rel=1e-12)
