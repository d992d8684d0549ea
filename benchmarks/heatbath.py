"""How fast are heat-bath sweeps, and what are rows of sites worth against tables of bonds?

Both baths in turn, best of several: nanoseconds a site of a sweep, site updates a second, and nanoseconds a site of the
energies that tempering asks for after it. Ceiling: the uniform numbers alone. The last line is JSON.

    python benchmarks/heatbath.py [--repeats 15] [--threads 1]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import torch

import latticear as la
from latticear.montecarlo.heatbath import RowBath, TableBath

SYSTEMS = {
    "J1-J2 8x8": (la.Ising((8, 8), next_nearest=-0.6), 1000),
    "Edwards-Anderson 16x16": (la.EdwardsAnderson((16, 16)), 256),
    "Ising 64x64": (la.Ising((64, 64)), 64),
    "Ising 64x64, one chain": (la.Ising((64, 64)), 1),
    "Sherrington-Kirkpatrick 64": (la.SherringtonKirkpatrick((8, 8)), 500),
    "Potts q = 3, 16x16": (la.Potts((16, 16), q=3), 256),
    "Blume-Capel 16x16": (la.BlumeCapel((16, 16)), 256),
    "clock q = 8, 16x16": (la.Clock((16, 16), q=8), 64),
}


def in_turn(works: list[Callable[[], object]], repeats: int) -> list[float]:
    """Seconds of the fastest run of each, one after the other and again."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(repeats + 1):
        for work, seen in zip(works, times, strict=True):
            t_start = time.perf_counter()
            work()
            seen.append(time.perf_counter() - t_start)
    return [min(seen[1:]) for seen in times]


def measured(hamiltonian: la.hamiltonians.AbstractHamiltonian, n: int, repeats: int) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(hamiltonian.n_tokens, (n, *hamiltonian.shape), generator=generator).to(torch.uint8)
    beta = torch.linspace(0.2, 1.2, n, dtype=torch.float64)
    rows, tables = (kind(hamiltonian, tokens, generator) for kind in (RowBath, TableBath))
    works = [lambda: rows.sweep(beta), lambda: tables.sweep(beta), rows.energies, tables.energies]
    works.append(lambda: torch.rand(hamiltonian.n_sites, n, dtype=torch.float64, generator=generator))
    seconds = in_turn(works, repeats)
    names = ("rows", "tables", "rows_energies", "tables_energies", "uniform")
    return {name: 1e9 * t / (n * hamiltonian.n_sites) for name, t in zip(names, seconds, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = []
    print("nanoseconds a site              sweep: rows  tables  ratio  updates/s   energies: rows  tables  uniform")
    for name, (hamiltonian, n) in SYSTEMS.items():
        row = measured(hamiltonian, n, options.repeats)
        results.append({"system": name, "n": n, **row})
        print(
            f"{name:30s} {row['rows']:12.1f} {row['tables']:7.1f} {row['tables'] / row['rows']:6.1f}"
            f" {1e9 / row['rows']:10.2g} {row['rows_energies']:16.1f} {row['tables_energies']:7.1f}"
            f" {row['uniform']:8.1f}",
            flush=True,
        )
    print(json.dumps({"rows": results, "torch": torch.__version__, **vars(options)}))


if __name__ == "__main__":
    main()
