"""How good a tensor network is by itself: the ESS that a bond dimension gives without any training, and the time.

Each row builds the sums over later sites, draws configurations and weighs them. It prints the seconds of both, the ESS,
the deviation of ln Z from the exact one in errors where that is known (Kaufman, Pfaffians), and the largest share of a
matrix product that was cut. Ceiling: ESS 1, within three errors. The last line is JSON.

    python benchmarks/lookahead.py [--only NAME ...] [--n 10000] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch

import latticear as la

Row = tuple[Callable[[], Any], float, int]


def _glasses(size: int, temperature: float, bond_dimension: int) -> dict[str, Row]:
    """Instances on a torus."""
    return {
        f"+-J glass {size}x{size}, torus, T = {temperature}, instance {seed}": (
            lambda seed=seed: la.EdwardsAnderson((size, size), seed=seed),
            temperature,
            bond_dimension,
        )
        for seed in range(5)
    }


def _open_glass(size: int) -> Any:
    return la.EdwardsAnderson((size, size), seed=0, periodic=False)


ROWS: dict[str, Row] = {
    "Ising 16x16, torus, T_c": (lambda: la.Ising((16, 16)), la.T_C, 32),
    "Ising 32x32, torus, T_c": (lambda: la.Ising((32, 32)), la.T_C, 48),
    "Ising 64x64, torus, T_c": (lambda: la.Ising((64, 64)), la.T_C, 64),
    "Ising 128x128, torus, T_c": (lambda: la.Ising((128, 128)), la.T_C, 80),
    "Ising 64x64, open, T_c": (lambda: la.Ising((64, 64), periodic=False), la.T_C, 16),
    "+-J glass 64x64, open, T = 0.5": (lambda: _open_glass(64), 0.5, 24),
    "+-J glass 256x256, open, T = 1": (lambda: _open_glass(256), 1.0, 16),
    **_glasses(16, 1.0, 48),
    **_glasses(16, 0.5, 128),
    "Potts q = 3, 16x16, torus, T_c": (lambda: la.Potts((16, 16), q=3), 1 / math.log(1 + math.sqrt(3)), 36),
    "Potts q = 4, 16x16, torus, T_c": (lambda: la.Potts((16, 16), q=4), 1 / math.log(3), 48),
    "Blume-Capel 16x16, D = 1.966, T = 0.608": (lambda: la.BlumeCapel((16, 16), crystal_field=1.966), 0.608, 32),
    "J1-J2 16x16, J' = -0.3, T = 1.5": (lambda: la.Ising((16, 16), next_nearest=-0.3), 1.5, 24),
}
"""System, temperature and bond dimension."""


def row(name: str, n: int) -> dict[str, Any]:
    build, t, bond_dimension = ROWS[name]
    system = build()
    t_start = time.perf_counter()
    model = la.TensorNetwork(
        system.shape, system.n_tokens, bias=system.bias(t, bond_dimension=bond_dimension), bond_dimension=bond_dimension
    )
    environments = model.bias.environments()
    seconds = time.perf_counter() - t_start
    t_start = time.perf_counter()
    samples = model.sample(n, seed=1)
    drawing = time.perf_counter() - t_start
    found = la.estimate(samples, system, t, exact=la.exact_result(system, t))
    ess, deviation = found["ess"].value, found["log_z"].deviation
    lost, memory = float(environments.lost.max()), environments.n_bytes / 1e6
    off = "" if deviation is None else f", ln Z {deviation:+.1f} errors"
    print(
        f"{name:42s} chi {bond_dimension:3d}: {seconds:6.1f} s, {memory:5.0f} MB, {n} drawn in {drawing:6.1f} s, ESS "
        f"{ess:.5f}{off}, cut {lost:.1g}",
        flush=True,
    )
    return {"chi": bond_dimension, "build": seconds, "draw": drawing, "ess": ess, "deviation": deviation, "lost": lost}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="rows whose name contains one of these")
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore", la.UnreliableEstimateWarning)
    names = [name for name in ROWS if not options.only or any(part in name for part in options.only)]
    print(json.dumps({name: row(name, options.n) for name in names}))


if __name__ == "__main__":
    main()
