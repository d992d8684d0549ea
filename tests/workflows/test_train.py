"""What the verbs do, in this process: runs that end early go on as if they had not, and nothing wrong is kept."""

import json
import math
import os
import shutil
import signal

import pytest
import torch
from support import tiny
from support.rundirs import without_sums
from support.tiny import estimated

from latticear.checksums import ChangedFileWarning, DamagedError
from latticear.data import load_configurations, read_metadata
from latticear.runs.config import build_model, load_config
from latticear.runs.directory import RunDirectory, load_model
from latticear.runs.signals import NUMBERS
from latticear.threads import ThreadsWarning
from latticear.training import TrainingError, fit, steps as training
from latticear.workflows import (
    describe,
    monte_carlo_run,
    sample_run,
    save_estimates,
    train_run,
    trained,
)


class Killed(BaseException):
    """Ends a run at a chosen step, after its line in the metrics and before its checkpoint."""


def _until(step: int):
    def report(done: int, total: int, text: str) -> None:
        if done == step:
            raise Killed

    return report


# training


def test_a_run_tells_all(run):
    metrics = RunDirectory(run).metrics()
    assert [row["step"] for row in metrics] == list(range(1, tiny.STEPS + 1))
    for row in metrics:
        assert all(math.isfinite(value) for value in row.values())
        assert {"loss", "elapsed", "free_energy_per_site", "free_energy_error", "ess", "learning_rate"} <= row.keys()
    environment = RunDirectory(run).read_json("environment.json")
    assert environment["seconds"] > 0
    assert environment["finished"] >= environment["started"]
    assert [path.name for path in RunDirectory(run).checkpoints()] == ["step-8", "step-12"]
    config = load_config(run / "run.toml")
    assert config == load_config(None, tiny.SETS, tiny.VALUES)


def test_the_checkpoint_is_what_fit_gives(run):
    config = load_config(run / "run.toml")
    hamiltonian = config.target.system
    model = build_model(config)
    for _ in fit(model, hamiltonian, temperature=tiny.TEMPERATURE, steps=tiny.STEPS, batch_size=32):
        pass
    for name, weight in load_model(run).state_dict().items():
        assert torch.equal(weight, model.state_dict()[name])


@pytest.mark.parametrize("objective", ["reverse-kl", "forward-kl", "forward-reverse-kl"])
def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(tmp_path, data, objective):
    sets = tiny.forward(data) if objective == "forward-kl" else [f"training.objective={objective}"]
    sets += ["training.n_monte_carlo=50"]
    whole = tiny.content(tiny.train(tmp_path / "whole", *sets))
    for step in (1, 3, 4, 5, 6, 8, 9, 10, 12):
        with pytest.raises(Killed):
            tiny.train(tmp_path / "cut", *sets, resume=True, report=_until(step))
    tiny.train(tmp_path / "cut", resume=True)  # the config stays: nothing needs to be said again
    assert tiny.content(tmp_path / "cut") == whole
    elapsed = [row["elapsed"] for row in RunDirectory(tmp_path / "cut").metrics()]
    assert elapsed == sorted(elapsed)


def test_a_finished_run_is_left_as_it_is(copy):
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    tiny.train(copy, resume=True)
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_two_processes_do_not_train_one_run(copy):
    with RunDirectory(copy).locked(), pytest.raises(OSError, match="is being trained by another process"):
        tiny.train(copy, resume=True)


def test_the_checkpoint_has_the_averaged_weights(tmp_path, data, monkeypatch):
    """The average over the steps, begun with the first and warming up, of the weights that the optimiser left."""
    step, seen = torch.optim.Adam.step, []

    def stepping(optimizer):
        step(optimizer)
        seen.append([weight.detach().clone() for weight in optimizer.param_groups[0]["params"]])

    monkeypatch.setattr(torch.optim.Adam, "step", stepping)
    model = load_model(tiny.train(tmp_path / "run", *tiny.forward(data)))
    average = seen[0]
    for k, weights in enumerate(seen[1:], start=1):
        decay = min(0.6, (1 + k) / (10 + k))
        average = [decay * a + (1 - decay) * w for a, w in zip(average, weights, strict=True)]
    for saved, expected, raw in zip(model.parameters(), average, seen[-1], strict=True):
        torch.testing.assert_close(saved.data, expected, rtol=1e-5, atol=1e-7)
        assert not torch.equal(saved, raw)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_where_the_run_is(tmp_path, run, number):
    before = [signal.getsignal(n) for n in NUMBERS]

    def interrupt(done: int, total: int, text: str) -> None:
        if done == 6:
            os.kill(os.getpid(), number)

    out = tmp_path / "run"
    assert train_run(out, None, tiny.SETS, tiny.VALUES, resume=False, report=interrupt) is False
    assert [signal.getsignal(n) for n in NUMBERS] == before
    assert RunDirectory(out).latest().name == "step-6"
    assert len(RunDirectory(out).metrics()) == 6
    assert "finished" not in RunDirectory(out).read_json("environment.json")
    tiny.train(out, resume=True)
    assert tiny.content(out) == tiny.content(run)


