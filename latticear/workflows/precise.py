"""Estimates of a run to a wanted precision, which can be interrupted and continued."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from latticear.data.fingerprint import fingerprint_of
from latticear.estimation.estimates import Estimates, quiet
from latticear.estimation.goals import Goal, goals_of
from latticear.estimation.limits import Limits, limits_of
from latticear.estimation.measurement import measurements
from latticear.estimation.methods import METHODS
from latticear.estimation.precision import Plan, reach, rerun
from latticear.estimation.reached import Reached, state_precision
from latticear.estimation.reweighting import Reweighting
from latticear.exact import exact_result
from latticear.models import AbstractModel
from latticear.processes import Processes
from latticear.random_numbers import random_stream
from latticear.runs.provenance import fingerprint
from latticear.runs.signals import StopSignals
from latticear.samples import Samples
from latticear.targets import Setting
from latticear.workflows.kept import Kept
from latticear.workflows.limits import most_samples
from latticear.workflows.shared import check_alike
from latticear.workflows.trained import Report, Say

__all__ = ["Precision", "precise"]

APART = 2**40
"""Number of samples between the first ones of two settings; none has as many."""

Choose = Callable[[Iterator[Samples]], tuple[str, Iterator[Samples]]]
"""Chooses a method by the first samples; returns all of them."""


class Precision(NamedTuple):
    """What a user wants: errors by name, and where to end if they are not reached.

    Attributes:
        goals: the wanted errors.
        n: largest number of samples of each setting; None for no limit.
        minutes: largest time of all settings; None for no limit.
        t_start: when it began, by the monotonic clock.
    """

    goals: list[Goal]
    n: int | None
    minutes: float | None
    t_start: float

    @classmethod
    def of(cls, error: Any, n: Any, minutes: Any) -> Precision:
        """The wish of a user, checked.

        Raises:
            ValueError: for errors, a number or minutes that are none.
        """
        goals, limits = goals_of(error), limits_of(n, minutes)
        return cls(goals, limits.n, limits.minutes, limits.t_start)

    def share(self, settings: int) -> Limits:
        """The limits of one of so many settings that are left."""
        spent = (time.monotonic() - self.t_start) / 60
        minutes = None if self.minutes is None else max(1e-9, self.minutes - spent) / settings
        return limits_of(self.n, minutes, most_samples())


def precise(
    path: Path,
    model: AbstractModel,
    setting: Setting,
    temperatures: Sequence[float],
    goals: list[Goal],
    limits: Limits,
    *,
    number: int,
    seed: int,
    method: str,
    choose: Choose,
    observables: Any = None,
    processes: Processes,
    report: Report,
    say: Say,
) -> tuple[list[Estimates], Callable[[], None]]:
    """Estimates of one setting of a run to a wanted precision.

    Importance sampling goes on from the samples that are kept in the run directory. The other methods begin again with
    more samples each time, and keep nothing.

    Args:
        path: the run directory.
        model: its network.
        setting: what to draw.
        temperatures: temperatures to reweight to; one, for other methods than importance sampling.
        goals: the wanted errors.
        limits: where to end.
        number: number of the setting, from 0.
        seed: seed of the samples.
        method: the method that was asked for; samples that are kept are of importance sampling, and no part of others.
        choose: chooses the method by the first samples, if none was asked for.
        observables: as in `la.estimate`.
        processes: the processes that draw together.
        report, say: called with progress, and with lines for the user.

    Returns:
        The estimates, none in a process that is not the first; and a function that writes into them what was reached,
        to be called once all that speaks against them is known.

    Raises:
        KeyboardInterrupt: if a signal stopped it; says what is kept.
    """
    exact = [exact_result(setting.system, t) if processes.is_first else None for t in temperatures]
    weighed = Reweighting(setting.system, temperatures, observables, exact)
    kept = Kept(path, _key(model, setting, temperatures, weighed, number, seed))
    plan = None if method in METHODS and method != "is" else kept.load(weighed)
    check_alike(processes, str(kept.path), f"{plan} {len(weighed)}")
    begun = 0 if plan is None else plan.left_out + len(weighed)
    batches = model.sample_batches(
        APART - begun, seed=seed, start=number * APART + begun, condition=setting.condition, processes=processes
    )
    with quiet(), StopSignals() as stop:
        if plan is None:
            method, batches = choose(batches)
            if method != "is":
                asked = setting, temperatures[0], goals, limits, seed, observables
                return _stated(_repeated(method, model, *asked, processes, report, say), limits, processes)
        if plan is not None:
            say(f"continues after the {begun:,} samples that are kept in {kept.path}")
        elif processes.is_first:
            for line in kept.others():
                say(line)
        plan = plan or Plan()
        parts = measurements(batches, setting.system, temperatures, weighed.request, processes=processes)
        more: dict[str, Any] = {"plan": plan, "processes": processes, "report": report, "stops": lambda: stop.requested}
        if processes.is_first:
            more["keep"] = lambda plan: kept.save_if_due(weighed, plan)
        try:
            reached = reach(parts, weighed, goals, limits, **more)
        except KeyboardInterrupt:
            if processes.is_first and len(weighed):
                kept.save(weighed, plan)
            n = plan.left_out + len(weighed)
            raise KeyboardInterrupt(kept.what_stays(n)) from None
    if processes.is_first:
        kept.save(weighed, plan)
    return _stated(reached, limits, processes)


def _stated(reached: Reached, limits: Limits, processes: Processes) -> tuple[list[Estimates], Callable[[], None]]:
    return reached.results if processes.is_first else [], lambda: state_precision(reached, limits)


def _key(
    model: AbstractModel, setting: Setting, temperatures: Sequence[float], weighed: Reweighting, number: int, seed: int
) -> dict[str, Any]:
    """All that decides which samples these are."""
    condition = setting.condition
    return {
        "network": f"{fingerprint(model)} {json.dumps(model.to_dict(), sort_keys=True)}",
        "system": setting.system.to_dict(),
        "condition": None if condition is None else fingerprint_of(condition),
        "temperatures": list(temperatures),
        "observables": sorted([*weighed.request.own, *weighed.request.named]),
        "setting": number,
        "seed": seed,
    }


def _repeated(
    method: str,
    model: AbstractModel,
    setting: Setting,
    temperature: float,
    goals: list[Goal],
    limits: Limits,
    seed: int,
    observables: Any,
    processes: Processes,
    report: Report,
    say: Say,
) -> Reached:
    """Estimates by a method that draws all configurations together, repeated with more of them."""
    say(f"method {method} cannot be prolonged: it is repeated with as many configurations as the errors need")
    if processes.size > 1:
        say(f"method {method}: not divided, the first of {processes.size} processes does it alone")
    if not processes.is_first:
        return Reached([], [], "reached", 0)
    exact, condition = exact_result(setting.system, temperature), setting.condition

    def counted(done: int, total: int) -> None:
        report(done, total, "")

    def run(n: int, k: int) -> Estimates:
        own = int(random_stream(seed, f"repetition {k}").generate_state(1, np.uint64)[0])
        samples = model.sample_batches(n, seed=own, condition=condition)
        more: dict[str, Any] = {"condition": condition, "exact": exact, "report": counted}
        more |= {"observables": observables} if observables else {}
        return METHODS[method](model, samples, setting.system, temperature, n=n, seed=own, **more)

    return rerun(run, goals, limits)
