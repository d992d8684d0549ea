"""The steps of a training run: progress, metrics, and checkpoints at which it can be stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch

from latticear.estimation.estimates import with_error
from latticear.exact import exact_result
from latticear.models import AbstractModel
from latticear.processes import Processes
from latticear.runs.config import RunConfig
from latticear.runs.directory import RunDirectory
from latticear.runs.provenance import now
from latticear.runs.signals import StopSignals
from latticear.training import Step, TrainingError
from latticear.workflows.lookahead import lookahead_of, sum_later_sites
from latticear.workflows.trained import Report

__all__ = ["follow_steps", "take_steps"]

BOUND = " (one batch: an upper bound on average; latticear estimate gives the value)"
"""What the last line of progress says of the variational free energy."""
LACKING, LACKS = 0.5, "; the network lacks a part of the data: its estimates will be wrong, train with more steps"
"""Share of the ESS that the data must confirm, and what the last line says if they do not."""


def take_steps(
    run: RunDirectory,
    model: AbstractModel,
    steps: Iterator[Step],
    config: RunConfig,
    report: Report,
    seconds: float,
    processes: Processes,
) -> bool:
    """Take all steps of a training, and record them; of several processes, the first one does.

    Args:
        run: the directory in which metrics and checkpoints are written.
        model: the model that is trained.
        steps: the steps that are left.
        config: the config of the run.
        report: called with progress.
        seconds: after so long the training stops with a checkpoint, as it does after a signal to any process.
        processes: the processes that train the model together.

    Returns:
        Whether the last step has been taken.

    Raises:
        TrainingError: when the loss or the weights are not finite; names the last good checkpoint.
        OSError: if a file cannot be written.
    """
    total, every = config.training["steps"], config.training["checkpoint_every"]
    status: dict[str, Any] = {"at": config.target.shown_as}
    if config.target.has_energy:
        shown = config.target.shown(model)
        exact = exact_result(shown.system, shown.temperature)
        status |= {"exact": exact.free_energy_per_site} if exact else {}
    sum_later_sites(model, report)
    before = run.metrics()[-1:]
    done = before[0]["step"] if before else 0
    t_start = time.monotonic() - (before[0]["elapsed"] if before else 0.0)
    with StopSignals() as stop:
        try:
            for step in steps:
                done, elapsed = step.step, time.monotonic() - t_start
                run.log({"step": done, "elapsed": elapsed, "loss": step.loss, **step.metrics})
                status |= {"loss": step.loss, **step.metrics}
                report(done, total, _headline(status, last=done == total))
                ends = processes.any(stop.requested or elapsed > seconds)
                if done % every == 0 or done == total or ends:
                    run.save_checkpoint(model, _finite(step.state.weights()), step.state.state_dict())
                if ends and done < total:
                    return False
        except TrainingError as error:
            run.discard_checkpoint(done)  # its weights led to a loss that is not finite
            raise TrainingError(f"{error}; {run.last_good()}") from error
    ended = {"finished": now(), "seconds": time.monotonic() - t_start, **lookahead_of(model)}
    run.write_json("environment.json", ended | run.read_json("environment.json"))
    return True


def follow_steps(steps: Iterator[Step], total: int, processes: Processes) -> bool:
    """Take the same steps in a process that is not the first one; returns what `take_steps` does, records nothing."""
    with StopSignals() as stop:
        for step in steps:
            if processes.any(stop.requested) and step.step < total:
                return False
    return True


def _finite(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    if not all(weight.isfinite().all() for weight in weights.values()):
        raise TrainingError("the weights stopped being finite; lower the learning rate")
    return weights


def _headline(status: dict[str, Any], *, last: bool = False) -> str:
    """The line of progress of a training.

    Args:
        status: loss and metrics of the last step, and metrics of earlier steps that it does not have; `at`, the place
            of the setting shown; `exact`, the exact free energy per site, if there is one.
        last: whether this is the line of the last step, which says what the free energy of a training is.
    """
    text = "" if "kl_bound" in status else f"nll/site {status['loss']:.5f} "
    if "free_energy_per_site" in status:
        text += f"{status['at']}: " if status["at"] else ""
        text += f"F/N <= {with_error(status['free_energy_per_site'], status['free_energy_error'])} "
        text += f"exact {status['exact']:.6f} " if "exact" in status else ""
        text += f"ESS {status['ess']:.2f}"
        text += f", from data {status['forward_ess']:.2f}" if "forward_ess" in status else ""
        text += BOUND if last else ""
        if last and status.get("forward_ess", 1.0) < LACKING * status["ess"]:
            text += LACKS
    elif "nll_held_out" in status:
        text += f"held out {status['nll_held_out']:.5f}"
    return text.rstrip()