def test_a_second_signal_does_not_wait(tmp_path):
    def interrupt(done: int, total: int, text: str) -> None:
        if done == 6:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        tiny.train(tmp_path / "run", report=interrupt)
    assert RunDirectory(tmp_path / "run").latest().name == "step-4"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("training.steps=13", "training.steps is 12 there, got 13"),
        ("temperature=2.5", "temperature is 2.269 there, got 2.5"),
        ("seed=1", "seed is 0 there, got 1"),
        ("hamiltonian.shape=[4, 5]", "hamiltonian.shape is (4, 4) there, got (4, 5)"),
        ("hamiltonian.field=0.1", "hamiltonian.field is 0.0 there, got 0.1"),
        ("model.spin_flip_symmetric=false", "model.spin_flip_symmetric is True there, got False"),
        ("training.stepz=13", "unknown key 'training.stepz'; did you mean 'training.steps'?"),
        ("model.width.x=2", "model.width: input should be a valid integer"),
        ("model=2", "[model] must be a section"),
    ],
)
def test_a_run_is_continued_as_it_was(copy, change, words):
    before = tiny.content(copy)
    with pytest.raises(ValueError, match=r".") as refused:
        train_run(copy, None, [change], {}, resume=True, report=tiny.silent)
    assert words in str(refused.value)
    assert tiny.content(copy) == before


def test_a_run_may_move_to_another_device_and_say_again_what_it_was(copy):
    shutil.rmtree(copy / "checkpoints" / "step-12")
    whole = tiny.content(copy)["config"]
    tiny.train(copy, "device=cpu", "training.learning_rate=0.003", "model.spin_flip_symmetric=auto", resume=True)
    assert tiny.content(copy)["config"] == whole


def test_data_are_found_from_another_folder(tmp_path, data, monkeypatch):
    monkeypatch.chdir(data.parent)
    with pytest.raises(Killed):
        tiny.train(tmp_path / "run", *tiny.forward("mc.h5"), report=_until(5))
    monkeypatch.chdir(tmp_path)
    tiny.train(tmp_path / "run", resume=True)
    assert load_config(tmp_path / "run" / "run.toml").training["data"] == str(data)


@pytest.mark.parametrize(
    "change",
    [
        "training.objective=reverse",
        "training.schedule=linear",
        "training.batch_size=1",
        "training.steps=0",
        "training.learning_rate=-1",
        "training.data=nothing.h5",
        "model.kernel_size=2",
        "device=tpu",
    ],
)
def test_a_run_that_cannot_begin_leaves_no_directory(tmp_path, change):
    with pytest.raises((ValueError, OSError)):
        tiny.train(tmp_path / "run", change)
    assert os.listdir(tmp_path) == []


def test_data_go_with_maximum_likelihood_alone(tmp_path, data):
    with pytest.raises(ValueError, match="data is given, but objective reverse-kl uses none"):
        tiny.train(tmp_path / "run", f"training.data={data}", "training.objective=reverse-kl")
    for change, words in (("temperature=2", "at temperature 2.269"), ("hamiltonian.shape=[4, 6]", "shape")):
        with pytest.raises(ValueError, match=words):
            tiny.train(tmp_path / "run", *tiny.forward(data), change)


def test_a_loss_that_is_no_number_goes_back_to_a_checkpoint_that_gave_one(tmp_path, monkeypatch):
    true, calls = training.reverse_kl, iter(range(1000))

    def poisoned(*args, **options):
        loss, metrics = true(*args, **options)
        return (loss * math.nan if next(calls) == 6 else loss), metrics

    monkeypatch.setattr(training, "reverse_kl", poisoned)
    with pytest.raises(TrainingError, match=r"stopped being finite at step 7 .*the last good checkpoint is .*step-5$"):
        tiny.train(tmp_path / "run", "training.checkpoint_every=1")
    run = RunDirectory(tmp_path / "run")
    assert run.latest().name == "step-5"  # the weights of step 6 are those that gave no finite loss
    assert load_model(run.path).sample(10).log_q.isfinite().all()


