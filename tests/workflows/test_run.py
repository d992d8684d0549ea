"""A run is one object, whoever wrote it: `latticear train`, `la.train`, `la.save_run` or version 0.1.0."""

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from support import tiny
from support.verbs import succeed

import latticear as la
from latticear.runs.directory import RunDirectory
from latticear.workflows import line_a_minute, progress

MADE = Path(__file__).parents[1] / "golden" / "v0_1_0"
OPTIONS = {"steps": tiny.STEPS, "batch_size": 32, "checkpoint_every": 4}
SMALL = {"name": "pixelcnn", "width": 8, "depth": 2}


@pytest.mark.parametrize("name", ["pixelcnn", "multiscale", "range", "disorder", "grid"])
def test_runs_of_version_0_1_0_are_loaded(name, monkeypatch):
    monkeypatch.chdir(MADE)
    run = la.load_run(MADE / name)
    stored = json.loads((MADE / name / "estimates.json").read_text())
    assert run.metrics[-1]["step"] == 12
    assert run.config.training["steps"] == 12
    assert run.finished
    assert repr(run).startswith(f"Run {MADE / name}: ")
    assert run.environment["versions"]["latticear"] == "0.1.0"
    if name == "grid":
        assert (run.temperature, run.hamiltonian.levels) == (None, 2)
        assert run.estimates["nll_per_site"].value == stored["nll_per_site"]["value"]
        assert run.samples(5, condition=torch.eye(2)[0]).tokens.shape == (5, 8, 8)
    elif name == "range":
        assert run.temperature == (1.5, 3.5)
        assert [each.temperature for each in run.estimates] == [e["temperature"] for e in stored["estimates"]]
        assert run.samples(5, temperature=2.0).condition.tolist() == [[2.0]] * 5
        with pytest.raises(ValueError, match="say where to sample"):
            run.samples(5)
    else:
        assert run.temperature == stored["temperature"]
        found = run.estimates["free_energy_per_site"]
        assert {k: stored["free_energy_per_site"][k] for k in ("value", "error")} == {
            "value": found.value,
            "error": found.error,
        }
        assert run._repr_html_().count("<table") == 2
    if name in ("pixelcnn", "multiscale"):
        assert torch.equal(run.samples(20, seed=3).tokens, la.load_model(MADE / name).sample(20, seed=3).tokens)
        with pytest.raises(ValueError, match=r"this run is for T = 2.269 alone, got 2"):
            run.samples(5, temperature=2.0)


def test_a_run_of_the_command_line_is_loaded(copy):
    assert la.load_run(copy).estimates is None
    succeed("estimate", copy, "-n", 500, "--method", "is", "--no-check")
    run = la.load_run(copy)
    stored = json.loads((copy / "estimates.json").read_text())
    assert run.estimates.to_dict() == {k: v for k, v in stored.items() if k not in ("seed", "checkpoint", "sha256")}
    again = la.estimate(run.samples(500), run.hamiltonian, run.temperature)
    assert again["free_energy_per_site"].value == run.estimates["free_energy_per_site"].value
    assert again["free_energy_per_site"].exact == run.estimates["free_energy_per_site"].exact
    (copy / "estimates.json").write_text('{"temperature": 2.0, "ess": {"value": 3}}')
    with pytest.raises(ValueError, match=r"estimates.json is damaged"):
        la.load_run(copy)


def test_training_in_one_call_is_that_of_the_command_line(tmp_path):
    run = la.train(tmp_path / "a", size=4, temperature=tiny.TEMPERATURE, model=SMALL, progress=False, **OPTIONS)
    succeed("train", *tiny.OPTIONS, "--out", tmp_path / "b", "--set", "model.name=pixelcnn")
    assert tiny.content(tmp_path / "a") == tiny.content(tmp_path / "b")
    assert run.finished
    assert run.path == tmp_path / "a"
    assert torch.equal(run.model.sample(9).tokens, la.load_model(tmp_path / "b").sample(9).tokens)
    unsaved = la.train(
        hamiltonian=la.Ising((4, 4)), temperature=tiny.TEMPERATURE, model=SMALL, progress=False, **OPTIONS
    )
    assert unsaved.path is None
    assert all(torch.equal(a, b) for a, b in zip(unsaved.model.parameters(), run.model.parameters(), strict=True))
    assert [row["loss"] for row in unsaved.metrics] == [row["loss"] for row in run.metrics]


