"""Estimates from the samples of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from latticear.chains import neural_mcmc
from latticear.config import (
    load_config,
)
from latticear.configurations import read_configurations
from latticear.estimates import Estimates
from latticear.exact import exact_result
from latticear.importance import forward_ess, reweight
from latticear.rundir import RunDirectory
from latticear.samples import Samples
from latticear.workflows.runs import Report, quiet, step_of, trained

__all__ = ["estimate_run", "save_estimates"]

METHODS = ("is", "mcmc")


def estimate_run(
    path: Path,
    n: int,
    *,
    temperatures: Sequence[float] | None,
    method: str,
    data: Path | None,
    seed: int,
    device: str,
    report: Report,
) -> list[Estimates]:
    """Estimates from n fresh samples of a run.

    Args:
        path: run directory.
        n: samples.
        temperatures: where to reweight to; None for the temperature of the run.
        method: "is" or "mcmc".
        data: Monte Carlo configurations for the forward ESS, or None.
        seed, device: of the sampling.
        report: called with progress.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {list(METHODS)}, got {method!r}")
    config, hamiltonian, model = trained(path, device)
    targets = list(temperatures or [config.temperature])
    judges = [exact_result(hamiltonian, t) for t in targets]
    target_data = None if data is None else read_configurations(data, hamiltonian, temperature=targets[0])
    batches = _counted(model.sample_batches(n, seed=seed), n, report)
    with quiet():
        if method == "is":
            results = reweight(batches, hamiltonian, targets, exact=judges)
        elif len(targets) > 1:
            raise ValueError("method mcmc takes one temperature at a time")
        else:
            results = [neural_mcmc(batches, hamiltonian, targets[0], seed=seed, exact=judges[0])]
    if target_data is not None:
        results[0]["forward_ess"] = forward_ess(model, target_data, hamiltonian, targets[0])
        results[0].check_collapse()
    return results


def save_estimates(path: Path, results: Sequence[Estimates], *, seed: int) -> None:
    """Write estimates.json, if these are at the temperature of the run and by importance sampling, which gives all."""
    run, first = RunDirectory(path), results[0]
    at_home = len(results) == 1 and first.temperature == load_config(run.config_path).temperature
    if at_home and "free_energy_per_site" in first:
        run.write_json("estimates.json", first.to_dict() | {"seed": seed, "checkpoint": step_of(path)})


def _counted(batches: Iterable[Samples], n: int, report: Report) -> Iterator[Samples]:
    done = 0
    for batch in batches:
        done += len(batch)
        report(done, n, "")
        yield batch
