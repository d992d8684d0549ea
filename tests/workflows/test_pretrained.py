"""The shipped runs at work: each reaches what its card says, and whatever is done with one leaves it as it is."""

import json
import math

import h5py
import pytest
import torch
from support import tiny
from support.verbs import invoke, refusal, succeed

import latticear as la
from latticear.checksums import digest_of
from latticear.runs.directory import RunDirectory
from latticear.runs.pretrained import FOLDER, PREFIX
from latticear.runs.signals import StopSignals
from latticear.workflows import report
from latticear.workflows.check import check

SHIPPED = sorted(la.PRETRAINED)
SMALL = "ising-critical-16"
every = pytest.mark.parametrize("name", SHIPPED)


def _state() -> dict:
    return {path: (path.stat().st_mtime_ns, digest_of(path)) for path in FOLDER.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def _as_it_was():
    """Nothing in the folder of the shipped runs changes in any test."""
    before = _state()
    yield
    assert _state() == before


@every
def test_it_reaches_what_its_card_says(name):
    """Fixed seeds; a right network fails at four errors once in some thousand of the comparisons."""
    run, card = la.pretrained(name), la.PRETRAINED[name]
    for each in card.reached:
        assert abs(each.log_z - each.log_z_exact) < 4 * math.hypot(each.log_z_error, each.exact_error)
        exact = la.exact_result(run.hamiltonian, each.temperature)
        if exact is not None:
            assert (each.log_z_exact, each.exact_error) == (pytest.approx(exact.log_z, rel=1e-12), 0)
    for each in card.reached[::2]:
        t = each.temperature if run.target.covers_range else None
        samples = run.samples(200 if run.model.shape == (64, 64) else 500, seed=12, temperature=t)
        found = la.estimate(samples, run.hamiltonian, each.temperature)
        assert abs(found["log_z"].value - each.log_z_exact) < 4 * math.hypot(found["log_z"].error, each.exact_error)
        assert abs(found["ess"].value - each.ess) < 4 * math.hypot(found["ess"].error, each.ess_error) + 0.01


@every
def test_it_is_a_run_like_any_other(name):
    run, card = la.pretrained(name), la.PRETRAINED[name]
    assert run.finished
    assert run.estimates is not None
    assert run.environment["command"] == card.command
    assert card.parameters == sum(p.numel() for p in run.model.parameters())
    assert repr(run).startswith(f"Run {PREFIX}{name}: ")
    assert not [file for file in check(run.path) if file.problem or not file.has_checksum]
    assert la.load_run(f"{PREFIX}{name}").model.to_dict() == run.model.to_dict()
    assert la.pretrained(f"{PREFIX}{name}").path == run.path


def test_couplings_of_the_glass_are_inside():
    run = la.pretrained("glass-8")
    assert (run.path / "couplings.h5").exists()
    assert torch.equal(run.hamiltonian.maps, la.EdwardsAnderson((8, 8), seed=1).maps)


def test_a_wrong_name_is_one_line():
    for call in (la.pretrained, la.load_run, la.load_model, la.cite, la.check_run):
        with pytest.raises(ValueError, match=r"there is no pretrained run 'nothing': there are .*ising-critical-16"):
            call(f"{PREFIX}nothing")
    with pytest.raises(ValueError, match="a name is missing: there are"):
        la.pretrained()
    with pytest.raises(ValueError, match="there is no pretrained run '3'"):
        la.pretrained(3)
    for words in (
        ["info"],
        ["estimate"],
        ["report"],
        ["cite"],
        ["sample", "-o", "x.h5"],
        ["train", "-o", "x", "--from"],
    ):
        assert refusal(*words, f"{PREFIX}nothing").startswith("there is no pretrained run 'nothing': ")


def test_the_card_is_shown():
    card = la.PRETRAINED[SMALL]
    lines = succeed("info", f"{PREFIX}{SMALL}").splitlines()
    assert lines[0] == f"{PREFIX}{SMALL}: ising 16x16, periodic, T = 2.26919"
    text = "\n".join(lines)
    for shown in (card.summary, card.command, card.weights, card.processor, card.versions["torch"], "ESS 0.9", "exact"):
        assert shown in text
    assert {" ".join(line.split()) for line in repr(card).splitlines()[1:]} <= {
        " ".join(line.split()) for line in lines
    }
    assert json.loads(succeed("info", f"{PREFIX}{SMALL}", "--json"))["card"] == card.to_dict()
    assert succeed("info", f"{PREFIX}{SMALL}", "--check").endswith("all as written\n")
    for name in SHIPPED:
        shown = succeed("info", f"{PREFIX}{name}")
        assert len(shown.splitlines()) <= 20
        assert la.PRETRAINED[name].command in " ".join(shown.split())


def test_all_are_listed():
    listed = succeed("info", PREFIX)
    assert all(la.PRETRAINED[name].summary in listed for name in SHIPPED)
    assert json.loads(succeed("info", PREFIX, "--json")).keys() == set(SHIPPED)


def test_estimates_are_shown_and_not_stored(tmp_path):
    code, shown, errors = invoke("estimate", f"{PREFIX}{SMALL}", "-n", "300", "--no-check", "--csv", tmp_path / "a.csv")
    assert (code, errors) == (0, "")
    assert f"{PREFIX}{SMALL} belongs to the package: its estimates are not stored" in shown
    assert (tmp_path / "a.csv").exists()
    code, shown, _ = invoke("estimate", f"{PREFIX}{SMALL}", "-n", "300", "--no-check", "--json")
    assert json.loads(shown)["n"] == 300
    assert la.pretrained(SMALL).estimate(300, check=False, progress=False)[0].n == 300


def test_a_wanted_precision_keeps_no_samples(monkeypatch):
    words = ["--error", "log_z=0.01", "--no-check", "-n", "6000"]
    code, shown, _ = invoke("estimate", f"{PREFIX}{SMALL}", *words)
    assert code == 0
    assert "reached" in shown
    monkeypatch.setattr(StopSignals, "requested", property(lambda self: True, lambda self, value: None), raising=False)
    with pytest.raises(KeyboardInterrupt, match="belongs to the package: copy it to go on later"):
        la.pretrained(SMALL).estimate(error={"log_z": 1e-9}, progress=False)


def test_samples_say_where_they_come_from(tmp_path):
    succeed("sample", f"{PREFIX}{SMALL}", "-n", "20", "--out", tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as h5:
        assert h5["spins"].shape == (20, 16, 16)
        assert json.loads(h5.attrs["provenance"])["run"] == f"{PREFIX}{SMALL}"


def test_a_report_goes_into_a_copy(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "MAX_SITES", 64)  # of a few hundred configurations
    name = f"{PREFIX}glass-8"
    assert refusal("report", name).startswith(f"{name} belongs to the installed package")
    succeed("report", name, "--out", tmp_path / "copy")
    assert (tmp_path / "copy" / "report.html").exists()
    assert la.load_run(tmp_path / "copy").hamiltonian.couplings is not None
    assert "already exists" in refusal("report", name, "--out", tmp_path / "copy")


def test_nothing_is_trained_into_the_package(tmp_path):
    for out in (f"{PREFIX}mine", FOLDER / SMALL):
        assert "belongs to the installed package" in refusal("train", *tiny.OPTIONS, "--out", out, "--resume")
    with pytest.raises(ValueError, match="belongs to the installed package"):
        la.pretrained(SMALL).copy_to(f"{PREFIX}mine")


def test_a_training_starts_from_one(tmp_path):
    words = ["--set", "training.steps=2", "--set", "training.n_monte_carlo=20", "--set", "training.batch_size=4"]
    invoke("train", "--from", f"{PREFIX}{SMALL}", *words, "--temperature", "2.3", "--out", tmp_path / "a")
    run = la.load_run(tmp_path / "a")
    assert run.temperature == 2.3
    assert run.environment["from"]["run"] == f"{PREFIX}{SMALL}"
    again = la.train(tmp_path / "b", source=f"{PREFIX}{SMALL}", steps=2, n_monte_carlo=20, batch_size=4, progress=False)
    assert again.temperature == la.pretrained(SMALL).temperature
    samples = again.samples(100)
    assert la.estimate(samples, again.hamiltonian, again.temperature)["ess"].value > 0.5


@pytest.mark.parametrize("name", ["ising-8", "glass-8"])
def test_a_copy_is_a_run_of_ones_own(name, tmp_path):
    run = la.pretrained(name)
    copy = run.copy_to(tmp_path / "copy")
    assert copy.path == tmp_path / "copy"
    assert copy.config.to_dict(with_places=False) == run.config.to_dict(with_places=False)
    assert (copy.metrics, copy.environment) == (run.metrics, run.environment)
    t = 2.0 if name == "ising-8" else None
    assert torch.equal(copy.samples(9, temperature=t).log_q, run.samples(9, temperature=t).log_q)
    assert not list(copy.path.rglob("trainer.pt"))
    assert not [file for file in check(copy.path) if file.problem or not file.has_checksum]
    copy.estimate(200, check=False, progress=False)
    assert "without the state of its training" in refusal("train", "--out", copy.path, "--resume")
    with pytest.raises(FileExistsError, match="already exists: give another path for the copy"):
        run.copy_to(tmp_path / "copy")


def test_runs_of_ones_own_are_copied_without_the_state_of_their_training(copy, tmp_path):
    run = la.load_run(copy)
    RunDirectory(copy).log({"step": tiny.STEPS + 1, "loss": 0.0})  # after the newest checkpoint
    given = la.load_run(copy).copy_to(tmp_path / "given")
    assert [path.name for path in (given.path / "checkpoints").iterdir()] == [f"step-{tiny.STEPS}"]
    assert torch.equal(given.samples(9).log_q, run.samples(9).log_q)
    assert given.metrics == run.metrics
    assert (given.path / "estimates.json").exists() == (copy / "estimates.json").exists()
    kept = la.train(size=4, steps=2, batch_size=8, model="pixelcnn", progress=False).copy_to(tmp_path / "memory")
    assert kept.metrics[-1]["step"] == 2
