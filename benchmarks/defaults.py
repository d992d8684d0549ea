"""Which network is the default: the candidates on every kind of system, in the same processor time.

`multiscale` is trained for `--steps` steps with its own defaults, the others for the steps that take the same processor
time of one thread. With `--steps-for-all` every network makes that many steps, and the times differ. The rule that
follows from the table is `latticear.targets.default_network`. Ceiling: ESS 1. The last line is JSON.

    python benchmarks/defaults.py [--only NAME ...] [--networks pixelcnn multiscale] [--steps 1000] [--steps-for-all]
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from typing import Any

import torch
from systems import CYLINDER, POTTS_T_C

import latticear as la
from latticear.estimation.estimates import with_error
from latticear.runs.config import build_model, parse_config
from latticear.workflows.train import begin, training_data

N = 20_000
N_WARM_UP, N_TIMED = 3, 10

ISING = {"name": "ising"}
SYSTEMS: dict[str, tuple[dict[str, Any], Any]] = {
    "Ising 2x2": (ISING | {"shape": [2, 2]}, la.T_C),
    "Ising 3x3": (ISING | {"shape": [3, 3]}, la.T_C),
    "Ising 4x4": (ISING | {"shape": [4, 4]}, la.T_C),
    "Ising 5x5": (ISING | {"shape": [5, 5]}, la.T_C),
    "Ising 6x6": (ISING | {"shape": [6, 6]}, la.T_C),
    "Ising 7x7": (ISING | {"shape": [7, 7]}, la.T_C),
    "Ising 8x8": (ISING | {"shape": [8, 8]}, la.T_C),
    "Ising 8x8, T = 1.5": (ISING | {"shape": [8, 8]}, 1.5),
    "Ising 8x8, T = 4": (ISING | {"shape": [8, 8]}, 4.0),
    "Ising 9x9": (ISING | {"shape": [9, 9]}, la.T_C),
    "Ising 12x12, T = 2.05": (ISING | {"shape": [12, 12]}, 2.05),
    "Ising 15x15": (ISING | {"shape": [15, 15]}, la.T_C),
    "Ising 3x12": (ISING | {"shape": [3, 12]}, la.T_C),
    "Ising 8x8, open": (ISING | {"shape": [8, 8], "periodic": False}, la.T_C),
    "Ising 7x7, open": (ISING | {"shape": [7, 7], "periodic": False}, la.T_C),
    "Ising 7x8, cylinder": (ISING | {"shape": [7, 8], "periodic": CYLINDER}, la.T_C),
    "Ising 1x16, open": (ISING | {"shape": [1, 16], "periodic": False}, 1.0),
    "Ising in a field": (ISING | {"shape": [8, 8], "field": 0.1}, la.T_C),
    "Ising in a field 7x7": (ISING | {"shape": [7, 7], "field": 0.1}, la.T_C),
    "antiferromagnet 7x7": (ISING | {"shape": [7, 7], "coupling": -1.0}, 1.0),
    "J1-J2, J' = -0.6 J": (ISING | {"shape": [8, 8], "next_nearest": -0.6}, 1.5),
    "J1-J2 9x9": (ISING | {"shape": [9, 9], "next_nearest": -0.6}, 1.5),
    "J1-J2, J' = 0.5 J, 7x7": (ISING | {"shape": [7, 7], "next_nearest": 0.5}, 3.9),
    "J1-J2 7x7": (ISING | {"shape": [7, 7], "next_nearest": -0.6}, 1.5),
    "triangular": (ISING | {"shape": [8, 8], "geometry": "triangular"}, 3.641),
    "triangular 7x7": (ISING | {"shape": [7, 7], "geometry": "triangular"}, 3.641),
    "triangular antiferromagnet": (ISING | {"shape": [8, 8], "geometry": "triangular", "coupling": -1.0}, 0.7),
    "triangular antiferromagnet 6x6": (ISING | {"shape": [6, 6], "geometry": "triangular", "coupling": -1.0}, 0.7),
    "triangular antiferromagnet 7x7": (ISING | {"shape": [7, 7], "geometry": "triangular", "coupling": -1.0}, 0.7),
    "honeycomb": (ISING | {"shape": [8, 8], "geometry": "honeycomb"}, 1.519),
    "antiperiodic": (ISING | {"shape": [8, 8], "antiperiodic": [False, True]}, 1.8),
    "Edwards-Anderson": ({"name": "edwards_anderson", "shape": [8, 8]}, 1.0),
    "Edwards-Anderson, T = 0.5": ({"name": "edwards_anderson", "shape": [8, 8]}, 0.5),
    "Edwards-Anderson 7x7": ({"name": "edwards_anderson", "shape": [7, 7]}, 1.0),
    "Sherrington-Kirkpatrick": ({"name": "sherrington_kirkpatrick", "shape": [4, 5]}, 1.0),
    "Sherrington-Kirkpatrick, T = 0.4": ({"name": "sherrington_kirkpatrick", "shape": [4, 5]}, 0.4),
    "Sherrington-Kirkpatrick 4x4": ({"name": "sherrington_kirkpatrick", "shape": [4, 4]}, 1.0),
    "Potts q = 3": ({"name": "potts", "shape": [8, 8]}, POTTS_T_C),
    "Potts q = 3, 7x7": ({"name": "potts", "shape": [7, 7]}, POTTS_T_C),
    "clock q = 6": ({"name": "clock", "q": 6, "shape": [8, 8]}, 0.9),
    "Blume-Capel": ({"name": "blume_capel", "crystal_field": 1.966, "shape": [8, 8]}, 0.608),
    "Ashkin-Teller": ({"name": "ashkin_teller", "four_spin": 0.5, "shape": [8, 8]}, 2.9),
    "phi^4": ({"name": "phi4", "levels": 16, "shape": [6, 6]}, 1.0),
    "Ising 8x8, T in 1.5..3.5": (ISING | {"shape": [8, 8]}, (1.5, 3.5)),
    "Ising 7x7, T in 1.5..3.5": (ISING | {"shape": [7, 7]}, (1.5, 3.5)),
    "Edwards-Anderson, all couplings": ({"name": "edwards_anderson_disorder", "shape": [4, 4]}, 1.0),
}
"""By name: the section `[hamiltonian]`, and the temperature."""


def trained(network: str, hamiltonian: dict[str, Any], temperature: Any, steps: int, seconds: float) -> dict[str, Any]:
    """A row: the ESS after so many steps, or after those that take so many seconds if these are finite."""
    tree = {"temperature": temperature, "device": "cpu", "hamiltonian": hamiltonian, "model": {"name": network}}
    if seconds:
        steps = max(10, int(seconds / _seconds_of_a_step(tree)))
    t_start = time.process_time()
    config = parse_config(tree | {"training": {"steps": steps}})
    model = build_model(config)
    for _ in begin(model, config, training_data(config)):
        pass
    spent = time.process_time() - t_start
    ess = []
    for setting in _settings(config.target, model):
        samples = model.sample_batches(N, seed=1, condition=setting.condition)
        found = la.estimate(samples, setting.system, setting.temperature)
        ess.append((found["ess"], found.reliable))
    worst, reliable = min(ess, key=lambda pair: pair[0].value)
    return {"network": network, "steps": steps, "seconds": spent, "ess": worst.to_dict(), "reliable": reliable}


def _seconds_of_a_step(tree: dict[str, Any]) -> float:
    config = parse_config(tree | {"training": {"steps": N_WARM_UP + N_TIMED, "n_monte_carlo": 2000}})
    for step in begin(build_model(config), config, training_data(config)):
        if step.step == N_WARM_UP:
            t_start = time.process_time()
    return (time.process_time() - t_start) / N_TIMED


def _settings(target: Any, model: Any) -> list[Any]:
    return list(target.along(3).values()) if target.covers_range else [target.shown(model)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), metavar="NAME")
    parser.add_argument("--networks", nargs="+", choices=la.MODELS, default=["pixelcnn"], help="beside multiscale")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--steps-for-all", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", la.UnreliableEstimateWarning)
    rows = []
    for name in options.only:
        seconds = 0.0
        for network in ["multiscale", *options.networks]:
            try:
                row = trained(network, *SYSTEMS[name], options.steps, seconds)
            except ValueError as error:
                print(f"{name:32s} {network:12s} {error}", flush=True)
                continue
            rows.append({"system": name, **row})
            mark = "" if row["reliable"] else " !"
            ess = with_error(row["ess"]["value"], row["ess"]["error"]) + mark
            print(f"{name:32s} {network:12s} {row['steps']:6d} steps {row['seconds']:6.1f} s  ESS {ess}", flush=True)
            seconds = 0.0 if options.steps_for_all else rows[-1]["seconds"] if network == "multiscale" else seconds
    print(json.dumps({"rows": rows, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
