"""A network for any couplings on instances it has never seen, against a network trained on each of them alone.

RUN is a run of `configs/edwards_anderson_disorder.toml` or its like. Each instance is drawn by the Hamiltonian of the
run, from numbers that no training uses. On each: the ESS of the one network, at once; that of a multiscale network with
a perceptron for each site, trained on this instance alone for so many seconds; and how far both free energies are from
the exact one. The ceiling of the ESS is 1. The last line is JSON.

    python benchmarks/disorder.py RUN [--instances 10] [--seconds 30] [-n 10000] [--threads 1]
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

import latticear as la
from latticear.hamiltonians import AbstractHamiltonian
from latticear.runs.config import RunConfig, build_model, parse_config
from latticear.runs.directory import RunDirectory
from latticear.workflows import trained

STEPS_TIMED, WARM_UP = 60, 10


def alone(temperature: float, system: AbstractHamiltonian, seconds: float) -> la.models.AbstractModel:
    """A network for one system, a perceptron for each site, trained for about so long."""
    tree: dict[str, Any] = {
        "temperature": temperature,
        "hamiltonian": system.to_dict(),
        "model": {"name": "multiscale"},
        "training": {"objective": "reverse-kl", "learning_rate": 0.01},
    }
    config = parse_config(tree)
    _, times = fitted(config, STEPS_TIMED)
    each = (times[-1] - times[WARM_UP]) / (STEPS_TIMED - 1 - WARM_UP)
    return fitted(config, int(seconds / each))[0]


def fitted(config: RunConfig, steps: int) -> tuple[la.models.AbstractModel, list[float]]:
    """A trained network, and when each step was done."""
    model = build_model(config)
    options = {key: value for key, value in config.training.items() if key not in ("data", "checkpoint_every")}
    training = la.fit(model, config.target, **(options | {"steps": steps}))
    return model, [time.perf_counter() for _ in training]


def weighed(
    model: la.models.AbstractModel, system: AbstractHamiltonian, t: float, n: int, condition: torch.Tensor | None
) -> dict[str, float]:
    """ESS, and the free energy's distance from the exact one in its errors."""
    exact = la.exact_result(system, t)
    found = la.estimate(model.sample_batches(n, seed=3, condition=condition), system, t, exact=exact)
    deviation = found["free_energy_per_site"].deviation
    return {"ess": found["ess"].value, "deviation": math.nan if deviation is None else deviation}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--instances", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("-n", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore", la.UnreliableEstimateWarning)
    run = trained(options.run, "cpu")
    disorder, model, t = run.target.space, run.model, run.target.temperature
    if not isinstance(disorder, la.EdwardsAndersonDisorder):
        raise SystemExit(f"{options.run} must be a run for a disorder, got {run.target}")
    seconds = RunDirectory(options.run).read_json("environment.json").get("seconds", math.nan)
    size = "x".join(map(str, disorder.shape))
    print(f"{disorder.name} {size}, {disorder.distribution}, T = {t:g}; one network, trained for {seconds:.0f} s")
    rows = []
    for k, couplings in enumerate(disorder.draw(options.instances, start=1)):  # the first one was looked at in training
        system = disorder.instance(couplings)
        row = {"one": weighed(model, system, t, options.n, model.condition_of(maps=couplings[None])[0])}
        t_start = time.perf_counter()
        own = alone(t, system, options.seconds)
        elapsed = time.perf_counter() - t_start
        row["alone"] = weighed(own, system, t, options.n, None)
        rows.append(row)
        text = "  ".join(f"{name} ESS {r['ess']:.3f} ({r['deviation']:+.1f} errors)" for name, r in row.items())
        print(f"  instance {k}: {text}, trained for {elapsed:.0f} s", flush=True)
    quartiles = {
        name: np.quantile([row[name]["ess"] for row in rows], [0.25, 0.5, 0.75]).round(4).tolist()
        for name in ("one", "alone")
    }
    for name, (low, median, high) in quartiles.items():
        print(f"{name:6s} ESS: median {median:.3f}, quartiles {low:.3f} and {high:.3f}")
    numbers = {"training_seconds": seconds, "seconds_alone": options.seconds, "n": options.n}
    print(json.dumps({"rows": rows, "ess_quartiles": quartiles, "threads": options.threads, **numbers}))


if __name__ == "__main__":
    main()
