"""Monte Carlo on a CUDA device: every method ends there, whatever it does on the processor."""

import numpy as np
import pytest
import torch

import latticear as la
from latticear.montecarlo import CHAIN_METHODS, monte_carlo
from latticear.montecarlo.heatbath import RowBath, TableBath
from latticear.montecarlo.population import annealed_population, equally_weighted

SYSTEMS = {
    "ising": la.Ising((3, 4)),
    "glass in a field": la.EdwardsAnderson((3, 4), field=0.2),
    "potts": la.Potts((3, 3)),
    "components": la.Components(la.AshkinTeller((2, 3), four_spin=0.3)),
}


@pytest.mark.gpu
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("method", CHAIN_METHODS)
def test_every_method(method, system):
    hamiltonian = SYSTEMS[system]
    options = {"n": 7, "n_chains": 4, "method": method, "thermalization": 2, "thinning": 1}
    try:
        here = list(monte_carlo(hamiltonian, 2.0, **options))
    except ValueError as error:
        with pytest.raises(ValueError, match=str(error)[:20]):
            list(monte_carlo(hamiltonian, 2.0, device="cuda", **options))
        return
    there = list(monte_carlo(hamiltonian, 2.0, device="cuda", **options))
    assert {batch.tokens.device.type for batch in there} == {"cuda"}
    assert [batch.tokens.shape for batch in there] == [batch.tokens.shape for batch in here]
    if method in ("swendsen-wang", "wolff"):  # the processor finds the clusters, with the same random numbers
        assert all(torch.equal(a.tokens.cpu(), b.tokens) for a, b in zip(there, here, strict=True))


@pytest.mark.gpu
@pytest.mark.parametrize("kind", [RowBath, TableBath])
def test_heat_baths(kind):
    hamiltonian, tokens = SYSTEMS["glass in a field"], torch.zeros(5, 3, 4, dtype=torch.uint8, device="cuda")
    bath = kind(hamiltonian, tokens, torch.Generator("cuda").manual_seed(1))
    bath.sweep(torch.full((5,), 0.5, dtype=torch.float64, device="cuda"))
    bath.take(torch.tensor([0, 0, 1, 2, 4], device="cuda"))
    energies, found = bath.energies(), bath.tokens()
    assert found.device.type == energies.device.type == "cuda"
    assert (energies.cpu() - hamiltonian.token_energy(found.cpu())).abs().max() < 1e-9


@pytest.mark.gpu
def test_populations():
    found = annealed_population(la.Ising((2, 3)), 2.0, n=20, n_islands=2, n_sweeps=1, device="cuda")
    assert {t.device.type for t in (found.tokens, *found.records.values())} == {"cuda"}
    assert equally_weighted(found).tokens.device.type == "cuda"
    assert np.isfinite(found.records["log_w"].cpu().numpy()).all()
