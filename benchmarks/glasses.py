"""A trained sampler against parallel tempering and population annealing, on the same machine and for the same time.

For systems without cluster moves. Each method has so many seconds of one thread (found from first, short runs): the
error of ln Z, how far it is from the exact value, and effective configurations a second, `ESS n / t` of the network,
`n / (2 tau_int t)` of tempering by the slowest of energy, |m| and squared overlap, and `n / (rho_t t)` of the families
of annealing. The training of the network is told beside: it is what the network has to earn back. The last line is
JSON.

    python benchmarks/glasses.py RUN... [--seconds 60] [--threads 1]
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

import latticear as la
from latticear.runs.directory import RunDirectory
from latticear.workflows import trained

CHAINS = 20
ISLANDS = 32


def timed(run: Callable[[int], la.Estimates], n: int, seconds: float) -> tuple[la.Estimates, int, float]:
    """The estimates of as many configurations as so many seconds give, by the time that n and 3 n take."""
    run(n)  # what is built and compiled once
    times = []
    for k in (n, 3 * n):
        t_start = time.perf_counter()
        run(k)
        times.append(time.perf_counter() - t_start)
    rate = max(times[1] - times[0], times[1] / 10) / (2 * n)
    n += max(0, int((seconds - times[0]) / rate))
    t_start = time.perf_counter()
    return run(n), n, time.perf_counter() - t_start


def told(name: str, found: la.Estimates, rate: float, elapsed: float) -> dict[str, float]:
    log_z = found["log_z"]
    print(
        f"  {name:22s} {elapsed:6.1f} s  ln Z {log_z.value:.5f}({log_z.error:.5f})"
        + ("" if log_z.exact is None else f"  {log_z.deviation:+.1f} errors")
        + f"  {rate:9.1f} effective configurations/s"
        + ("" if found.reliable else f"  unreliable: {'; '.join(found.warnings)}"),
        flush=True,
    )
    return {"rate": rate, "seconds": elapsed, "log_z": log_z.value, "log_z_error": log_z.error}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore", la.UnreliableEstimateWarning)
    rows = []
    for run in options.runs:
        config, model = trained(run, "cpu")
        system, t, _ = config.target.single
        exact = la.exact_result(system, t)
        training = RunDirectory(run).read_json("environment.json").get("seconds", math.nan)
        size = "x".join(map(str, system.shape))
        print(f"{system.name} {size}, T = {t:g}; the network was trained for {training:.0f} s")
        row = {"run": run.name, "temperature": t, "shape": list(system.shape), "training_seconds": training}

        def network(n: int) -> la.Estimates:
            return la.estimate(model.sample_batches(n, seed=3), system, t, exact=exact)  # noqa: B023

        def tempering(n: int) -> la.Estimates:
            return la.parallel_tempering(system, t, n=n, n_chains=CHAINS, thinning=5, exact=exact)  # noqa: B023

        def annealing(n: int) -> la.Estimates:
            return la.population_annealing(system, t, n=n, n_islands=ISLANDS, exact=exact)  # noqa: B023

        found, n, elapsed = timed(network, 4096, options.seconds)
        row["network"] = told("network", found, n * found["ess"].value / elapsed, elapsed)
        found, n, elapsed = timed(tempering, 20 * CHAINS, options.seconds)
        tau = max(value for key, value in found.diagnostics.items() if key.startswith("tau_int"))
        row["tempering"] = told("parallel tempering", found, n / (2 * tau) / elapsed, elapsed)
        found, n, elapsed = timed(annealing, 20 * ISLANDS, options.seconds)
        row["annealing"] = told("population annealing", found, n / found.diagnostics["rho_t"] / elapsed, elapsed)
        rows.append(row)
    print(json.dumps({"rows": rows, "seconds": options.seconds, "threads": options.threads}))


if __name__ == "__main__":
    main()