def test_a_training_that_explodes_says_so(tmp_path):
    with pytest.raises(TrainingError, match=r"stopped being finite at step 2 .*; there is no checkpoint before it$"):
        tiny.train(tmp_path / "run", "training.learning_rate=1e30", "training.checkpoint_every=1")
    assert RunDirectory(tmp_path / "run").checkpoints() == []


def test_weights_that_are_no_numbers_are_not_saved(tmp_path, monkeypatch):
    step, calls = torch.optim.Adam.step, iter(range(1000))

    def stepping(optimizer):
        step(optimizer)
        if next(calls) == tiny.STEPS - 1:  # no loss will tell
            optimizer.param_groups[0]["params"][0].data[0] = math.inf

    monkeypatch.setattr(torch.optim.Adam, "step", stepping)
    with pytest.raises(
        TrainingError, match=r"the weights stopped being finite; .*the last good checkpoint is .*step-8$"
    ):
        tiny.train(tmp_path / "run")


def test_checkpoints_of_another_run_are_not_continued(copy, tmp_path):
    for name, change in (("wider", "model.width=9"), ("deeper", "model.depth=3")):
        other = tiny.train(tmp_path / name, change, "training.steps=1")
        shutil.rmtree(copy / "checkpoints")
        shutil.copytree(without_sums(other / "checkpoints"), copy / "checkpoints")
        before = tiny.content(copy)
        with pytest.raises(ValueError, match="the newest checkpoint is not one of this run"):
            tiny.train(copy, resume=True)
        assert tiny.content(copy) == before


@pytest.mark.parametrize("state", [5, {}, {"step": 12}, {"step": 12, "model": {}}, {"step": 12, "model": 5}])
def test_a_trainer_state_that_is_none_is_refused(copy, state):
    torch.save(state, without_sums(RunDirectory(copy).latest()) / "trainer.pt")
    with pytest.raises(ValueError, match="the newest checkpoint is not one of this run"):
        tiny.train(copy, resume=True)


def test_progress_shows_free_energy_exact_value_and_ess(tmp_path, data):
    lines = []
    tiny.train(tmp_path / "run", *tiny.forward(data), report=lambda *line: lines.append(line))
    assert [line[:2] for line in lines] == [(k, tiny.STEPS) for k in range(1, tiny.STEPS + 1)]
    assert lines[3][2].startswith("nll/site ")
    assert "F/N" not in lines[3][2]
    for _, _, text in lines[4:]:  # evaluated after 5, 10 and 12 steps, shown until the next time
        assert all(word in text for word in ("nll/site ", "F/N <= -2.", " exact -2.2013", "ESS 0."))


def test_the_checkpoint_of_another_lattice_is_not_used(copy, tmp_path):
    other = tiny.train(tmp_path / "other", "hamiltonian.shape=[4, 6]", "training.steps=1")
    shutil.copytree(other / "checkpoints" / "step-1", copy / "checkpoints" / "step-13")
    with pytest.raises(ValueError, match=r"is a model for shape \(4, 6\) .*, its run\.toml is for shape \(4, 4\)"):
        trained(copy, "cpu")


# samples and Monte Carlo


def test_samples_that_are_continued_are_those_of_one_go(run, tmp_path):
    options = {"seed": 5, "device": "cpu", "report": tiny.silent}
    whole, parts = tmp_path / "whole.h5", tmp_path / "parts.h5"
    assert sample_run(run, whole, 150, append=False, **options) == 150
    for n, append in ((70, False), (100, True), (100, True), (50, True), (150, True)):
        sample_run(run, parts, n, append=append, **options)
    hamiltonian = trained(run, "cpu").target.system
    assert torch.equal(load_configurations(whole, hamiltonian), load_configurations(parts, hamiltonian))
    with pytest.raises(ValueError, match="its seed is 5, this run's is 6"):
        sample_run(run, parts, 200, append=True, **options | {"seed": 6})
    with pytest.raises(FileExistsError, match="already exists"):
        sample_run(run, parts, 200, append=False, **options)