def test_an_interrupted_call_saves_and_goes_on(tmp_path, monkeypatch):
    out, values = tmp_path / "a", {"size": 4, "temperature": tiny.TEMPERATURE, "model": SMALL, "progress": False}
    show = progress.Progress.__call__

    def interrupt(self: progress.Progress, done: int, total: int, text: str = "") -> None:
        show(self, done, total, text)
        if done == 6:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(progress.Progress, "__call__", interrupt)
    with pytest.raises(KeyboardInterrupt, match=r"interrupted at step [67]; saved in .*la.train\(.*, resume=True\)"):
        la.train(out, **values, **OPTIONS)
    monkeypatch.undo()
    assert not la.load_run(out).finished
    with pytest.raises(FileExistsError, match="resume=True continues it"):
        la.train(out, **values, **OPTIONS)
    assert la.train(out, resume=True, progress=False).finished
    assert tiny.content(out) == tiny.content(tiny.train(tmp_path / "b", "model.name=pixelcnn"))


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"step": 3}, TypeError, "train has no option 'step'; did you mean 'steps'?"),
        ({"width": 3}, TypeError, "options of the network go into model="),
        (
            {"hamiltonian": 3},
            ValueError,
            "hamiltonian must be a Hamiltonian, a Grid, a name or a dictionary, got int 3",
        ),
        ({"hamiltonian": la.Ising((4, 4)), "size": 8}, ValueError, "has its own shape, (4, 4); leave size out"),
        ({"size": "4x4"}, ValueError, "size must be L or (H, W)"),
        ({"model": 3}, ValueError, "model must be a name"),
        ({"model": la.MADE((4, 4), 2)}, ValueError, "la.fit trains a network that you have built"),
        ({}, ValueError, "hamiltonian.shape must be given"),
        ({"size": 4, "steps": 0}, ValueError, "steps must be at least 1"),
        ({"size": 4, "resume": True}, ValueError, "give its directory"),
        ({"size": 4, "model": {"widht": 3}}, ValueError, "did you mean 'model.width'?"),
    ],
)
def test_wrong_arguments_are_refused(arguments, kind, message):
    with pytest.raises(kind) as refusal:
        la.train(progress=False, **arguments)
    assert message in str(refusal.value)


def _fitted(steps: int = 6) -> tuple:
    ising = la.Ising(tiny.SIZE)
    model = la.PixelCNN(tiny.SIZE, 2, width=8, depth=2, spin_flip_symmetric=True, bias=ising.bias(tiny.TEMPERATURE))
    taken = list(la.fit(model, ising, temperature=tiny.TEMPERATURE, steps=steps, batch_size=32))
    return ising, model, taken


def test_a_network_of_ones_own_loop_becomes_a_run(tmp_path):
    ising, model, steps = _fitted()
    estimates = la.estimate(model.sample(500), ising, tiny.TEMPERATURE)
    out = tmp_path / "a"
    training = {"batch_size": 32}
    run = la.save_run(out, model, ising, tiny.TEMPERATURE, metrics=steps, estimates=estimates, training=training)
    assert run.estimates.to_dict() == estimates.to_dict()
    assert [row["loss"] for row in run.metrics] == [step.loss for step in steps]
    assert run.hamiltonian.to_dict() == ising.to_dict()
    assert run.temperature == tiny.TEMPERATURE
    assert (run.config.training["steps"], run.config.training["batch_size"]) == (6, 32)
    assert torch.equal(run.samples(40, seed=2).tokens, model.sample(40, seed=2).tokens)
    found = json.loads(succeed("estimate", out, "-n", 500, "--method", "is", "--json"))
    assert found["free_energy_per_site"]["value"] == estimates["free_energy_per_site"].value
    assert json.loads(succeed("info", out, "--json"))["checkpoint"] == "step-6"
    assert "40 configurations" in succeed("sample", out, "-n", 40, "-o", tmp_path / "s.h5")
    assert "training.png" in succeed("report", out)
    with pytest.raises(FileExistsError, match="already exists; give another path"):
        la.save_run(out, model, ising, tiny.TEMPERATURE)
    with pytest.raises(ValueError, match="saved without the state of its training and cannot be continued"):
        la.train(out, resume=True, progress=False)


def test_with_its_last_step_a_saved_run_is_continued(tmp_path):
    ising, _, steps = _fitted(tiny.STEPS)
    fresh = la.PixelCNN(tiny.SIZE, 2, width=8, depth=2, spin_flip_symmetric=True, bias=ising.bias(tiny.TEMPERATURE))
    training = {"steps": tiny.STEPS, "batch_size": 32}
    first = next(step for step in la.fit(fresh, ising, temperature=tiny.TEMPERATURE, **training) if step.step == 5)
    la.save_run(tmp_path / "a", fresh, ising, tiny.TEMPERATURE, step=first, training=training)
    run = la.train(tmp_path / "a", resume=True, progress=False)
    assert run.finished
    assert len(run.metrics) == 1 + tiny.STEPS - 5
    again = la.PixelCNN(tiny.SIZE, 2, width=8, depth=2, spin_flip_symmetric=True, bias=ising.bias(tiny.TEMPERATURE))
    for _ in la.fit(again, ising, temperature=tiny.TEMPERATURE, **training):
        pass
    with pytest.raises(ValueError, match="step is number 1, but the training went on to step 12"):
        la.save_run(tmp_path / "b", again, ising, tiny.TEMPERATURE, step=steps[0])
    assert all(torch.equal(value, run.model.state_dict()[key]) for key, value in again.state_dict().items())
    other = la.PixelCNN(tiny.SIZE, 2, width=8, depth=2, spin_flip_symmetric=True, bias=ising.bias(2.0))
    with pytest.raises(ValueError, match=r"the bias of the model is for T = 2\.0, the training for T = 2.269"):
        la.save_run(tmp_path / "b", other, ising, tiny.TEMPERATURE, step=steps[-1])
    assert not (tmp_path / "b").exists()


