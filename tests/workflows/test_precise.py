"""Estimates of a run to a wanted precision: what is kept, what goes on from there, and what is noticed."""

from __future__ import annotations

import json

import pytest
from support import tiny
from support.verbs import invoke, refusal, succeed

import latticear as la
from latticear.workflows import precise

WANTED = {"free_energy_per_site": 0.01}


def estimated(run, error, n=None, **changes):
    return tiny.estimated(run, n=n, error=error, check=False, **changes)[0]


def test_an_estimate_goes_on_from_what_is_kept(copy, monkeypatch):
    whole = estimated(copy, {"log_z": 0.02}, n=9000)
    (kept,) = (copy / "measured").iterdir()
    kept.unlink()

    class Stops(precise.StopSignals):
        asked = 0

        @property
        def requested(self):
            Stops.asked += 1
            return Stops.asked == 3

        @requested.setter
        def requested(self, _):
            pass

    monkeypatch.setattr(precise, "StopSignals", Stops)
    with pytest.raises(KeyboardInterrupt, match=r"samples are kept in .*measured.*; the same command goes on"):
        estimated(copy, {"log_z": 0.02}, n=9000)
    monkeypatch.undo()
    said = []
    again = estimated(copy, {"log_z": 0.02}, n=9000, say=said.append)
    assert said[0].startswith("continues after the ")
    assert again.n == whole.n
    assert again["log_z"].value == pytest.approx(whole["log_z"].value, rel=1e-12)
    assert again["correlation"].error == pytest.approx(whole["correlation"].error, rel=1e-9)
    longer = estimated(copy, {"log_z": 1e-9}, n=12_000, say=said.append)
    assert longer.n + longer.diagnostics["left_out"] == 12_000
    assert longer["log_z"].reached is False
    start = int(longer.diagnostics["left_out"])
    run = la.load_run(copy)
    batches = run.model.sample_batches(longer.n, seed=0, start=start)
    plain = la.estimate(batches, run.hamiltonian, run.temperature)
    assert plain["log_z"].value == pytest.approx(longer["log_z"].value, rel=1e-12)
    estimated(copy, {"log_z": 1.0}, n=5000, seed=1, say=said.append)
    assert said[-1].endswith("has 12,000 samples of seed 0 too; these begin anew, and those stay")
    kept.write_bytes(kept.read_bytes()[:-8] + b"12345678")
    with pytest.raises(ValueError, match=r"is damaged \(its checksum differs.*remove it, to measure"):
        estimated(copy, {"log_z": 1.0}, n=5000)


def test_a_wrong_name_is_refused_before_what_is_kept_is_read(copy, tmp_path):
    estimated(copy, {"log_z": 1.0}, n=2000)
    (kept,) = (copy / "measured").iterdir()
    kept.write_bytes(b"damaged")
    for name, hint in (
        ("enrgy_per_site", "did you mean 'energy_per_site'"),
        ("overlap_squared", "there are free_energy"),
    ):
        with pytest.raises(ValueError, match=f"there is no estimate '{name}' whose error could be asked for; {hint}"):
            estimated(copy, {name: 1.0}, n=2000)
    with pytest.raises(ValueError, match="is damaged"):
        estimated(copy, {"correlation[1]": 1.0}, n=2000)


def test_another_method_or_observable_is_no_continuation_of_what_is_kept(copy):
    said = []
    estimated(copy, {"log_z": 1.0}, n=2000, observables=["structure_factor"])
    assert estimated(copy, {"log_z": 1.0}, n=2000, temperatures=[2.5, 3.0], say=said.append).method == "is"
    assert said[-1].endswith("samples of T = 2.269 and other observables too; these begin anew, and those stay")
    estimated(copy, {"log_z": 1.0}, n=2000)
    repeated = {"n": 2000, "method": "mcmc", "observables": ["neighbour_correlation"]}
    found = estimated(copy, {"neighbour_correlation": 0.1}, **repeated)
    assert found.method == "mcmc"
    assert found["neighbour_correlation"].wanted == 0.1
    (again,) = la.load_run(copy).estimate(200, observables=["neighbour_correlation"], check=False, progress=False)
    assert "neighbour_correlation" in again


def test_the_command_says_what_is_reached_and_refuses_what_means_nothing(copy, tmp_path):
    content = json.loads(succeed("estimate", copy, "--error", "log_z=5%,energy_per_site=0.1", "-n", "5000", "--json"))
    assert content["log_z"]["reached"] is True
    assert content["energy_per_site"]["wanted"] == 0.1
    assert "--error must be NAME=ERROR" in refusal("estimate", copy, "--error", "log_z")
    assert "--error has log_z twice, 1 and 2" in refusal("estimate", copy, "--error", "log_z=1", "--error", "log_z=2")
    assert "--minutes goes with --error" in refusal("estimate", copy, "--minutes", "1")
    chains = ("mc", "--size", "4", "--temperature", "3", "-o", tmp_path / "c.h5", "--method", "swendsen-wang")
    assert "did you mean 'energy_per_site'?" in refusal(*chains, "--error", "energy_per_sit=1", "-n", "1000")
    code, printed, _ = invoke(*chains, "--error", "energy_per_site=0.03", "--append")
    assert code == 0
    assert "energy_per_site to 0.03: error 0.0" in printed
    first = int(printed.split()[-2])
    code, printed, _ = invoke(*chains, "--error", "energy_per_site=0.01", "--append", "-n", "20000")
    assert code == 0
    assert int(printed.split()[-2]) >= first
