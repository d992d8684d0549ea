"""What each choice in the multiscale network and its training is worth, one at a time, after the same time.

Each variant trains on the same lattice at T_c for the same wall time (which becomes a number of steps by a measured
warm-up) with one option changed from configs/critical.toml, and is weighed. Ceiling: KL 0. With several `--seeds` the
spread says which differences mean something. The last line is JSON.

    python benchmarks/levers.py [--size 16] [--minutes 1] [--seeds 1] [--only NAME ...]
"""

from __future__ import annotations

import argparse
import json
import warnings

import torch
from critical import CONFIG, train

import latticear as la
from latticear.runs.config import load_config

LEVERS: dict[str, list[str]] = {
    "as in configs/critical.toml": [],
    "learning rate 0.003": ["training.learning_rate=0.003"],
    "learning rate 0.01": ["training.learning_rate=0.01"],
    "learning rate 0.06": ["training.learning_rate=0.06"],
    "width 16": ["model.width=16"],
    "width 64": ["model.width=64"],
    "depth 1": ["model.depth=1"],
    "depth 3": ["model.depth=3"],
    "12 taps": ["model.n_taps=12"],
    "48 taps": ["model.n_taps=48"],
    "likelihood for half of the steps": ["training.forward_share=0.5"],
    "likelihood alone": ["training.objective=forward-kl"],
    "reverse KL alone, annealed": ["training.objective=reverse-kl", "training.learning_rate=0.003"],
    "batch of 128": ["training.batch_size=128"],
    "batch of 2048": ["training.batch_size=2048"],
    "no averaged weights": ["training.ema_decay=0"],
    "no exact conditionals, no known neighbours": ["model.boltzmann_bias=false"],
    "no spin-flip symmetry": ["model.spin_flip_symmetric=false"],
}


def weighed(size: int, changes: list[str], seed: int, seconds: float, n: int) -> dict[str, float]:
    config = load_config(CONFIG, changes, {"seed": seed, "hamiltonian": {"shape": [size, size]}})
    ising = config.target.system
    model, told = train(config, seconds, log=False)
    exact = la.exact_result(ising, config.target.temperature)
    assert exact is not None
    estimates = la.estimate(model.sample_batches(n, seed=1), ising, config.target.temperature)
    return {
        "kl": exact.log_z - (estimates["log_z"].value - estimates.diagnostics["kl"]),
        "ess": estimates["ess"].value,
        "steps": told[-1]["steps"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("-n", type=int, default=20_000)
    parser.add_argument("--only", nargs="+", choices=LEVERS, default=list(LEVERS), metavar="NAME")
    options = parser.parse_args()
    warnings.simplefilter("ignore", la.UnreliableEstimateWarning)
    print(f"{'':44s} {'KL':>9s} {'ESS':>7s} {'steps':>6s}")
    rows = []
    for name in options.only:
        for seed in range(options.seeds):
            found = weighed(options.size, LEVERS[name], seed, 60 * options.minutes, options.n)
            rows.append({"name": name, "seed": seed, **found})
            print(f"{name:44s} {found['kl']:9.5f} {found['ess']:7.4f} {found['steps']:6d}", flush=True)
    print(json.dumps({"rows": rows, "minutes": options.minutes, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
