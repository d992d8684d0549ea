"""Estimates of a run that are compared with independent configurations of what it was trained for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from latticear.arguments import check_integer
from latticear.estimation.check import MOST, independent_check, size_of_check
from latticear.estimation.estimates import Estimates, quiet
from latticear.estimation.importance import estimate
from latticear.estimation.judgement import has_weights, judge
from latticear.models import AbstractModel
from latticear.targets import Asked, Setting
from latticear.workflows.run import Run, load_run
from latticear.workflows.trained import Say

__all__ = ["check_run", "check_setting"]


def check_run(
    run: Run | str | Path,
    *,
    n: int = 10_000,
    n_check: int | None = None,
    temperature: float | None = None,
    seed: int = 0,
) -> Estimates:
    """Whether the error bars of a run can be trusted: estimates with a verdict from independent configurations.

    Samples of the network are weighed, and compared with exact values where there are some, and with configurations by
    clusters, parallel tempering or a sum over all of them (`la.independent_check`): do they agree, and would the
    network have drawn them?

    Args:
        run: a run, its directory, or `pretrained:NAME`.
        n: number of samples of the network.
        n_check: number of independent configurations; by default as many as the error of ln Z asks for, at most 8000.
        temperature: T, for a run that covers a range of temperatures.
        seed: seed of the samples and of the configurations.

    Returns:
        Estimates, whose `verdict` has the reasons.

    Raises:
        ValueError: for a run without an energy, or a range of temperatures without `temperature`.
        OSError: if a file cannot be read.

    Example:
        >>> import latticear as la
        >>> la.check_run("runs/a").verdict                                     # doctest: +SKIP
        'trusted'
    """
    run = run if isinstance(run, Run) else load_run(run)
    setting = run.target.at(Asked(temperature=temperature), run.model)
    if setting.temperature is None:
        raise ValueError(f"a check needs an energy, which {run.target.noun} does not have")
    samples = run.model.sample_batches(check_integer("n", n, least=10), seed=seed, condition=setting.condition)
    with quiet():
        result = estimate(samples, setting.system, setting.temperature)
    check_setting(result, setting, run.model, seed=seed, n=n_check)
    result.warn()
    return result


def check_setting(
    result: Estimates,
    setting: Setting,
    model: AbstractModel,
    *,
    seed: int,
    n: int | None = None,
    most: int = MOST,
    observables: Sequence[str] = (),
    say: Say = lambda _: None,
) -> None:
    """Compare estimates with independent configurations, unless nobody asked and these take longer than some seconds.

    Args:
        result: estimates by samples of the model, or by chains that use it.
        setting: what they are of.
        model: the model.
        seed: seed of the configurations.
        n: number of configurations that are asked for; None for as many as suit.
        most: largest number of them that suits.
        observables: names of `la.OBSERVABLES` that the estimates have besides.
        say: called with a line before they are drawn.
    """
    system, t = setting.system, result.temperature
    size = min(most, size_of_check(result, system)) if n is None else n
    if not size:
        by = "parallel tempering" if system.composition is None else "exchanges of states"
        result.doubt(
            f"a check by {by} of {system.n_sites} sites takes longer than a few seconds: ask for one by "
            f"la.check_run(run, n_check=2000)"
        )
        return
    say(f"check by independent configurations, {size:,} of them")
    drawn, condition = (model, setting.condition) if has_weights(result) else (None, None)
    more: dict[str, Any] = {"condition": condition, "observables": observables, "seed": seed}
    judge(result, independent_check(system, t, n=size, model=drawn, **more))
