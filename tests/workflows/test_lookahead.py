"""Runs whose logits contain the sum over later sites."""

import json
import tomllib

import pytest
import torch
from support import tiny
from support.tiny import estimated, silent
from support.verbs import succeed

import latticear as la
from latticear.models import tensor_network
from latticear.runs.directory import RunDirectory
from latticear.workflows import describe, lookahead, sample_run, train_run
from latticear.workflows.compare import compare_runs

AUTO = ["model.name=tensor_network", "model.bond_dimension=auto", "model.target_ess=0.999"]
SYSTEM = {"temperature": la.T_C, "hamiltonian": {"shape": [6, 6]}}
NETWORK = [*tiny.SETS, "model.bond_dimension=1"]


def _said(out, *sets, **options) -> list[str]:
    said: list[str] = []
    assert train_run(out, None, sets, SYSTEM, report=silent, say=said.append, **{"resume": False, **options})
    return said


def test_the_bond_dimension_that_was_found_is_stored(tmp_path, monkeypatch):
    out = tmp_path / "run"
    said = _said(out, *AUTO)
    assert any(line.startswith("bond dimension 8: ESS ") for line in said)
    assert tomllib.loads((out / "run.toml").read_text())["model"]["bond_dimension"] == 8
    monkeypatch.setattr(tensor_network, "find_bond_dimension", None)
    assert _said(out, *AUTO, resume=True) == []
    with pytest.raises(ValueError, match=r"model\.bond_dimension is 8 there, got 4"):
        _said(out, AUTO[0], "model.bond_dimension=4", resume=True)
    assert estimated(out, 500)[0]["ess"].value > 0.95
    assert la.load_run(out).model.bond_dimension == 8


def test_a_time_budget_is_one_step_for_a_network_without_weights(tmp_path):
    said = _said(tmp_path / "run", "model.name=tensor_network", "model.bond_dimension=4", minutes=5.0)
    assert said == ["tensor_network has no weights to train: one step, whatever is asked for"]
    assert len(la.load_run(tmp_path / "run").metrics) == 1


def test_a_run_states_its_sums(tmp_path):
    out = tiny.train(tmp_path / "run", "model.bond_dimension=1")
    content = describe(out)
    stated = content["environment"]["lookahead"]
    sums = la.load_run(out).model.bias.environments()
    assert (stated["bond_dimension"], stated["megabytes"]) == (1, sums.n_bytes / 1e6)
    assert stated["largest_cut"] == pytest.approx(float(sums.lost.max()))
    json.dumps(content)


def test_a_run_goes_on_as_if_it_had_not_been_interrupted(tmp_path):
    whole = tiny.train(tmp_path / "whole", "model.bond_dimension=1")
    out, seen = tmp_path / "parts", []

    def stop(done: int, total: int, text: str) -> None:
        seen.append(done)
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny.train(out, "model.bond_dimension=1", report=stop)
    tiny.train(out, "model.bond_dimension=1", resume=True)
    weights, again = (la.load_run(path).model.state_dict() for path in (whole, out))
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert seen[-1] == 10


def test_a_saved_network_is_the_same_run(tmp_path):
    ising = la.Ising((4, 4))
    model = la.default_model(ising, 2.0, name="pixelcnn", bond_dimension=2, width=4, depth=2)
    *_, step = la.fit(model, ising, temperature=2.0, steps=2, batch_size=16)
    run = la.save_run(
        tmp_path / "run", model, ising, temperature=2.0, step=step, training={"steps": 2, "batch_size": 16}
    )
    assert run.config.model["bond_dimension"] == run.model.bias.bond_dimension == 2
    assert run.environment["lookahead"]["bond_dimension"] == 2
    assert torch.equal(run.samples(20, seed=1).tokens, model.sample(20, seed=1).tokens)


def test_progress_of_the_sums(tmp_path, monkeypatch):
    out = tiny.train(tmp_path / "run", "model.bond_dimension=1")
    monkeypatch.setattr(lookahead, "PATIENCE", -1.0)
    seen: list[tuple] = []
    sample_run(out, tmp_path / "a.h5", 10, seed=0, append=False, device="cpu", report=lambda *part: seen.append(part))
    rows = [part[:2] for part in seen if "rows summed" in part[2]]
    assert rows == [(2, 4), (3, 4), (4, 4)]


def test_comparison_with_a_network_without_weights(tmp_path):
    config = tmp_path / "tn.toml"
    config.write_text('temperature = 2.0\n[hamiltonian]\nshape = [4, 4]\n[model]\nname = "tensor_network"\n')
    options = {"minutes": 0.1, "n": 200, "overrides": ["model.bond_dimension=auto"], "values": {}, "report": silent}
    rows = [list(compare_runs([config], tmp_path / "out", **options)) for _ in range(2)]
    assert rows[0] == rows[1]
    assert (rows[0][0]["steps"], rows[0][0]["parameters"]) == (1, 0)
    assert not any("slower" in reason for reason in rows[0][0]["warnings"])
    assert RunDirectory(tmp_path / "out" / "tn").read_json("environment.json")["lookahead"]["bond_dimension"] == 4


COLD = {"temperature": 0.1, "hamiltonian": {"name": "edwards_anderson", "shape": [6, 6]}}
"""Too cold for sums in double precision, while the ESS is above 0.8."""


def test_estimates_of_sums_that_lack_something_are_not_trusted(tmp_path):
    out = tmp_path / "run"
    sets = ["model.name=tensor_network", "model.bond_dimension=32"]
    assert train_run(out, None, sets, COLD, report=silent, resume=False)
    (found,) = estimated(out, 500)
    assert found["ess"].value > 0.8
    assert any("these may lack a part of the distribution" in reason for reason in found.warnings)
    assert not found.reliable


def test_a_network_is_trained_where_nothing_is_named_and_sums_lack_something(tmp_path, monkeypatch):
    def stop(*_, **__):
        raise InterruptedError

    monkeypatch.setattr("latticear.workflows.train.begin", stop)
    said: list[str] = []
    with pytest.raises(InterruptedError):
        train_run(tmp_path / "run", None, [], COLD, report=silent, say=said.append, resume=False)
    assert said[0].startswith("no tensor_network, since bond dimension ")
    named: list[str] = []
    with pytest.raises(InterruptedError):
        train_run(tmp_path / "run", None, AUTO[:2], COLD, report=silent, say=named.append, resume=False)
    assert named[0].startswith("bond dimension ")


def test_steps_of_a_training_that_there_is_not(tmp_path):
    said = _said(tmp_path / "run", "model.name=tensor_network", "training.steps=100")
    assert said[0].startswith("bond dimension 4: ESS ")  # it is searched where none is named
    assert said[1:] == ["tensor_network has no weights to train: one step, whatever is asked for"]
    assert la.load_run(tmp_path / "run").config.training["steps"] == 1
    assert "none: there is nothing to learn" in succeed("info", str(tmp_path / "run"))
    with pytest.raises(ValueError, match=r"model\.target_ess must lie between 0 and 1, got 1\.5"):
        _said(tmp_path / "b", "model.name=tensor_network", "model.target_ess=1.5")
    with pytest.raises(ValueError, match=r'model\.bond_dimension must be at least 1, or "auto", got 0$'):
        _said(tmp_path / "b", "model.name=tensor_network", "model.bond_dimension=0")
