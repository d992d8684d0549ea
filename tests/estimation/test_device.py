"""Every estimator with samples, chains and particles on a CUDA device: the numbers are those of the processor."""

import copy

import numpy as np
import pytest
import torch
from support import contracts

import latticear as la
from latticear.estimation import block_chains, estimate_blocks, estimate_population, forward_ess, reweight
from latticear.estimation.methods import METHODS
from latticear.montecarlo import monte_carlo_data

T = 2.5
ISING = la.Ising((4, 4))


def _model(name):
    return contracts.peaked(la.MODELS[name]((4, 4), 2, bias=ISING.bias(T), spin_flip_symmetric=True), 0.1)


def _same(found, expected):
    assert set(found) == set(expected)
    for name, here in expected.items():
        np.testing.assert_allclose(found[name].value, here.value, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(found[name].error, here.error, rtol=1e-4, atol=1e-9)


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore::latticear.estimation.UnreliableEstimateWarning")
@pytest.mark.parametrize(
    ("method", "name"), [("is", "pixelcnn"), ("is", "multiscale"), ("smc", "multiscale"), ("mcmc", "pixelcnn")]
)
def test_every_method(method, name):
    found = []
    for model in (_model(name), _model(name).cuda()):
        how = {"n": 64, "seed": 1, "condition": None, "report": None}
        found.append(METHODS[method](model, model.sample_batches(64, seed=1), ISING, T, **how))
    _same(found[1], found[0])


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore::latticear.estimation.UnreliableEstimateWarning")
def test_samples_on_a_device():
    model, data = _model("multiscale"), monte_carlo_data(ISING, T, 60, 0, "check")
    there = copy.deepcopy(model).cuda()
    own = {"row": lambda spins: spins[:, 0].mean(1), "three": lambda spins: spins[:, 0, :3]}
    for check in (
        lambda m, d: la.estimate(m.sample(64, seed=1), ISING, T, observables=own),
        lambda m, d: reweight(m.sample(64, seed=1), ISING, [T, 2.6])[1],
        lambda m, d: la.negative_log_likelihood(m, d),
        lambda m, d: {"forward_ess": forward_ess(m, d, ISING, T)},
    ):
        _same(check(there, data.cuda()), check(model, data))


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore::latticear.estimation.UnreliableEstimateWarning")
def test_chains_on_a_device():
    small = la.Ising((2, 3))
    model = la.MultiscalePixelCNN((2, 3), bias=small.bias(T), spin_flip_symmetric=True).double().cuda()
    blocks = list(block_chains(model, small, T, n=20, n_chains=1, thermalization=1, seed=1))
    assert {batch.tokens.device.type for batch in blocks} == {"cuda"}
    assert estimate_blocks(blocks, small, T)["energy_per_site"].value < 0
    chains = list(la.monte_carlo(ISING, T, n=200, n_chains=20, method="metropolis", thermalization=20, device="cuda"))
    assert la.estimate_chains(chains, ISING, T)["energy_per_site"].value < 0
    population = la.montecarlo.annealed_population(ISING, T, n=200, n_islands=10, n_sweeps=1, device="cuda")
    assert estimate_population(population, ISING, T)["log_z"].value > 0
    series = torch.cat([batch.tokens for batch in chains])
    assert la.estimate_chains(series, ISING, T, n_chains=20)["energy_per_site"].value < 0
