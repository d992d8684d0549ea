"""Which sampler should I take: tensor network, multiscale network, a network on top of a tensor network, Monte Carlo.

For each system: a tensor network whose bond dimension is searched (`bond_dimension="auto"`), and the multiscale network
after `--seconds` of training on the same threads; time, ESS, and the error of the energy per site that a minute of
drawing gives, beside that of cluster updates or heat baths for a minute. The table is in docs/which-sampler.md.
Ceiling: ESS 1. The last line is JSON.

    python benchmarks/which_sampler.py [--only NAME ...] [--seconds 60] [--n 10000] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from typing import Any

import torch
from systems import POTTS_T_C

import latticear as la
from latticear.runs.config import build_model, parse_config
from latticear.workflows.train import begin, training_data

ISING = {"name": "ising"}
GLASS = {"name": "edwards_anderson"}
SYSTEMS: dict[str, tuple[dict[str, Any], float]] = {
    "Ising 16x16, T_c": (ISING | {"shape": [16, 16]}, la.T_C),
    "Ising 32x32, T_c": (ISING | {"shape": [32, 32]}, la.T_C),
    "Ising 64x64, T_c": (ISING | {"shape": [64, 64]}, la.T_C),
    "Ising 64x64, T = 1.8": (ISING | {"shape": [64, 64]}, 1.8),
    "Ising 64x64, T = 3": (ISING | {"shape": [64, 64]}, 3.0),
    "Ising 64x64, open, T_c": (ISING | {"shape": [64, 64], "periodic": False}, la.T_C),
    "Ising 32x32, field 0.1": (ISING | {"shape": [32, 32], "field": 0.1}, la.T_C),
    "J1-J2 16x16, J' = -0.6 J, T = 1.5": (ISING | {"shape": [16, 16], "next_nearest": -0.6}, 1.5),
    "triangular antiferromagnet 16x16, T = 0.7": (
        ISING | {"shape": [16, 16], "geometry": "triangular", "coupling": -1.0},
        0.7,
    ),
    "+-J glass 16x16, T = 1": (GLASS | {"shape": [16, 16]}, 1.0),
    "+-J glass 16x16, T = 0.5": (GLASS | {"shape": [16, 16]}, 0.5),
    "+-J glass 16x16, open, T = 0.5": (GLASS | {"shape": [16, 16], "periodic": False}, 0.5),
    "Potts q = 3, 16x16, T_c": ({"name": "potts", "shape": [16, 16]}, POTTS_T_C),
    "clock q = 6, 8x8, T = 0.9": ({"name": "clock", "q": 6, "shape": [8, 8]}, 0.9),
    "Blume-Capel 16x16, D = 1.966, T = 0.608": (
        {"name": "blume_capel", "crystal_field": 1.966, "shape": [16, 16]},
        0.608,
    ),
}
"""By name: the section `[hamiltonian]`, and the temperature."""


def sampler(tree: dict[str, Any], seconds: float, n: int) -> dict[str, Any]:
    """Build and train a model for so many seconds at most, draw from it, and weigh what was drawn."""
    t_start = time.perf_counter()
    config = parse_config(tree)
    model = build_model(config)
    if model.has_weights:
        for _ in begin(model, config, training_data(config)):
            if time.perf_counter() - t_start > seconds:
                break
    built = time.perf_counter() - t_start
    system, temperature, _ = config.target.single
    t_start = time.perf_counter()
    found = la.estimate(model.sample_batches(n, seed=1), system, temperature)
    drawn = time.perf_counter() - t_start
    return {
        "seconds": built,
        "chi": getattr(model, "bond_dimension", None),
        "ess": found["ess"].value,
        "error": found["energy_per_site"].error * (drawn / 60) ** 0.5,
        "reliable": found.reliable,
    }


def simulated(tree: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The error of the energy by Monte Carlo, from the spread of 100 independent chains, and how long they took."""
    system, temperature, _ = parse_config(tree).target.single
    t_start, energies = time.perf_counter(), []
    for batch in la.monte_carlo(system, temperature, n=10**9, n_chains=100, thermalization=200, thinning=1, seed=1):
        energies.append(system.token_energy(batch.tokens) / batch.tokens[0].numel())
        if time.perf_counter() - t_start > seconds:
            break
    elapsed = time.perf_counter() - t_start
    error = float(torch.stack(energies).mean(0).std()) / 10
    return {"seconds": elapsed, "error": error * (elapsed / 60) ** 0.5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="rows whose name contains one of these")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    rows: dict[str, Any] = {}
    for name, (hamiltonian, temperature) in SYSTEMS.items():
        if options.only and not any(part in name for part in options.only):
            continue
        tree = {"temperature": temperature, "device": "cpu", "hamiltonian": hamiltonian}
        search = {"bond_dimension": "auto", "target_ess": 0.99, "max_seconds": 4 * options.seconds}
        network = {"name": "tensor_network", **search}
        row = {
            "tensor_network": sampler(tree | {"model": network}, options.seconds, options.n),
            "multiscale": sampler(
                tree | {"model": {"name": "multiscale"}, "training": {"steps": 10**6}}, options.seconds, options.n
            ),
            "monte_carlo": simulated(tree | {"model": {"name": "multiscale"}}, options.seconds / 4),
        }
        rows[name] = row
        parts = []
        for kind, found in row.items():
            ess = "" if "ess" not in found else f"ESS {found['ess']:.4f}{'' if found['reliable'] else ' !'}, "
            chi = f"chi {found['chi']}, " if found.get("chi") else ""
            parts.append(f"{kind} {found['seconds']:.1f} s, {chi}{ess}error {found['error']:.1e}")
        print(f"{name:42s} {'; '.join(parts)}", flush=True)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
