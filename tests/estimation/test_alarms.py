"""Cases in which error bars were believed though they were wrong, or not believed though they were right."""

import json
import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import latticear as la
from latticear.estimation.weights import diagnose
from latticear.samples import Samples

ROOT = Path(__file__).parents[2]


def _heat_bath(seed: int) -> la.Estimates:
    """Chains so short that the few configurations which carry the susceptibility are often missing."""
    ising = la.Ising((4, 4))
    schedule = {"n_chains": 20, "thinning": 1, "thermalization": 200}
    batches = la.monte_carlo(ising, 1.5, n=4000, method="heat-bath", seed=seed, **schedule)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", la.UnreliableEstimateWarning)
        return la.estimation.estimate_chains(batches, ising, 1.5)


def test_a_rare_event_that_was_missed_is_not_trusted():
    found = _heat_bath(33)["susceptibility"]
    assert found.deviation < -4
    assert found.verdict == "not trusted"


def test_data_that_missed_an_event_are_not_selected_by_having_missed_it():
    found = [_heat_bath(seed)["susceptibility"] for seed in range(40)]
    trusted = np.array([estimate.deviation for estimate in found if estimate.verdict == "trusted"])
    assert len(trusted) < 20  # it depends on a few events in most runs
    assert np.all(np.abs(trusted) < 3)
    assert min(estimate.deviation for estimate in found) < -4


def test_equal_weights_with_a_heavy_tail_are_not_blamed():
    """k-hat of weights that differ by 1e-5 says nothing of what the tail could do to the number."""
    rng, tail = np.random.default_rng(0), 1e-4 * (100 / np.arange(1, 101)) ** 1.5
    diagnostics = diagnose(rng.permutation(np.r_[np.zeros(3900), tail]))
    assert diagnostics.pareto_k > 0.75
    assert diagnostics.ess > 1 - 1e-5
    assert diagnostics.reasons == diagnostics.doubts == []
    assert any("heavy tail" in reason for reason in diagnose(np.log1p(rng.pareto(0.8, 4000))).reasons)


def test_few_equal_weights_are_not_blamed():
    assert diagnose(np.full(60, 1.0)).reasons == []
    assert diagnose(np.full(20, 1.0)).doubts == ["only 20 effective samples"]


def test_a_value_that_never_varied_has_a_bound_in_place_of_an_error():
    ising = la.Ising((8, 8))
    batches = la.monte_carlo(ising, 0.3, n=1000, method="swendsen-wang", seed=0)
    found = la.estimation.estimate_chains(batches, ising, 0.3)
    energy = found["energy_per_site"]
    assert energy.value == -2
    assert energy.verdict == "trusted"
    assert energy.shown_deviation == "no variation"
    assert "no variation in 1,000 configurations" in str(found)
    assert "(0)" not in str(found)
    assert json.loads(json.dumps(found.to_dict()))["energy_per_site"]["unvaried_in"] > 99


@pytest.mark.parametrize("crystal_field", [1.966, 1.99])
def test_a_collapse_into_one_phase_is_not_trusted(crystal_field):
    """All samples lie near the empty lattice, though the ordered phases have nearly all of the probability."""
    system, temperature = la.BlumeCapel((6, 6), crystal_field=crystal_field), 0.4
    p = torch.tensor([0.005, 0.99, 0.005], dtype=torch.float64)
    tokens = torch.multinomial(p, 20_000 * 36, replacement=True, generator=torch.Generator().manual_seed(0))
    tokens = tokens.view(-1, 6, 6).to(torch.uint8)
    samples = Samples(tokens, p.log()[tokens.long()].sum((1, 2)), 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", la.UnreliableEstimateWarning)
        beside, alone = (la.estimate(samples, system, temperature, exact=exact) for exact in ("auto", None))
        checked = la.estimate(samples, system, temperature, exact=None, check=True)
    assert beside.verdict == checked.verdict == "not trusted"
    assert alone.verdict != "trusted"


@pytest.mark.parametrize(("name", "temperature"), [("blume-capel", 0.6), ("potts 4", 0.9)])
def test_a_part_of_the_study(name, temperature):
    """One task of benchmarks/alarms.py: nothing that is called trusted is wrong."""
    study = runpy.run_path(str(ROOT / "benchmarks" / "alarms.py"))
    system = study["HAMILTONIANS"][name][0]()
    lines = list(study["weighted_tasks"](name, system, temperature, 7, models=3))
    values = [row for line in lines for row in line["rows"].values()]
    trusted = [z for z, letter, _ in values if letter == "t"]
    wrong = [letter for z, letter, _ in values if abs(z) > 6]
    assert len(trusted) > 5
    assert np.abs(trusted).max() < 4
    assert wrong
    assert "t" not in wrong
