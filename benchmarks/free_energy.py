"""Free-energy error against wall time at T_c: what a training of so many seconds buys.

For each time budget a fresh model is trained (the budget becomes a number of steps after a measured warm-up), then
weighed. Printed beside each other: the excess of the variational free energy, the error bar of the importance-sampled
one, and its deviation from Kaufman's exact value in units of that error bar. Ceiling: a perfect model has neither
excess nor error. The last line is JSON.

    python benchmarks/free_energy.py [--size 8] [--seconds 30 100 300] [-n 100000] [--set model.width=32 ...]
"""

from __future__ import annotations

import argparse
import json
import time
import warnings

import torch

import latticear as la
from latticear.runs.config import RunConfig, build_model, load_config


def options_of(config: RunConfig) -> dict:
    return {k: v for k, v in config.training.items() if k not in ("data", "checkpoint_every", "steps")}


def train(config: RunConfig, seconds: float) -> tuple[la.models.AbstractModel, int, float]:
    """A model trained for so many seconds, the steps that were, and the time it took."""
    ising = config.target.system
    warm_up = la.fit(build_model(config), ising, temperature=config.target.temperature, steps=8, **options_of(config))
    next(warm_up)
    t_start = time.perf_counter()
    n_timed = sum(1 for _ in warm_up)
    steps = max(20, int(seconds * n_timed / (time.perf_counter() - t_start)))
    model = build_model(config)
    t_start = time.perf_counter()
    for _ in la.fit(
        model, ising, temperature=config.target.temperature, steps=steps, seed=config.seed, **options_of(config)
    ):
        pass
    return model, steps, time.perf_counter() - t_start


def weigh(config: RunConfig, model: la.models.AbstractModel, n: int) -> dict[str, float]:
    ising = config.target.system
    exact = la.kaufman(ising.shape, config.target.temperature)
    t_start = time.perf_counter()
    estimates = la.estimate(model.sample_batches(n, seed=1), ising, config.target.temperature, exact=exact)
    free = estimates["free_energy_per_site"]
    variational = free.value + estimates.diagnostics["kl"] * config.target.temperature / ising.n_sites
    return {
        "sampling_seconds": time.perf_counter() - t_start,
        "excess": variational - exact.free_energy_per_site,
        "error": free.error,
        "deviation": free.deviation,
        "kl": estimates.diagnostics["kl"],
        "ess": estimates["ess"].value,
        "pareto_k": estimates["pareto_k"].value,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=8)
    parser.add_argument("--seconds", type=float, nargs="+", default=[30, 100, 300])
    parser.add_argument("-n", type=float, default=1e5)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore", la.UnreliableEstimateWarning)
    config = load_config(None, options.set, {"hamiltonian": {"shape": [options.size, options.size]}})
    print("seconds   steps   excess F/N    error F/N   deviation      KL     ESS   k-hat")
    rows = []
    for seconds in options.seconds:
        model, steps, elapsed = train(config, seconds)
        row = {"seconds": elapsed, "steps": steps, **weigh(config, model, int(options.n))}
        rows.append(row)
        print(
            f"{elapsed:7.0f} {steps:7d} {row['excess']:12.2e} {row['error']:12.2e} {row['deviation']:+8.1f} sg "
            f"{row['kl']:9.4f} {row['ess']:7.3f} {row['pareto_k']:7.2f}",
            flush=True,
        )
    print(json.dumps({"rows": rows, **vars(options), "torch": torch.__version__, "config": config.to_dict()}))


if __name__ == "__main__":
    main()
