"""What a network adds to a tensor network: the ESS of the sum over later sites alone, and after training on top of it.

For each system and bond dimension a network with that sum in its logits (`model.bond_dimension`) is trained; its last
layer begins at zero, so that it begins with the ESS of the tensor network. It prints both, over the same number of
configurations, with the seconds of a step. Ceiling: ESS 1. The last line is JSON.

    python benchmarks/lookahead_networks.py [--only NAME ...] [--chi 4 8 16] [--steps 500] [--network pixelcnn]
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch

import latticear as la

ROWS: dict[str, tuple[Callable[[], Any], float]] = {
    "Ising 8x8, torus, T_c": (lambda: la.Ising((8, 8)), la.T_C),
    "Ising 32x32, torus, T_c": (lambda: la.Ising((32, 32)), la.T_C),
    "Ising 64x64, torus, T_c": (lambda: la.Ising((64, 64)), la.T_C),
    "+-J glass 8x8, torus, T = 0.5, seed 0": (lambda: la.EdwardsAnderson((8, 8), seed=0), 0.5),
    "+-J glass 16x16, torus, T = 1, seed 0": (lambda: la.EdwardsAnderson((16, 16), seed=0), 1.0),
    "+-J glass 16x16, torus, T = 1, seed 1": (lambda: la.EdwardsAnderson((16, 16), seed=1), 1.0),
    "+-J glass 16x16, torus, T = 0.5, seed 0": (lambda: la.EdwardsAnderson((16, 16), seed=0), 0.5),
    "+-J glass 16x16, torus, T = 0.5, seed 1": (lambda: la.EdwardsAnderson((16, 16), seed=1), 0.5),
    "Blume-Capel 16x16, D = 1.966, T = 0.608": (lambda: la.BlumeCapel((16, 16), crystal_field=1.966), 0.608),
    "J1-J2 16x16, J' = -0.3, T = 1.5": (lambda: la.Ising((16, 16), next_nearest=-0.3), 1.5),
}
"""System and temperature."""


def row(name: str, chi: int, options: argparse.Namespace) -> dict[str, Any]:
    build, t = ROWS[name]
    system = build()
    model = la.default_model(system, t, name=options.network, bond_dimension=chi or None)
    alone = _ess(model, system, t, options.n)
    asked = {"learning_rate": options.rate, "objective": options.objective}
    training = {key: value for key, value in asked.items() if value is not None}
    t_start = time.perf_counter()
    for _ in la.fit(model, system, temperature=t, steps=options.steps, batch_size=options.batch, **training):
        pass
    seconds = time.perf_counter() - t_start
    trained = _ess(model, system, t, options.n)
    print(
        f"{name:42s} chi {chi:3d}: ESS {alone:.4f} alone, {trained:.4f} after {options.steps} steps of "
        f"{seconds / options.steps:.2f} s",
        flush=True,
    )
    return {"alone": alone, "trained": trained, "seconds": seconds}


def _ess(model: Any, system: Any, t: float, n: int) -> float:
    return la.estimate(model.sample(n, seed=1), system, t)["ess"].value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="rows whose name contains one of these")
    parser.add_argument(
        "--chi", type=int, nargs="*", default=[4, 8, 16], help="bond dimensions; 0 for a network without the sum"
    )
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, help="learning rate; by default that of latticear train")
    parser.add_argument("--objective", help="training objective; by default that of latticear train")
    parser.add_argument("--network", default="pixelcnn")
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore", la.UnreliableEstimateWarning)
    names = [name for name in ROWS if not options.only or any(part in name for part in options.only)]
    found = {name: {str(chi): row(name, chi, options) for chi in options.chi} for name in names}
    print(json.dumps({"steps": options.steps, "network": options.network, "rows": found}))


if __name__ == "__main__":
    main()
