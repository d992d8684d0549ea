"""Critical lattices by the multiscale network: what so many minutes of training buy.

A lattice larger than 16x16 is reached by way of smaller ones, each with the weights of the one before, exactly as
`latticear train configs/critical.toml --size L --grow` does; here a time budget becomes numbers of steps, by a measured
warm-up of each stage. The training time that is printed is all of it, Monte Carlo data and smaller lattices included.
Ceiling: ESS 1; KL(q || p) = 0. The last line is JSON.

    python benchmarks/critical.py --size 16 [--minutes 10] [-n 100000] [--set model.width=32 ...] [--save FILE]
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
import warnings
from pathlib import Path

import torch

import latticear as la
from latticear.estimation.forward import forward_ess
from latticear.runs.config import RunConfig, build_model, load_config, parse_config
from latticear.workflows.budget import shares_of
from latticear.workflows.grow import stage_training, stages

CONFIG = Path(__file__).parent.parent / "configs" / "critical.toml"
MINUTES = {16: 10, 32: 20, 64: 60, 128: 120}
"""Of training, by size."""

WARM_UP = 2.0
"""Seconds for which the steps of each objective are timed."""


def options_of(config: RunConfig, k: int) -> dict:
    training = config.training | stage_training(config.training, k)
    return {key: value for key, value in training.items() if key not in ("data", "checkpoint_every", "steps")}


def seconds_a_step(model: la.models.AbstractModel, ising: la.Ising, config: RunConfig, k: int) -> float:
    """Measured on a copy: of both kinds of steps, each with its share."""
    options = options_of(config, k)
    found = []
    for share in (0.99, 0.0):
        trial = options | {"forward_share": share, "n_monte_carlo": 2 * options["batch_size"]}
        steps = la.fit(copy.deepcopy(model), ising, temperature=config.target.temperature, steps=10_000, **trial)
        for _ in range(3):
            next(steps)
        n, t_start = 0, time.perf_counter()
        while time.perf_counter() - t_start < WARM_UP:
            next(steps)
            n += 1
        found.append((time.perf_counter() - t_start) / n)
        steps.close()
    share = options["forward_share"]
    return share * found[0] + (1 - share) * found[1]


def train(
    config: RunConfig, seconds: float, log: bool, device: str = "cpu"
) -> tuple[la.models.AbstractModel, list[dict]]:
    """The model of the last stage, and what each stage took."""
    shapes, model, told = stages(config.target.space.shape), None, []
    for k, (shape, share) in enumerate(zip(shapes, shares_of(len(shapes)), strict=True)):
        t_start, budget = time.perf_counter(), share * seconds
        here = parse_config(config.to_dict() | {"hamiltonian": config.space | {"shape": shape}})
        ising = here.target.system
        before, model = model, build_model(here).to(device)
        if before is not None:
            la.transfer_weights(model, before)
        per_step = seconds_a_step(model, ising, config, k)
        steps = max(50, int((budget - (time.perf_counter() - t_start)) / per_step))
        for step in la.fit(
            model, ising, temperature=config.target.temperature, steps=steps, seed=config.seed, **options_of(config, k)
        ):
            if log and step.step % max(1, steps // 10) == 0:
                elapsed = time.perf_counter() - t_start
                print(
                    f"  {shape[0]:4d} {elapsed:6.0f} s {step.step:6d} {step.metrics.get('ess', math.nan):.4f}",
                    flush=True,
                )
        told.append({"size": shape[0], "steps": steps, "seconds": time.perf_counter() - t_start})
    assert model is not None
    return model, told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("-n", type=float)
    parser.add_argument("--temperature", type=float, default=la.T_C)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--save", type=Path, help="safetensors file for the weights")
    parser.add_argument("--log", action="store_true", help="print how training goes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore", la.UnreliableEstimateWarning)
    size = options.size
    n = int(options.n or (100_000 if size < 64 else 20_000))
    minutes = options.minutes or MINUTES.get(size, 10)
    values = {"temperature": options.temperature, "hamiltonian": {"shape": [size, size]}}
    config = load_config(CONFIG, options.set, values)
    ising = config.target.system
    exact = la.exact_result(ising, config.target.temperature)
    assert exact is not None
    t_start = time.perf_counter()
    model, told = train(config, 60 * minutes, options.log)
    seconds = time.perf_counter() - t_start
    if options.save:
        from safetensors.torch import save_file

        save_file(model.state_dict(), options.save)
    t_start = time.perf_counter()
    estimates = la.estimate(model.sample_batches(n, seed=1), ising, config.target.temperature, exact=exact)
    elapsed = time.perf_counter() - t_start
    data = torch.cat(
        [b.tokens for b in la.monte_carlo(ising, config.target.temperature, n=5000, method="swendsen-wang", seed=7)]
    )
    forward = forward_ess(model, data, ising, config.target.temperature)
    log_z, kl = estimates["log_z"], exact.log_z - (estimates["log_z"].value - estimates.diagnostics["kl"])
    print(f"training    {seconds:.0f} s in all: " + ", ".join(f"{t['size']}: {t['steps']} steps" for t in told))
    print(f"sampling    {elapsed / n * 1e3:.3f} ms a configuration, with its energy and estimates")
    print(f"KL(q || p)  {kl:.5f} nats, {kl / ising.n_sites:.2e} per site")
    print(f"ESS         {estimates['ess']} over {n}; seen from the target {forward}")
    print(f"ln Z        {log_z.value:.6f}({log_z.error:.6f}), exact {exact.log_z:.6f}: {log_z.deviation:+.1f} errors")
    for name in ("free_energy_per_site", "energy_per_site", "abs_magnetization", "susceptibility"):
        print(
            f"{name:22s} {estimates[name]}" + (f"  exact {estimates[name].exact:.7f}" if estimates[name].exact else "")
        )
    row = {
        "size": size,
        "ess": estimates["ess"].value,
        "n": n,
        "kl": kl,
        "seconds": seconds,
        "parameters": sum(p.numel() for p in model.parameters()),
        "log_z": log_z.value,
        "log_z_error": log_z.error,
        "log_z_exact": exact.log_z,
        "forward_ess": forward.value,
        "sampling_seconds": elapsed,
        "temperature": config.target.temperature,
        "stages": told,
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
