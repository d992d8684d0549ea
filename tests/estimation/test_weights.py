"""Sums of importance weights, effective sample size and the shape of the tail."""

import numpy as np
import pytest
from scipy import stats

from latticear.estimation.weights import diagnose, effective_sample_size, log_mean_exp, pareto_k


def test_log_mean_exp_and_ess_by_hand():
    log_w = np.log([1.0, 2.0, 3.0, 6.0])
    assert log_mean_exp(log_w) == pytest.approx(np.log(3))
    assert effective_sample_size(log_w) == pytest.approx(144 / (4 * 50))
    assert log_mean_exp(log_w + 5000) == pytest.approx(5000 + np.log(3))
    assert effective_sample_size(log_w - 5000) == pytest.approx(0.72)
    assert effective_sample_size(np.zeros(7)) == pytest.approx(1)
    assert effective_sample_size(np.array([0.0, -1e4, -1e4])) == pytest.approx(1 / 3)


@pytest.mark.parametrize("k", [0.1, 0.3, 0.5, 0.7, 1.0])
def test_pareto_k_finds_the_shape(k):
    # the fit to m points has a standard deviation of about (1 + k) / sqrt m (de Zea Bermudez and Kotz 2010)
    rng = np.random.default_rng(3)
    n = 40_000
    found = [pareto_k(np.log(stats.pareto.rvs(1 / k, size=n, random_state=rng))) for _ in range(20)]
    m = 3 * n**0.5
    assert abs(np.mean(found) - k) < 4 * (1 + k) / (m * 20) ** 0.5 + 0.02  # 0.02: the prior and the finite cut-off


def test_pareto_k_does_not_depend_on_the_scale():
    log_w = np.random.default_rng(0).normal(size=5000)
    assert pareto_k(log_w + 800) == pytest.approx(pareto_k(log_w), rel=1e-6)


def test_bounded_and_constant_weights_have_no_tail():
    assert pareto_k(np.zeros(1000)) == 0
    assert pareto_k(np.zeros(10)) == 0
    assert pareto_k(np.log(np.random.default_rng(1).uniform(1, 2, size=10_000))) < 0


@pytest.mark.parametrize("few", [np.array([0.0, 1.0, 1.15]), np.linspace(0, 2, 40)])
def test_pareto_k_does_not_depend_on_rounding(few):
    """Weights of a few configurations, each drawn many times: no two processors round all of them alike."""
    rng = np.random.default_rng(0)
    log_w = rng.choice(few, size=20_000, p=np.exp(-3 * few) / np.exp(-3 * few).sum())
    for rounding in (1e-16, 1e-12, 1e-7):
        assert pareto_k(log_w + rounding * rng.normal(size=20_000)) == pytest.approx(pareto_k(log_w), abs=1e-3)


def test_equal_weights_hide_no_heavy_tail():
    rng = np.random.default_rng(0)
    log_w = np.where(rng.random(20_000) < 0.01, np.log(stats.pareto.rvs(1, size=20_000, random_state=rng)), 0)
    assert abs(pareto_k(log_w) - 1) < 4 * 2 / 200**0.5  # fitted to 200


def test_good_weights_raise_no_doubt():
    log_w = 0.3 * np.random.default_rng(0).normal(size=10_000)
    health = diagnose(log_w)
    assert health.reasons == []
    assert health.kl == pytest.approx(0.045, rel=0.1)
    assert health.half_variance == pytest.approx(0.045, rel=0.1)


@pytest.mark.parametrize(
    ("log_w", "reason"),
    [
        (np.random.default_rng(0).normal(size=60), "only"),
        (np.append(np.zeros(10_000), 8.0), "one sample carries"),
        (np.append(np.zeros(10_000), 8.0), "ESS changes with n"),
        (np.log(stats.pareto.rvs(1 / 0.9, size=20_000, random_state=1)), "heavy tail"),
        (np.where(np.arange(20_000) % 5 == 0, -40.0, 0.0), "disagree"),
    ],
)
def test_bad_weights_are_told(log_w, reason):
    assert any(reason in told for told in diagnose(log_w).reasons)
