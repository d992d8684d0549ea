"""Runs that several processes train together: kills, signals, processes that never come, and one line of words."""

import random
import signal

import pytest
from safetensors.torch import load_file
from support import tiny
from support.verbs import refusal

from latticear.runs.directory import RunDirectory

ALONE = "rank {} of 2 processes cannot reach the others: one of them has ended or never came ("
LONG = ("--set", "training.steps=2000")


def _weights(run):
    return load_file(RunDirectory(run).latest() / "model.safetensors")


def _train(*words):
    return ("train", *tiny.OPTIONS, "--set", "hamiltonian.field=0.1", *words, "--out")


@pytest.mark.parametrize("n_kills", [6, pytest.param(20, marks=pytest.mark.slow)])
def test_two_processes_killed_again_and_again_end_as_one_then_three_with_the_same_weights(n_kills, server, tmp_path):
    """With a field: with spin-flip symmetry one weight has no effect, and Adam follows the rounding of its gradient."""
    n_steps = 6 * n_kills + 12
    command = _train("--set", f"training.steps={n_steps}", "--set", "training.checkpoint_every=1")
    assert server.run(tmp_path, *command, "whole").code == 0
    rng, run, steps = random.Random(3), tmp_path / "a", []
    for _ in range(n_kills):
        latest = RunDirectory(run).latest() if run.exists() else None
        steps.append(0 if latest is None else int(latest.name.removeprefix("step-")))
        once = f"a/checkpoints/step-{steps[-1] + rng.randint(1, 4)}"
        victims = rng.choice([[0], [1], [0, 1]])
        ended = server.run_together(
            tmp_path, *command, "a", "--resume", size=2, once=once, after=rng.uniform(0, 0.02), victims=victims
        )
        assert [each.code for each in ended] == [-signal.SIGKILL if k in victims else 1 for k in range(2)]
        said = "".join(each.stderr for each in ended).replace("2 processes on 1 machine\n", "")
        assert said.count("\n") == (len(victims) == 1), said
        if said:
            assert said.startswith(f"error: {ALONE.format(1 - victims[0])}")
            assert said.endswith("; continue with: the same command and --resume\n")
    assert n_kills - 1 <= steps[-1] < n_steps - 12
    assert len(set(steps)) > n_kills // 2
    later = int(RunDirectory(run).latest().name.removeprefix("step-")) + 3
    stopped = server.run(tmp_path, *command, "a", "--resume", once=f"a/checkpoints/step-{later}", number=15)
    assert stopped.code == 75
    ended = server.run_together(tmp_path, *command, "a", "--resume", size=3)
    assert [each.code for each in ended] == [0, 0, 0]
    found, whole = _weights(run), _weights(tmp_path / "whole")
    assert found.keys() == whole.keys()
    for name in whole:
        assert (found[name].double() - whole[name].double()).abs().max() < 2e-6, name
    rows = [RunDirectory(tmp_path / name).metrics() for name in ("a", "whole")]
    assert [row["step"] for row in rows[0]] == list(range(1, n_steps + 1))
    for mine, other in zip(*rows, strict=True):
        assert mine["free_energy_per_site"] == pytest.approx(other["free_energy_per_site"], rel=1e-6)


def test_a_signal_to_any_process_stops_all_and_another_number_goes_on(server, tmp_path):
    ended = server.run_together(
        tmp_path,
        *_train(*LONG),
        "a",
        size=3,
        once="a/checkpoints/step-*",
        victims=[1],
        number=signal.SIGUSR1,
    )
    assert [each.code for each in ended] == [75, 75, 75]
    assert ended[0].stderr == "3 processes on 1 machine\n"
    assert ended[0].stdout.endswith("interrupted: saved in a; continue with: latticear train --out a --resume\n")
    assert [each[1:] for each in ended[1:]] == [("", "")] * 2
    began = RunDirectory(tmp_path / "a").read_json("environment.json")
    assert began["processes"] == 3
    ended = server.run_together(
        tmp_path, *_train(*LONG), "a", "--resume", size=2, once="a/checkpoints/step-2*", number=signal.SIGTERM
    )
    assert [each.code for each in ended] == [75, 75]
    assert "note: a was begun with 3 processes and continues with 2: its numbers are the same but for rounding" in (
        ended[0].stdout
    )


