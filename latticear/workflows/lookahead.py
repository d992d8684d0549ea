"""Sums over later sites of a run: their bond dimension, their progress, and what is recorded of them."""

from __future__ import annotations

import math
import time
from typing import Any

from latticear.estimation import Estimates
from latticear.hamiltonians import BoltzmannBias, LookaheadBias
from latticear.models import AbstractModel
from latticear.models.bond_dimension import Found, disagreement
from latticear.models.tensor_network import searched
from latticear.processes import Processes
from latticear.runs.bond_dimension import bias_of, limits_of
from latticear.runs.config import RunConfig
from latticear.workflows.trained import Report, Say

__all__ = ["check_sums", "lookahead_of", "settle_bond_dimension", "sum_later_sites"]

MORE = "; for a larger ESS give model.max_seconds or model.max_memory, or train pixelcnn with model.bond_dimension = 8"

PATIENCE = 2.0
"""Seconds of silence before progress is reported."""


def settle_bond_dimension(
    config: RunConfig,
    processes: Processes,
    report: Report,
    say: Say,
    seconds: float = math.inf,
    least: float = 0.0,
) -> BoltzmannBias | None:
    """Replace the bond dimension "auto" of a config by the one that a search finds.

    Args:
        config: the config of the run; what is found is stored in it.
        processes: the processes that share the run; the first one searches.
        report: called with progress.
        say: called with a line about what was found.
        seconds: time that the search may take besides its own limit.
        least: the smallest ESS to be content with; above 0, nothing may be missing from the configurations either.

    Returns:
        The bias with that bond dimension, whose sums are computed; None if the config gives a number, or none.

    Raises:
        ValueError: if there is none, or none that is good enough.
    """
    if config.model.get("bond_dimension") != "auto":
        return None
    found, problem = None, ""
    if processes.is_first:
        try:
            found = _searched(config, _Patient(report), seconds, least)
            say(f"{found}{'' if found.reached else MORE}")
        except ValueError as error:
            problem = str(error)
    chi, problem = processes.of_first([found and found.bond_dimension, problem])
    if problem:
        raise ValueError(problem)
    config.model["bond_dimension"] = chi
    return bias_of(config.model, config.target) if found is None else found.bias


def _searched(config: RunConfig, report: Report, seconds: float, least: float) -> Found:
    """The result of the search, with the arguments and errors of `settle_bond_dimension`."""
    limits = limits_of(config.model)
    bias = bias_of(config.model, config.target)
    if seconds < limits.max_seconds:
        limits = limits._replace(max_seconds=seconds)
    try:
        found = searched(bias, limits, report)
    except ValueError as error:
        if limits.max_seconds == seconds:
            raise ValueError(f"--minutes {seconds / 60:g} is over before the first step: {error}") from error
        raise
    if least and (found.lacks or max(found.ess.values()) < least):
        raise ValueError(str(found))
    return found


def sum_later_sites(model: AbstractModel, report: Report) -> None:
    """Compute the sums over later sites that the logits of a network contain, if they do, with progress.

    Where they depend on couplings that are a condition, they are computed when these are known.
    """
    if isinstance(model.bias, LookaheadBias) and not model.bias.n_maps:
        patient = _Patient(report)
        model.bias.environments(
            model.rank.device, lambda done, total: patient(done, total, "rows summed, before anything is drawn")
        )


def check_sums(model: AbstractModel, estimates: Estimates) -> None:
    """Distrust estimates by a tensor network whose sums and configurations do not agree about ln Z."""
    bias = model.bias
    if model.has_weights or not isinstance(bias, LookaheadBias) or bias.n_maps:
        return
    if "log_z" not in estimates or estimates.temperature != bias.temperature:
        return
    sums = bias.environments(model.rank.device)
    reason = disagreement(sums, float(estimates["log_z"].value), float(estimates["ess"].value))
    if reason:
        estimates.distrust(reason)


def lookahead_of(model: AbstractModel) -> dict[str, Any]:
    """What environment.json states of these sums; empty without them, and where each instance has its own."""
    if not isinstance(model.bias, LookaheadBias) or model.bias.n_maps:
        return {}
    sums = model.bias.environments(model.rank.device)
    stated = {
        "bond_dimension": model.bias.bond_dimension,
        "largest_cut": float(sums.lost.max()),
        "megabytes": sums.n_bytes / 1e6,
    }
    return {"lookahead": stated}


class _Patient:
    """Reports progress once the work has taken some seconds."""

    def __init__(self, report: Report) -> None:
        self._report, self._t_start = report, time.monotonic()

    def __call__(self, done: int, total: int, text: str) -> None:
        if time.monotonic() - self._t_start > PATIENCE:
            self._report(done, total, text)
