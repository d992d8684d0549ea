"""Chains and weighted samples for ArviZ, of which a stub with the same constructor stands in where it is missing."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray

import latticear as la

ISING, T = la.Ising((3, 3)), 2.5
OWN = {"corner": lambda spins: spins[:, 0, 0], "rows": lambda spins: spins.mean(2)}


class InferenceData(SimpleNamespace):
    """Groups by name, as in ArviZ before 1.0."""


@pytest.fixture(params=["InferenceData", "DataTree"])
def arviz(monkeypatch, request):
    """A stub of ArviZ before 1.0, and one of ArviZ 1.0, which has no class of its own."""
    stub = SimpleNamespace(InferenceData=InferenceData) if request.param == "InferenceData" else SimpleNamespace()
    monkeypatch.setitem(sys.modules, "arviz", stub)
    return request.param


def chains(n=60, n_chains=3):
    return list(la.monte_carlo(ISING, T, n=n, n_chains=n_chains, thinning=1, thermalization=5, seed=1))


def test_batches_of_monte_carlo(arviz):
    batches = chains()
    data = la.to_arviz(iter(batches), ISING, T, observables=OWN, skip=2)
    assert isinstance(data, InferenceData if arviz == "InferenceData" else xarray.DataTree)
    posterior, stats = data.posterior, data.sample_stats
    assert posterior.energy_per_site.dims == ("chain", "draw")
    assert dict(posterior.sizes) == {"chain": 3, "draw": 18, "rows_dim_0": 3}
    energy = torch.stack([ISING.token_energy(batch.tokens) for batch in batches])[2:].T
    np.testing.assert_allclose(posterior.energy_per_site, energy / 9)
    np.testing.assert_allclose(stats.lp, -energy / T)
    spins = torch.stack([ISING.spins(batch.tokens) for batch in batches])[2:].transpose(0, 1)
    np.testing.assert_array_equal(posterior.corner, spins[..., 0, 0])
    np.testing.assert_allclose(posterior.rows, spins.double().mean(-1))
    np.testing.assert_allclose(posterior.magnetization, spins.double().mean((-1, -2)))
    assert "log_weight" not in stats
    assert posterior.attrs["temperature"] == T
    assert list(posterior.draw) == list(range(18))


@pytest.mark.filterwarnings("ignore::latticear.data.loading.ConversionNote")
def test_an_array_and_a_file(arviz, tmp_path):
    batches = chains()
    expected = la.to_arviz(batches, ISING, T).posterior
    spins = np.stack([ISING.spins(batch.tokens).numpy() for batch in batches])
    xarray.testing.assert_equal(la.to_arviz(spins, ISING, T).posterior.energy_per_site, expected.energy_per_site)
    np.save(tmp_path / "mc.npy", spins.reshape(-1, 3, 3))
    found = la.to_arviz(tmp_path / "mc.npy", ISING, T, n_chains=3).posterior
    xarray.testing.assert_equal(found.energy_per_site, expected.energy_per_site)


def test_samples_of_a_model_have_weights(arviz):
    model = la.PixelCNN((3, 3), width=4, depth=1, bias=ISING.bias(T))
    samples = model.sample(500, seed=1)
    data = la.to_arviz(samples, ISING, T)
    assert dict(data.posterior.sizes) == {"chain": 1, "draw": 500}
    log_weight = data.sample_stats.log_weight
    weighted = data.posterior.energy_per_site.weighted(np.exp(log_weight - log_weight.max())).mean()
    estimates = la.estimate(samples, ISING, T, check=False)
    assert float(weighted) == pytest.approx(estimates["energy_per_site"].value, rel=1e-9)
    in_batches = la.to_arviz([samples[:200], samples[200:]], ISING, T)
    xarray.testing.assert_equal(in_batches.sample_stats.log_weight, log_weight)
    assert "log_weight" in data.posterior.attrs["weights"]


def test_what_it_refuses(arviz):
    for samples, options, words in [
        (chains(), {"n_chains": 3}, "n_chains is for an array or a file"),
        (chains(), {"skip": 20}, "no draws are left: got 20 of each chain and skip = 20"),
        (ISING, {}, "got "),
    ]:
        with pytest.raises(ValueError, match=words):
            la.to_arviz(samples, ISING, T, **options)
    with pytest.raises(ValueError, match="temperature"):
        la.to_arviz(chains(), ISING, 3.0)


def test_without_arviz(monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(ImportError, match="to_arviz needs arviz, which is not installed: pip install arviz"):
        la.to_arviz(chains(), ISING, T)