@pytest.mark.parametrize("absent", [0, 1])
def test_a_process_that_waits_for_others_can_be_stopped(server, tmp_path, absent):
    (ended,) = server.run_together(
        tmp_path, *_train(), "a", size=2, absent=[absent], after=1.0, number=signal.SIGTERM, patience=100
    )
    assert (ended.code, ended.stdout, ended.stderr) == (75, "", "")


def test_a_signal_to_one_process_before_the_first_step_stops_all(server, tmp_path):
    """While chains are run for the data of the training, which takes minutes."""
    slow = _train("--set", "training.objective=forward-kl", "--set", "training.n_monte_carlo=10000000")
    ended = server.run_together(
        tmp_path, *slow, "a", size=2, once=".stderr", sizes=2, after=0.3, number=signal.SIGUSR1, victims=[1]
    )
    assert [each.code for each in ended] == [75, 75]
    assert ended[0].stderr == "2 processes on 1 machine\ninterrupted by a signal to another process\n"
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("absent", [0, 1])
def test_a_process_that_never_comes_is_not_waited_for_forever(server, tmp_path, absent):
    (ended,) = server.run_together(tmp_path, *_train(), "a", size=2, absent=[absent], patience=1)
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"error: {ALONE.format(1 - absent)}")
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (_train("--set", "training.batch_size=2")[:-1], "error: train needs --out, the run directory\n", 1),
        (
            (*_train("--set", "training.batch_size=1"), "a"),
            "error: steps must be at least 1 and batch_size at least 2",
            1,
        ),
        (("exact", "--size", "4"), "error: exact runs in one process, got 2: start it without a launcher", 1),
        (("train", "--sise", "4"), "No such option: --sise", 2),
        (("train", "--size", "4", "--size", "5"), "error: --size is given twice, 4 and 5", 1),
    ],
)
def test_a_mistake_is_said_once(words, said, code, server, tmp_path):
    ended = server.run_together(tmp_path, *words, size=2)
    assert [each.code for each in ended] == [code] * 2
    assert "".join(each.stderr for each in ended).count(said.strip()) == 1
    assert list(tmp_path.glob("[!.]*")) == []


def test_a_launcher_that_says_half_is_told_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert refusal(*_train(), tmp_path / "a") == (
        "WORLD_SIZE is 2, so RANK, MASTER_ADDR, MASTER_PORT must be set too; torchrun sets all of them"
    )
    monkeypatch.setenv("LATTICEAR_PATIENCE", "soon")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "0")
    assert refusal(*_train(), tmp_path / "a") == "LATTICEAR_PATIENCE must be a number of seconds, got 'soon'"


def test_a_time_budget_gives_all_processes_the_same_number_of_steps(server, tmp_path):
    sets = [word for key in tiny.SETS if "steps" not in key for word in ("--set", key)]
    command = ("train", "--size", "4", *sets, "--minutes", "0.05", "--out", "a")
    ended = server.run_together(tmp_path, *command, size=2)
    assert [each.code for each in ended] == [0, 0]
    assert "0.05 minutes are " in ended[0].stdout
    run = RunDirectory(tmp_path / "a")
    assert run.read_json("environment.json")["minutes"] == 0.05
    assert len(run.metrics()) == int(run.latest().name.removeprefix("step-")) > 0


def test_a_network_without_weights_is_searched_by_one_process(server, tmp_path):
    command = ("train", "--size", "4", "--temperature", "2.3", "--out")
    assert server.run(tmp_path, *command, "one").code == 0
    ended = server.run_together(tmp_path, *command, "two", size=2)
    assert [(each.code, each.stdout.count("bond dimension 4")) for each in ended] == [(0, 1), (0, 0)]
    one, two = (RunDirectory(tmp_path / name) for name in ("one", "two"))
    assert one.config_path.read_text() == two.config_path.read_text()
    assert two.metrics()[-1]["ess"] == pytest.approx(one.metrics()[-1]["ess"], rel=1e-9)
