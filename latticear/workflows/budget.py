"""A time budget as a number of training steps, planned from the time of a step that a warm-up measures.

The schedules of a training depend on its number of steps, so the number is planned before the first step and stored.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from latticear.data.configurations import Configurations
from latticear.models import AbstractModel
from latticear.processes import current
from latticear.runs.config import RunConfig, build_model, resolve_device
from latticear.runs.directory import RunDirectory
from latticear.runs.trees import Tree
from latticear.training import Step, TrainingOptions, drawn
from latticear.workflows.limits import check_time

__all__ = [
    "Begin",
    "Clock",
    "Cost",
    "check_minutes",
    "check_no_steps",
    "drawn_data",
    "measured_cost",
    "planned_steps",
    "shares_of",
    "without_steps",
]

Clock = Callable[[], float]
"""A clock in seconds."""

Begin = Callable[[AbstractModel, RunConfig, Configurations | None], Iterator[Step]]
"""A function that starts the training that a config describes, on a model and data."""

N_WARM_UP, N_TIMED = 3, 5
"""Warm-up steps of each phase, the first of which builds the sampling engine; smallest number of further, typical
steps, of which every fifth ends with an evaluation."""

SHARE = 0.02
"""Fraction of the time budget for further timed steps."""


LAST_SHARE = 0.6
"""Of the time that is left, for the last of several growing lattices; the rest is shared in the same way by those
before."""


class Cost(NamedTuple):
    """The time that a training takes.

    Attributes:
        start: seconds that the first steps take more than others.
        step: seconds of a step, on average over all phases of the training and with the evaluations.
        record: seconds that metrics and checkpoints take in addition, on average over all steps.
    """

    start: float
    step: float
    record: float

    def steps_in(self, seconds: float) -> int:
        """Number of steps that fit into a time; it may be 0 or less."""
        return round((seconds - self.start) / (self.step + self.record))


def check_minutes(minutes: float) -> float:
    """A time budget in seconds.

    Raises:
        ValueError: if it is not positive and finite, or longer than a year.
    """
    if not (math.isfinite(minutes) and minutes > 0):
        raise ValueError(f"--minutes must be positive and finite, got {minutes:g}")
    check_time(60 * minutes, f"--minutes {minutes:g}", "give less")
    return 60 * minutes


def check_no_steps(tree: Tree) -> None:
    """Check that a user who gives a time does not give the number of steps as well.

    Args:
        tree: the unchecked config of the command line alone, without that of a file.

    Raises:
        ValueError: if there is a number of steps.
    """
    training = tree.get("training")
    if isinstance(training, dict) and "steps" in training:
        raise ValueError(
            f"--minutes plans the number of steps, and training.steps is given too, got {training['steps']}: leave "
            f"one of them out"
        )


def without_steps(tree: Tree) -> Tree:
    """An unchecked config without the number of steps, which the time budget will give."""
    training = tree.get("training")
    if not isinstance(training, dict):
        return tree
    return tree | {"training": {key: value for key, value in training.items() if key != "steps"}}


def shares_of(n_stages: int) -> list[float]:
    """The fraction of the time of each of several growing lattices: most of it for the last.

    Example:
        >>> [round(share, 3) for share in shares_of(3)]
        [0.16, 0.24, 0.6]
    """
    shares = [LAST_SHARE * (1 - LAST_SHARE) ** k for k in range(n_stages - 1)]
    return [1 - sum(shares), *reversed(shares)]


def planned_steps(
    config: RunConfig, data: Configurations | None, minutes: float, begin: Begin, clock: Clock, since: float
) -> tuple[int, Cost]:
    """The number of steps that a training may have to end `minutes` after a given time.

    Args:
        config: the config of the run.
        data: configurations to train on, or None.
        minutes: the time budget.
        begin: starts a training, for the warm-up.
        clock: a clock in seconds.
        since: the time at which the budget began by that clock; what was spent since then is not available.

    Raises:
        ValueError: if not a single step fits.
    """
    seconds = check_minutes(minutes)
    cost = measured_cost(config, data, seconds, begin, clock)
    spent = clock() - since
    steps = cost.steps_in(seconds - spent)
    if steps < 1:
        least = (spent + cost.start + cost.step + cost.record) / 60
        raise ValueError(
            f"--minutes {minutes:g} is over before the first step, which ends after {least:.2g} minutes (data and "
            f"warm-up included); give more minutes, or --set training.steps"
        )
    return steps, cost


def measured_cost(
    config: RunConfig, data: Configurations | None, budget: float, begin: Begin, clock: Clock = time.perf_counter
) -> Cost:
    """The cost of a training, measured with a network that is discarded afterwards.

    Training on a likelihood and then on a free energy has two phases, and some steps end with an evaluation: each kind
    of step is timed, and counts by its number.

    Args:
        config: the config of the run.
        data: configurations to train on, or None.
        budget: seconds that the training will take, a small fraction of which the measurement takes.
        begin: starts a training.
        clock: a clock in seconds.
    """
    model = build_model(config).to(resolve_device(config.device))
    phases = _phases(config)
    start = step = 0.0
    for training, share in phases:
        phase = replace(config, training=training | {"steps": 10**9, "evaluate_every": N_TIMED})
        seconds = SHARE * budget / len(phases)
        first, typical, last = _timed(begin(model, phase, data), config.training["evaluate_every"], seconds, clock)
        start += max(0.0, first - N_WARM_UP * typical)
        step += share * typical
    return Cost(start, step, _recorded(last, config.training["checkpoint_every"], clock))


def _phases(config: RunConfig) -> list[tuple[dict[str, Any], float]]:
    """For each phase of a training, options with which all steps are of this phase, and its fraction of the steps."""
    training = config.training
    share = training["forward_share"] if training["objective"] == "forward-reverse-kl" else 0.0
    if not share:
        return [(training, 1.0)]
    return [(training | {"forward_share": 1 - 1e-9}, share), (training | {"forward_share": 0.0}, 1 - share)]


def _timed(steps: Iterator[Step], every: int, seconds: float, clock: Clock) -> tuple[float, float, Step]:
    """The time of the first `N_WARM_UP` steps, that of a typical step, one of `every` evaluated, and the last step."""
    t_start = clock()
    for _ in zip(range(N_WARM_UP), steps, strict=False):
        pass
    before = t_warm = clock()
    times: dict[bool, list[float]] = {False: [], True: []}
    for step in steps:  # the loss is copied to the CPU in each step, so a GPU has finished the step
        now = clock()
        times[step.step % N_TIMED == 0].append(now - before)
        before = now
        if step.step >= N_WARM_UP + N_TIMED and current().any(now - t_warm > seconds):
            break
    plain, evaluated = (sum(each) / len(each) for each in times.values())
    return t_warm - t_start, plain + (evaluated - plain) / every, step


def _recorded(step: Step, every: int, clock: Clock) -> float:
    """The time of the metrics of a step and, every so many steps, of a checkpoint, measured in a temporary folder."""
    with TemporaryDirectory() as folder:
        run = RunDirectory.create(Path(folder) / "run", "", {})
        for k in range(2):  # the first time loads modules
            t_start = clock()
            run.log({"step": step.step, "loss": step.loss, **step.metrics})
            t_logged = clock()
            run.save_checkpoint(step.state.model, step.state.weights(), step.state.state_dict() | {"step": k})
            t_end = clock()
    return t_logged - t_start + (t_end - t_logged) / every


def drawn_data(config: RunConfig) -> Configurations | None:
    """The configurations that a training without data draws by Monte Carlo; None if its objective needs no data.

    The training draws the same ones if it is given none.
    """
    if config.training["objective"] == "reverse-kl" or not config.target.has_energy:
        return None
    options = {key: value for key, value in config.training.items() if key not in ("data", "checkpoint_every")}
    return Configurations(drawn.drawn_data(config.target, TrainingOptions(**options), config.seed, current()), None)
