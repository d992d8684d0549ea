"""What version 0.1.0 wrote is read, continued and weighed: tests/golden/v0_1_0 holds runs and files that it made."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import latticear as la
from latticear.cli import app

MADE = Path(__file__).parent / "golden" / "v0_1_0"
TEMPERATURE, ROUNDING = 2.269, 1e-5
SCAN = ["--size", "4", "--temperature", "2:2.6:2", "-n", "200", "--chains", "1"]
SCAN += ["--set", "model.width=4", "--set", "model.depth=2", "--set", "training.steps=12"]
SCAN += ["--set", "training.batch_size=16", "--set", "training.checkpoint_every=4"]


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A copy of what was made, and the folder that relative paths begin in."""
    folder = shutil.copytree(MADE, tmp_path / "made")
    monkeypatch.chdir(folder)
    return folder


def _succeed(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], prog_name="latticear")
    assert result.exit_code == 0, result.stderr
    return result.stdout


def _steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_an_interrupted_run_goes_on_to_its_last_step(made):
    before = (made / "pixelcnn" / "metrics.jsonl").read_text().splitlines()
    assert "finished: pixelcnn" in _succeed("train", "--out", "pixelcnn", "--resume")
    assert (made / "pixelcnn" / "checkpoints" / "step-12" / "model.safetensors").exists()
    after = (made / "pixelcnn" / "metrics.jsonl").read_text().splitlines()
    assert after[:8] == before[:8]
    for old, new in zip(before[8:], after[8:], strict=True):  # the steps that 0.1.0 made, and what became of them now
        first, second = json.loads(old), json.loads(new)
        assert first.keys() == second.keys()
        assert second["loss"] == pytest.approx(first["loss"], abs=1e-3)
    found = json.loads(_succeed("estimate", "pixelcnn", "-n", 2000, "--json"))
    assert found["free_energy_per_site"]["exact"] == pytest.approx(-2.2013294994122557, rel=1e-12)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("pixelcnn", ("-n", 2000)),
        ("multiscale", ("-n", 2000, "--method", "is")),
        ("range", ("-n", 2000, "--temperature", 2.1)),
        ("disorder", ("-n", 2000, "--instance", "couplings.h5", "--index", 1)),
        ("grid", ()),
    ],
)
def test_estimates_are_those_that_it_recorded(made, run, words):
    """From the same weights and the same random numbers; a sample that falls the other way by rounding moves little."""
    recorded = json.loads((made / run / "estimates.json").read_text())
    found = json.loads(_succeed("estimate", run, *words, "--json"))
    recorded = recorded["estimates"][0] if "estimates" in recorded else recorded
    quantities = [name for name, entry in recorded.items() if isinstance(entry, dict) and "error" in entry]
    quantities = [name for name in quantities if name != "forward_ess"]  # from other configurations of the target
    assert {"nll_per_site"} <= set(quantities) or {"free_energy_per_site", "ess", "log_z"} <= set(quantities)
    for name in quantities:
        value, error = np.array(recorded[name]["value"]), np.array(recorded[name]["error"])
        assert np.all(np.abs(np.array(found[name]["value"]) - value) <= 0.1 * error + ROUNDING), name
        assert ("exact" in found[name]) == ("exact" in recorded[name]), name
        if "exact" in recorded[name]:
            assert found[name]["exact"] == pytest.approx(recorded[name]["exact"], rel=1e-9), name


def test_log_q_of_its_samples_is_that_of_its_weights(made):
    model = la.load_model(made / "pixelcnn")
    (batch,) = la.data.read_batches("samples.h5", 1000)
    assert batch.tokens.shape == (40, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(model.log_prob(batch.tokens), batch.log_q, rtol=0, atol=ROUNDING)
    ising = la.Ising((4, 4))
    assert torch.equal(la.load_configurations("samples.h5", ising, temperature=TEMPERATURE), batch.tokens)
    with h5py.File("samples.h5") as h5:
        torch.testing.assert_close(ising.token_energy(batch.tokens), torch.from_numpy(h5["energy"][()]))
    metadata = la.data.read_metadata("samples.h5")
    assert (metadata["n_samples"], metadata["attributes"]["latticear_version"]) == (40, "0.1.0")


def test_its_samples_are_continued(made):
    with h5py.File("samples.h5") as h5:
        before = {name: h5[name][()] for name in ("spins", "log_q", "energy")}
    assert "samples.h5: 70 configurations" in _succeed(
        *("sample", "pixelcnn", "-n", 70, "--seed", 4, "-o", "samples.h5", "--append")
    )
    fresh = la.load_model(made / "pixelcnn").sample(70, seed=4)
    with h5py.File("samples.h5") as h5:
        for name, values in before.items():
            np.testing.assert_array_equal(h5[name][:40], values)
        np.testing.assert_array_equal(h5["spins"][40:], 2 * fresh.tokens[40:].numpy().astype(np.int8) - 1)
        np.testing.assert_array_equal(h5["log_q"][40:], fresh.log_q[40:].numpy())


def test_its_monte_carlo_configurations_are_data(made):
    ising = la.Ising((4, 4))
    data = la.load_configurations("mc.h5", ising, temperature=TEMPERATURE)
    assert data.shape == (60, 4, 4)
    with h5py.File("mc.h5") as h5:
        torch.testing.assert_close(ising.token_energy(data), torch.from_numpy(h5["energy"][()]))
    assert "forward_ess" in _succeed("estimate", "pixelcnn", "-n", 200, "--data", "mc.h5")


def test_a_bare_checkpoint_is_a_network(made):
    bare, ours = made / "checkpoint" / "step-8", made / "pixelcnn"
    tokens = torch.randint(2, (20, 4, 4), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(la.load_model(bare).log_prob(tokens), la.load_model(ours).log_prob(tokens))


@pytest.mark.parametrize("run", ["multiscale", "range", "disorder", "grid"])
def test_finished_runs_are_described_and_drawn_from(made, run):
    described = json.loads(_succeed("info", run, "--json"))
    assert described["estimates"]
    assert _steps(made / run) == list(range(1, 13))
    words = {
        "range": ("--temperature", 2.5),
        "disorder": ("--instance", "couplings.h5"),
        "grid": ("--condition", 1),
    }.get(run, ())
    assert "new.h5: 20 configurations" in _succeed("sample", run, "-n", 20, "-o", "new.h5", *words)


def test_a_finished_run_stays_as_it_is(made):
    before = (made / "multiscale" / "metrics.jsonl").read_text()
    assert "finished: multiscale" in _succeed("train", "--out", "multiscale", "--resume")
    assert (made / "multiscale" / "metrics.jsonl").read_text() == before


def test_larger_lattices_begin_with_its_weights(made):
    words = ("--size", 8, "--set", "training.steps=2", "--set", "training.batch_size=8")
    assert "finished: larger" in _succeed("train", "--from", "multiscale", *words, "--out", "larger")


def test_an_unfinished_scan_goes_on(made):
    (done,) = (made / "scan" / "points").glob("*.json")
    before = done.read_text()
    rows = json.loads(_succeed("scan", *SCAN, "--out", "scan", "--resume", "--json"))["rows"]
    assert sorted(row["temperature"] for row in rows) == [2.0, 2.6]
    assert done.read_text() == before
    assert (made / "scan" / "table.csv").exists()
    assert _steps(made / "scan" / "4x4" / "T2") == [1, 2, 3]