@pytest.mark.filterwarnings("ignore::latticear.UnreliableEstimateWarning")
def test_ranges_grids_and_components_are_saved(tmp_path):
    ising = la.Ising((4, 4))
    covers = la.PixelCNN((4, 4), 2, width=4, depth=2, n_condition=1, bias=ising.bias())
    ranges = [la.estimate(covers.sample(1000, condition=torch.tensor([t])), ising, t, exact=None) for t in (2.0, 3.0)]
    run = la.save_run(tmp_path / "range", covers, ising, (1.5, 3.5), estimates=ranges)
    assert run.temperature == (1.5, 3.5)
    assert [each.temperature for each in run.estimates] == [2.0, 3.0]
    grid = la.Grid((4, 4), levels=3)
    run = la.save_run(tmp_path / "grid", la.PixelCNN((4, 4), 3, width=4, depth=2, n_condition=2), grid)
    assert run.hamiltonian.to_dict() == grid.to_dict()
    pair = la.Components(la.AshkinTeller((4, 4)))
    run = la.save_run(tmp_path / "pair", la.PixelCNN((4, 4), 2, width=4, depth=2, n_components=2), pair, 2.0)
    assert run.hamiltonian.to_dict() == pair.to_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model": la.MADE((5, 5), 2)},
            "the model is for shape (5, 5) with 2 tokens, the",
        ),
        ({"model": "x"}, "a model is needed"),
        ({"hamiltonian": "x"}, "a Hamiltonian or a Grid is needed, got str 'x'"),
        ({"hamiltonian": la.PairHamiltonian(la.Lattice((4, 4)), [-1, 1], [[-1, 1], [1, -1]])}, "a run holds systems"),
        ({"temperature": (1.0, 2.0)}, "a range of temperatures needs a model whose condition"),
        ({"estimates": {"ess": 1}}, "estimates must be what la.estimate returns"),
        ({"training": {"stepss": 1}}, "did you mean 'training.steps'?"),
    ],
)
def test_what_does_not_fit_is_not_saved(change, message, tmp_path):
    given = {"model": la.MADE((4, 4), 2), "hamiltonian": la.Ising((4, 4)), "temperature": 2.0} | change
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 (the message is compared below)
        la.save_run(tmp_path / "a", **given)
    assert message in str(refusal.value)
    assert not (tmp_path / "a").exists()


class _Clock:
    """Seconds that pass when somebody looks."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def test_without_a_terminal_there_is_a_line_a_minute(monkeypatch, capsys):
    monkeypatch.setattr(line_a_minute, "EVERY", 0.0)
    with progress.Progress() as report:
        for k in range(1, 31):
            report(k, 30, f"F/N {k}")
    assert "steps 10/30: F/N 10" in capsys.readouterr().err
    with progress.Progress(shown=False) as report:
        report(1, 2, "nothing")
    assert capsys.readouterr() == ("", "")


def test_a_notebook_has_a_bar_that_is_replaced_in_place(monkeypatch):
    shown = []
    handle = SimpleNamespace(update=shown.append)
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())
    display.HTML, display.display = str, lambda bar, display_id: shown.append(bar) or handle
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(progress.time, "monotonic", _Clock(0.05))
    with progress.Progress() as report:
        for k in range(1, 101):
            report(k, 100, "F/N <1>")
    assert 2 < len(shown) < 60
    assert "<progress value='100' max='100'" in shown[-1]
    assert "F/N &lt;1&gt;" in shown[-1]


def test_nothing_in_a_run_is_executed(copy):
    """A pickle in the place of the weights is refused; `trainer.pt` is not even read."""
    checkpoint = RunDirectory(copy).latest()
    (checkpoint / "trainer.pt").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    assert la.load_run(copy).finished
    shutil.copy(checkpoint / "trainer.pt", checkpoint / "model.safetensors")
    with pytest.raises(ValueError, match="is not a readable checkpoint"):
        la.load_run(copy)