def test_samples_are_not_continued_with_other_weights(copy, tmp_path):
    options = {"seed": 5, "device": "cpu", "report": tiny.silent}
    sample_run(copy, tmp_path / "s.h5", 20, append=False, **options)
    shutil.rmtree(copy / "checkpoints" / "step-12")
    with pytest.raises(ValueError, match="cannot be continued: its weights is"):
        sample_run(copy, tmp_path / "s.h5", 30, append=True, **options)
    assert read_metadata(tmp_path / "s.h5")["n_samples"] == 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_an_export_between_two_batches(run, tmp_path, number):
    reported = []

    def interrupt(done: int, total: int, text: str) -> None:
        reported.append(done)
        os.kill(os.getpid(), number)

    options = {"seed": 0, "device": "cpu", "report": interrupt}
    with pytest.raises(KeyboardInterrupt):
        sample_run(run, tmp_path / "s.h5", 1000, append=False, **options)
    config = load_config(None, values=tiny.VALUES)
    with pytest.raises(KeyboardInterrupt):
        monte_carlo_run(tmp_path / "m.h5", config, 100, method="metropolis", schedule={"n_chains": 5}, **options)
    assert [read_metadata(tmp_path / name)["n_samples"] for name in ("s.h5", "m.h5")] == reported
    assert reported[1] == 5


def test_chains_of_one_measurement_are_kept_without_error_bars(tmp_path):
    config = load_config(None, values=tiny.VALUES)
    options = {"method": "metropolis", "seed": 0, "device": "cpu", "report": tiny.silent}
    for n, has_errors in ((10, False), (19, False), (20, True)):
        out = tmp_path / f"{n}.h5"
        result = monte_carlo_run(out, config, n, schedule={"n_chains": 10}, **options)
        assert (result is not None) is has_errors
        assert read_metadata(out)["n_samples"] == n


def test_a_run_whose_metrics_are_lost_goes_on_from_its_checkpoint(copy, run):
    """It is refused without a change until the file is removed, as the message says; then it ends with its weights."""
    metrics = copy / "metrics.jsonl"
    RunDirectory(copy).discard_checkpoint(tiny.STEPS)
    damaged = metrics.read_text().replace('"step": 2', '"step": 3')
    metrics.write_text(damaged)
    with pytest.raises(DamagedError, match=r"remove metrics\.jsonl to go on without these rows"):
        tiny.train(copy, resume=True)
    assert metrics.read_text() == damaged
    metrics.unlink()
    with pytest.warns(ChangedFileWarning, match="is missing") as told:
        tiny.train(copy, resume=True)
    assert len(told) == 1
    assert [row["step"] for row in RunDirectory(copy).metrics()] == list(range(9, tiny.STEPS + 1))
    for name, weight in load_model(run).state_dict().items():
        assert torch.equal(weight, load_model(copy).state_dict()[name])


# info


def test_description_of_a_run(copy):
    found = describe(copy)
    assert json.loads(json.dumps(found))["config"]["temperature"] == tiny.TEMPERATURE
    assert found["checkpoint"] == "step-12"
    assert found["last_step"]["step"] == 12
    assert found["n_parameters"] == sum(p.numel() for p in load_model(copy).parameters())
    assert "estimates" not in found
    save_estimates(copy, estimated(copy), seed=0)
    assert describe(copy)["estimates"]["n"] == 200
    shutil.rmtree(copy / "checkpoints")
    (copy / "metrics.jsonl").write_text("")
    found = describe(copy)
    assert found["checkpoint"] is found["last_step"] is None


def test_description_of_a_file(data):
    found = describe(data)
    assert (found["n_samples"], found["shape"]) == (400, [4, 4])
    assert found["attributes"]["temperature"] == tiny.TEMPERATURE
    assert json.loads(json.dumps(found)) == found


def test_resuming_with_another_number_of_threads_is_said_if_it_matters(copy, monkeypatch):
    run = RunDirectory(copy)
    run.discard_checkpoint(tiny.STEPS)
    run.write_json("environment.json", run.read_json("environment.json") | {"threads": 2})
    tiny.train(copy, resume=True)  # without a warning: so small a training uses one thread
    run.discard_checkpoint(tiny.STEPS)
    monkeypatch.setattr("latticear.threads.SHARE", 1)
    with pytest.warns(ThreadsWarning, match=r"begun with 2 threads and continues with 1: .*; with --threads 2"):
        tiny.train(copy, resume=True)
