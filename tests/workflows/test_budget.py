"""A time budget becomes a number of steps, by a clock that counts what is done and not how long it takes."""

from itertools import count

import pytest
from support import tiny
from support.verbs import refusal

from latticear.runs.config import load_config, parse_config
from latticear.runs.directory import RunDirectory
from latticear.runs.trees import config_tree
from latticear.workflows import budget, grow_run, train_run
from latticear.workflows.budget import drawn_data, measured_cost, shares_of
from latticear.workflows.train import begin

TREE = {**tiny.VALUES, "model": {"width": 6, "depth": 2}, "training": {"batch_size": 16, "checkpoint_every": 10}}
STEP = 0.25


class Clock:
    """Each kind of step takes its time by this clock, whatever the machine does."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def timed(clock, *, forward=1.0, reverse=1.0, evaluation=0.0, first=0.0):
    """`begin` with steps that take so many seconds by a clock."""

    def begun(model, config, data, state=None):
        every = config.training["evaluate_every"]
        share = config.training["forward_share"] if config.training["objective"] != "reverse-kl" else 0.0
        n_forward = round(share * config.training["steps"])
        for step in begin(model, config, data, state):
            clock.now += forward if step.step <= n_forward else reverse
            clock.now += evaluation if step.step % every == 0 else 0.0
            clock.now += first if step.step == 1 else 0.0
            yield step

    return begun


def test_each_kind_of_step_counts_by_its_number():
    clock = Clock()
    sets = ("objective=forward-reverse-kl", "forward_share=0.25", "evaluate_every=20", "n_monte_carlo=200")
    config = parse_config(config_tree(None, [f"training.{key}" for key in sets], TREE))
    timing = timed(clock, forward=2.0, reverse=6.0, evaluation=10.0, first=30.0)
    cost = measured_cost(config, drawn_data(config), 60.0, timing, clock)
    assert cost.step == pytest.approx(0.25 * 2 + 0.75 * 6 + 10 / 20)
    assert cost.start == pytest.approx(60.0 - 2 * 3 * 0.5)  # the first step of both phases
    assert cost.record == 0.0
    assert cost.steps_in(57 + 55.0) == 10


def test_the_time_of_metrics_and_checkpoints_counts(monkeypatch):
    clock = Clock()
    save = RunDirectory.save_checkpoint

    def slow(self, *args):
        clock.now += 40.0
        return save(self, *args)

    monkeypatch.setattr(RunDirectory, "save_checkpoint", slow)
    assert measured_cost(parse_config(TREE), None, 60.0, timed(clock), clock).record == pytest.approx(40 / 10)


def test_data_are_drawn_once_and_are_those_of_the_training(tmp_path, monkeypatch):
    sets = ["training.objective=forward-kl", "training.n_monte_carlo=300"]
    clock, drawn = Clock(), []
    true = budget.drawn.drawn_data

    def slow(*args):
        clock.now += 30.0
        drawn.append(args)
        return true(*args)

    monkeypatch.setattr(budget.drawn, "drawn_data", slow)
    monkeypatch.setattr("latticear.training.steps.drawn_data", lambda *_: pytest.fail("drawn twice"))
    monkeypatch.setattr("latticear.workflows.train.begin", timed(clock))
    options = {"resume": False, "report": tiny.silent, "clock": clock}
    assert train_run(tmp_path / "a", None, sets, TREE, minutes=1, **options)
    steps = load_config(tmp_path / "a" / "run.toml").training["steps"]
    warm_up = budget.N_WARM_UP + budget.N_TIMED
    assert steps == 60 - 30 - warm_up
    assert len(drawn) == 1
    monkeypatch.undo()
    assert train_run(tmp_path / "b", None, [*sets, f"training.steps={steps}"], TREE, **options)
    assert tiny.content(tmp_path / "a") == tiny.content(tmp_path / "b")


def _planned(out, minutes, config=None, **options):
    ticks = count()
    options = {"resume": False, "report": tiny.silent, "clock": lambda: next(ticks) * STEP} | options
    return train_run(out, config, [], TREE, minutes=minutes, **options)


def test_the_number_is_stored_and_resume_keeps_it(tmp_path):
    said = []
    out = tmp_path / "run"
    assert _planned(out, 0.1, say=said.append)
    run = RunDirectory(out)
    steps = load_config(run.config_path).training["steps"]
    stored = run.read_json("environment.json")
    assert stored["minutes"] == 0.1
    assert stored["seconds_per_step"] == STEP
    assert said[0] == f"0.1 minutes are {steps} steps of 0.25 s each"
    assert len(run.metrics()) == steps
    for minutes in (0.1, None):
        assert _planned(out, minutes, resume=True)
    assert len(run.metrics()) == steps
    with pytest.raises(ValueError, match=rf"is for 0.1 minutes \({steps} steps\), got --minutes 3; leave it out"):
        _planned(out, 3, resume=True)


def test_a_run_of_so_many_steps_has_no_minutes(copy):
    with pytest.raises(ValueError, match="is for 12 steps, got --minutes 1; leave it out"):
        train_run(copy, None, [], {}, resume=True, report=tiny.silent, minutes=1)


def test_steps_in_a_file_are_replaced_and_those_of_the_user_refused(tmp_path):
    config = tmp_path / "a.toml"
    config.write_text("[training]\nsteps = 100000\n")
    assert _planned(tmp_path / "a", 0.1, config)
    assert RunDirectory(tmp_path / "a").metrics()[-1]["step"] < 100
    for more in ((), ("--grow",)):
        words = ("train", config, "--minutes", "1", "--set", "training.steps=5", "--out", tmp_path / "b", *more)
        line = "--minutes plans the number of steps, and training.steps is given too, got 5: leave one of them out"
        assert refusal(*words) == line
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        ("0", "--minutes must be positive and finite, got 0"),
        ("nan", "--minutes must be positive and finite, got nan"),
        ("1e-9", "--minutes 1e-09 is over before the first step: bond_dimension auto finds none"),
        ("1e-9 --set model.name=made", "--minutes 1e-09 is over before the first step, which ends after "),
    ],
)
def test_a_time_that_is_none_is_one_line(tmp_path, minutes, words):
    assert words in refusal("train", *tiny.OPTIONS[:4], "--minutes", *minutes.split(), "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_growing_lattices_share_the_time(tmp_path):
    tree = {
        "temperature": 2.269,
        "hamiltonian": {"shape": [32, 32]},
        "model": {"name": "multiscale", "width": 4},
        "training": {"batch_size": 32, "objective": "reverse-kl"},
    }
    out, config = tmp_path / "run", tmp_path / "a.toml"
    config.write_text("[training]\nsteps = 100000\n")
    ticks, said = count(), []
    options = {"report": tiny.silent, "say": said.append, "clock": lambda: next(ticks) * STEP}
    assert grow_run(out, config, [], tree, resume=False, minutes=0.2, **options)
    runs = [RunDirectory(tmp_path / name) for name in ("run-16x16", "run")]
    stored = [run.read_json("environment.json")["minutes"] for run in runs]
    assert stored == pytest.approx([0.2 * share for share in shares_of(2)])
    assert [line.split(": ")[0] for line in said] == ["16x16", "32x32"]
    assert [len(run.metrics()) for run in runs] == [load_config(run.config_path).training["steps"] for run in runs]
    assert grow_run(out, config, [], tree, resume=True, minutes=0.2, **options)
    assert len(said) == 2
