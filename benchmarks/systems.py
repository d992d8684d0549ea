"""Every system beside its exact judge: what so many minutes of training reach, and whether all quantities are right.

Each row trains the multiscale network (PixelCNN where a site has components) on one system at one temperature, weighs
its samples, and compares all quantities that a judge knows: by how many errors the worst one is off, of how many.
Ceiling: ESS 1, KL(q || p) 0; more than four errors are too many. The last line is JSON.

    python benchmarks/systems.py [--only NAME ...] [--minutes 5] [-n 50000] [--set training.learning_rate=0.01 ...]
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from typing import Any, NamedTuple

import torch
from critical import train

import latticear as la
from latticear.exact import ExactResult
from latticear.runs.config import parse_config
from latticear.runs.trees import config_tree

POTTS_T_C = 1 / math.log(1 + math.sqrt(3))
"""F. Y. Wu, Rev. Mod. Phys. 54 (1982) 235, eq. 2.5 with q = 3."""

CYLINDER = [False, True]
"""Three states on an 8x8 torus are beyond the transfer matrix, on a cylinder they are not."""

ASHKIN_TELLER = {"name": "ashkin_teller", "four_spin": 0.5, "shape": [8, 6], "periodic": CYLINDER}
PARTS = ("model.name=pixelcnn", "training.objective=forward-reverse-kl")
"""The variational free energy alone would leave the network in one of the phases of the two components."""


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        hamiltonian: the section of a config.
        temperature: T.
        sets: other options, as `--set` takes them.
    """

    hamiltonian: dict[str, Any]
    temperature: float
    sets: tuple[str, ...] = ()


def _at(hamiltonian: dict[str, Any], *temperatures: float, sets: tuple[str, ...] = ()) -> list[Row]:
    return [Row({"shape": [8, 8]} | hamiltonian, t, sets) for t in temperatures]


SYSTEMS: dict[str, list[Row]] = {
    "Ising in a field": _at({"name": "ising", "field": 0.1}, la.T_C, 1.5),
    "J1-J2, J' = -0.6 J": _at({"name": "ising", "next_nearest": -0.6}, 1.5, 0.8),
    "triangular antiferromagnet": _at({"name": "ising", "coupling": -1.0, "geometry": "triangular"}, 2.0, 0.7),
    "honeycomb": _at({"name": "ising", "geometry": "honeycomb"}, 1.519, 1.0),
    "antiperiodic": _at({"name": "ising", "antiperiodic": [False, True]}, la.T_C, 1.8),
    "Edwards-Anderson +-J": _at({"name": "edwards_anderson"}, 1.0, 0.5),
    "Edwards-Anderson Gaussian": _at({"name": "edwards_anderson", "distribution": "gaussian"}, 1.0, 0.5),
    "Edwards-Anderson +-J 16x16": _at({"name": "edwards_anderson", "shape": [16, 16]}, 1.0, 0.5),
    "Sherrington-Kirkpatrick": _at({"name": "sherrington_kirkpatrick", "shape": [4, 5]}, 1.0, 0.4),
    "Potts q = 3": _at({"name": "potts", "periodic": CYLINDER}, POTTS_T_C, 0.8),
    "clock q = 4": _at({"name": "clock", "q": 4, "shape": [8, 6], "periodic": CYLINDER}, 1.1, 0.8),
    "Blume-Capel": _at({"name": "blume_capel", "crystal_field": 1.966, "periodic": CYLINDER}, 0.608, 0.8),
    "Ashkin-Teller": _at(ASHKIN_TELLER, 2.9, 2.0),
    "Ashkin-Teller, components": _at(ASHKIN_TELLER | {"components": 2}, 2.9, 2.0, sets=PARTS),
    "phi^4": _at({"name": "phi4", "levels": 24, "shape": [8, 3], "periodic": False}, 1.0, 0.8),
}
"""By name; the first temperature is the harder or the critical one where there is such a thing."""


def judge(hamiltonian: la.hamiltonians.AbstractHamiltonian, temperature: float) -> ExactResult | None:
    """The most complete exact result, whatever it costs."""
    quick = la.exact_result(hamiltonian, temperature)
    if quick is not None or not hamiltonian.has_bonds:
        return quick
    try:
        return la.exact.transfer_matrix(hamiltonian, temperature)
    except ValueError:
        return None


def measured(name: str, row: Row, options: argparse.Namespace) -> dict[str, Any]:
    tree = {
        "temperature": row.temperature,
        "hamiltonian": row.hamiltonian,
        "model": {"name": "multiscale"},
    }
    config = parse_config(config_tree(None, [*row.sets, *options.set], tree))
    hamiltonian = config.target.system
    t_start = time.perf_counter()
    model, _ = train(config, 60 * options.minutes, log=options.log)
    seconds = time.perf_counter() - t_start
    exact = judge(hamiltonian, row.temperature)
    found = la.estimate(model.sample_batches(options.n, seed=1), hamiltonian, row.temperature, exact=exact)
    judged = {key: value.deviation for key, value in found.items() if value.exact is not None and value.error > 0}
    worst = max(judged, key=lambda key: abs(judged[key]), default=None)
    log_z = found["log_z"]
    kl = found.diagnostics["kl"] + (0 if exact is None else exact.log_z - log_z.value)
    print(
        f"{name:28s} {'x'.join(map(str, hamiltonian.shape)):6s} T = {row.temperature:<7.4g} {seconds:5.0f} s  "
        f"ESS {found['ess'].value:.3f}  KL {kl:8.5f}  F/N {found['free_energy_per_site']}  "
        + ("no judge" if worst is None else f"{exact.method}: {len(judged)}, worst {worst} {judged[worst]:+.1f} errors")
        + ("" if found.reliable else f"  unreliable: {'; '.join(found.warnings)}"),
        flush=True,
    )
    return {
        "system": name,
        "temperature": row.temperature,
        "shape": list(hamiltonian.shape),
        "ess": found["ess"].value,
        "kl": kl,
        "seconds": seconds,
        "n": options.n,
        "free_energy_per_site": found["free_energy_per_site"].to_dict(),
        "judge": None if exact is None else exact.method,
        "deviations": judged,
        "reliable": found.reliable,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), metavar="NAME")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("-n", type=int, default=50_000)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--log", action="store_true", help="print how training goes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore", la.UnreliableEstimateWarning)
    rows = [measured(name, row, options) for name in options.only for row in SYSTEMS[name]]
    print(json.dumps({"rows": rows, "minutes": options.minutes, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
