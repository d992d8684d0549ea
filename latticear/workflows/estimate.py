"""Estimates from the samples of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from latticear.chains import neural_mcmc
from latticear.config import RunConfig, load_config
from latticear.configurations import read_configurations, read_metadata
from latticear.estimates import Estimates
from latticear.exact import exact_result
from latticear.hamiltonians import TemperatureRange, check_temperature
from latticear.importance import forward_ess, reweight
from latticear.rundir import RunDirectory
from latticear.samples import Samples
from latticear.workflows.runs import Report, condition_at, quiet, step_of, trained

__all__ = ["estimate_run", "save_estimates"]

METHODS = ("is", "mcmc")

N_TEMPERATURES = 5
"""Along a range, unless others are asked for."""


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
    """Estimates from fresh samples of a run.

    Args:
        path: run directory.
        n: samples; of a run that serves a range of temperatures, at each of them.
        temperatures: where to reweight to, or, of a run that serves a range, to sample; None for the temperature of the
            run, or several along its range.
        method: "is" or "mcmc".
        data: Monte Carlo configurations for the forward ESS, or None.
        seed, device: of the sampling.
        report: called with progress.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {list(METHODS)}, got {method!r}")
    config, hamiltonian, model = trained(path, device)
    targets = [check_temperature(t) for t in temperatures or _default(config, data)]
    target_data = None if data is None else read_configurations(data, hamiltonian, temperature=targets[0])
    draws = [[t] for t in targets] if isinstance(config.served, TemperatureRange) else [targets]
    if method == "mcmc" and len(draws[0]) > 1:
        raise ValueError("method mcmc takes one temperature at a time")
    results: list[Estimates] = []
    for k, aims in enumerate(draws):
        batches = model.sample_batches(n, seed=seed, start=k * n, condition=condition_at(config, aims[0]))
        counted = _counted(batches, k * n, len(draws) * n, report)
        judges = [exact_result(hamiltonian, t) for t in aims]
        with quiet():
            if method == "is":
                results += reweight(counted, hamiltonian, aims, exact=judges)
            else:
                results.append(neural_mcmc(counted, hamiltonian, aims[0], seed=seed, exact=judges[0]))
    if target_data is not None:
        condition = condition_at(config, targets[0])
        results[0]["forward_ess"] = forward_ess(model, target_data, hamiltonian, targets[0], condition=condition)
        results[0].check_collapse()
    return results


def save_estimates(path: Path, results: Sequence[Estimates], *, seed: int) -> None:
    """Write estimates.json, if these are at what the run serves and by importance sampling, which gives all.

    Of a run that serves a range, it has a list `estimates`, one entry for each temperature.
    """
    run, first = RunDirectory(path), results[0]
    if "free_energy_per_site" not in first:
        return
    origin = {"seed": seed, "checkpoint": step_of(path)}
    served = load_config(run.config_path).served
    if isinstance(served, TemperatureRange):
        run.write_json("estimates.json", {"estimates": [result.to_dict() for result in results]} | origin)
    elif len(results) == 1 and first.temperature == served:
        run.write_json("estimates.json", first.to_dict() | origin)


def _default(config: RunConfig, data: Path | None) -> list[float]:
    """Where a run is judged unless it is told: at its temperature, or all along its range, or at that of the data."""
    if not isinstance(config.served, TemperatureRange):
        return [config.served]
    stated = None if data is None else read_metadata(data)["attributes"].get("temperature")
    return config.served.spread(N_TEMPERATURES) if stated is None else [float(stated)]


def _counted(batches: Iterable[Samples], done: int, n: int, report: Report) -> Iterator[Samples]:
    for batch in batches:
        done += len(batch)
        report(done, n, "")
        yield batch
