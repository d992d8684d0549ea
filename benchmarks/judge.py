"""How accurate is ln Z by boundary matrix products, and what does it cost, here and in quimb (PyPI)?

Each row contracts one system at one bond dimension, with the building of the tensors, and compares ln Z with the exact
value (Pfaffians, transfer matrix). quimb runs in turn with it, at the same bond dimension and in the same precision,
with its own defaults and no cutoff; without quimb its columns are empty. `stated` is the error that
`la.exact.tensor_network` states for its ln Z, and the last column the time it takes with all derivatives. Best
possible: an error of rounding, and a stated error that is never below the true one. The last line is JSON.

    python benchmarks/judge.py [--only NAME ...] [--threads 1] [--repeats 2]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from typing import Any

import torch

import latticear as la
from latticear.exact.contraction import Contraction

try:
    import quimb.tensor as quimb
except ImportError:
    quimb = None

T = 2.269
ROWS: dict[str, tuple[Callable[[], Any], float, tuple[int, ...]]] = {
    "Ising 16x16, open, T_c": (lambda: la.Ising((16, 16), periodic=False), T, (8, 16)),
    "Ising 16x16, open, field 0.1, T_c": (lambda: la.Ising((16, 16), field=0.1, periodic=False), T, (8, 16)),
    "Ising 32x32, open, T_c": (lambda: la.Ising((32, 32), periodic=False), T, (8, 16, 32)),
    "Ising 64x64, open, T_c": (lambda: la.Ising((64, 64), periodic=False), T, (16, 32)),
    "+-J glass 32x32, open, T = 1": (lambda: la.EdwardsAnderson((32, 32), seed=0, periodic=False), 1.0, (8, 16, 32)),
}
"""System, temperature and bond dimensions."""

STATED_UP_TO = 1024
"""Number of sites up to which the whole result is computed."""


def of_quimb(system: Any, t: float, bond_dimension: int) -> float:
    """ln Z by `contract_boundary` of quimb."""
    width = system.shape[1]
    coupling = {}
    for (i, j), table in zip(system.bonds.tolist(), system.bond_energies, strict=True):
        ends = divmod(i, width), divmod(j, width)
        coupling[ends] = coupling[ends[::-1]] = -float(table[0, 0])
    field = float(system.site_energies[0, 0])
    network = quimb.TN2D_classical_ising_partition_function(
        *system.shape, 1 / t, j=lambda a, b: coupling[a, b], h=field
    )
    number, exponent = network.contract_boundary(max_bond=bond_dimension, cutoff=0.0, strip_exponent=True)
    return float(math.log(abs(number)) + math.log(10) * exponent)


def ours(system: Any, t: float, bond_dimension: int) -> float:
    """ln Z by `latticear.lookahead`."""
    one = torch.ones(1, dtype=torch.float64)
    return float(Contraction(system, t).log_z(bond_dimension, one, one.new_zeros(1, system.n_tokens)))


def timed(work: Callable[[], float], repeats: int) -> tuple[float, float]:
    """Value, and seconds of the fastest run."""
    seconds = []
    for _ in range(repeats):
        t_start = time.perf_counter()
        value = work()
        seconds.append(time.perf_counter() - t_start)
    return value, min(seconds)


def rows(name: str, repeats: int) -> list[dict[str, Any]]:
    build, t, bond_dimensions = ROWS[name]
    system, found = build(), []
    exact = la.exact.transfer_matrix(system, t) if system.site_energies.any() else la.exact.kasteleyn(system, t)
    for chi in bond_dimensions:
        value, seconds = timed(lambda chi=chi: ours(system, t, chi), repeats)
        row: dict[str, Any] = {"chi": chi, "error": value - exact.log_z, "seconds": seconds}
        text = f"{name:36s} chi {chi:3d}: error {row['error']:+.1e}, {seconds:6.2f} s"
        if quimb is not None:
            value, seconds = timed(lambda chi=chi: of_quimb(system, t, chi), repeats)
            row |= {"quimb_error": value - exact.log_z, "quimb_seconds": seconds, "ratio": seconds / row["seconds"]}
            text += f"; quimb: error {row['quimb_error']:+.1e}, {seconds:6.2f} s, {row['ratio']:.1f} times as long"
        if system.n_sites <= STATED_UP_TO:
            t_start = time.perf_counter()
            result = la.exact.tensor_network(system, t, bond_dimension=chi)
            row |= {"stated": result.errors["log_z"], "result_seconds": time.perf_counter() - t_start}
            text += f"; stated {row['stated']:.1e}, with derivatives {row['result_seconds']:.1f} s"
        print(text, flush=True)
        found.append(row)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="rows whose name contains one of these")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if quimb is None:
        print("quimb is not installed (pip install quimb): its columns are left out")
    names = [name for name in ROWS if not options.only or any(part in name for part in options.only)]
    print(json.dumps({name: rows(name, options.repeats) for name in names}))


if __name__ == "__main__":
    main()
