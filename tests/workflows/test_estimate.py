"""Estimates of a run, in this process: which method, which check, what is kept."""

import json

import h5py
import numpy as np
import pytest
from support import tiny
from support.tiny import estimated
from support.verbs import succeed

from latticear.runs.directory import RunDirectory
from latticear.workflows import estimate as estimating, save_estimates


def test_estimates_are_kept_where_they_are_those_of_the_run(copy):
    file = copy / "estimates.json"
    save_estimates(copy, estimated(copy, temperatures=[2.2]), seed=0)
    save_estimates(copy, estimated(copy, temperatures=[tiny.TEMPERATURE, 2.2]), seed=0)
    save_estimates(copy, estimated(copy, method="mcmc"), seed=0)  # has no free energy
    assert not file.exists()
    results = estimated(copy, seed=3)
    save_estimates(copy, results, seed=3)
    stored = json.loads(file.read_text())
    assert (stored["seed"], stored["checkpoint"], stored["temperature"]) == (3, "step-12", tiny.TEMPERATURE)
    assert stored["log_z"]["value"] == results[0]["log_z"].value


def test_the_forward_ess_comes_with_every_method(run, data):
    for method in ("is", "mcmc"):
        result = estimated(run, method=method, data=data)[0]
        assert 0 < result["forward_ess"].value <= 1
    with pytest.raises(ValueError, match=r"at temperature 2\.269, not at the requested 2\.5"):
        estimated(run, temperatures=[2.5], data=data)


def test_the_method_follows_from_the_weights(tmp_path, monkeypatch):
    """Importance sampling, the samples of the choice included, where the weights allow it; else smc, where it can."""
    multiscale = tiny.train(tmp_path / "m", "model.name=multiscale", "model.depth=1", "training.steps=2")
    monkeypatch.setattr(estimating, "MIN_ESS", 0.0)
    said, plain = [], estimated(multiscale)[0]
    chosen = estimated(multiscale, method=None, say=said.append)[0]
    assert chosen.to_dict() == plain.to_dict()
    assert chosen.method == "is"
    assert said[0].startswith("importance sampling: ESS ")
    monkeypatch.setattr(estimating, "MIN_ESS", 1.1)
    switched = estimated(multiscale, n=3200, method="auto", say=said.append)[0]
    assert switched.method == "smc"
    assert said[-2].startswith("sequential Monte Carlo: ESS ")
    assert said[-1] == "check by independent configurations, 1,000 of them"
    assert abs(switched["log_z"].deviation) < 4
    save_estimates(multiscale, [switched], seed=0)
    assert RunDirectory(multiscale).read_json("estimates.json")["method"] == "smc"
    chains = estimated(multiscale, n=400, method="mcmc")[0]
    assert "acceptance_below_1" in chains.diagnostics
    assert chains.method == "mcmc"


def test_a_model_without_steps_has_no_other_choice(run, monkeypatch):
    monkeypatch.setattr(estimating, "MIN_ESS", 1.1)
    said = []
    assert estimated(run, method=None, say=said.append)[0].method == "is"
    assert "pixelcnn does not draw in steps" in said[0]
    with pytest.raises(ValueError, match="PixelCNN does not: use importance sampling"):
        estimated(run, method="smc")
    assert len(estimated(run, method=None, temperatures=[2.2, 2.3], say=said.append)) == 2  # reweighting, not asked for
    assert len(said) == 2


def test_methods_are_checked(run):
    with pytest.raises(ValueError, match=r"method must be one of \['auto', 'is', 'smc', 'mcmc'\], got 'exact'"):
        estimated(run, method="exact")
    with pytest.raises(ValueError, match="one temperature at a time"):
        estimated(run, method="mcmc", temperatures=[2.0, 2.1])


def test_what_a_run_misses_is_seen_without_being_asked_for(tmp_path):
    """It has learned from positive magnetisations alone."""
    data = tiny.monte_carlo(tmp_path / "up.h5")
    with h5py.File(data, "r+") as file:
        spins = file["spins"][:]
        file["spins"][:] = spins * np.where(spins.sum((1, 2), keepdims=True) < 0, -1, 1)
    sets = ["training.augment=false", "model.spin_flip_symmetric=false", "training.steps=150"]
    run = tiny.train(tmp_path / "run", *tiny.forward(data), *sets, "training.learning_rate=0.02")
    result, alone = estimated(run, n=1000)[0], estimated(run, n=1000, check=False)[0]
    assert result["forward_ess"].value < result["ess"].value / 10
    assert not result.reliable
    assert result.verdict == "not trusted", result.warnings
    assert "forward_ess" not in alone


def test_the_check_is_there_for_every_system(copy, tmp_path):
    hotter, colder = estimated(copy, temperatures=[2.4, 2.2])
    assert 0 < hotter["forward_ess"].value != colder["forward_ess"].value
    frustrated = tiny.train(tmp_path / "run", "hamiltonian.shape=[3, 3]", "hamiltonian.coupling=-1.0")
    assert 0 < estimated(frustrated)[0]["forward_ess"].value <= 1
    assert "forward_ess" not in json.loads(succeed("estimate", copy, "-n", "100", "--no-check", "--json"))
