"""Whether trainings by default keep all phases: systems with several, each beside its exact free energy.

Each row trains a network with the defaults of the command line, weighs its samples, and prints the ESS; the forward ESS
that the training states at its end, from the data of its batches; how many errors ln Z is off; and the part of Z that
the samples do not see, `1 - Z(samples) / Z(exact)`: the mass of a missing phase. Ceiling: ESS 1, within three errors,
nothing missing. `--before` trains as version 0.1.0 did: reverse KL alone for other networks than `multiscale`, and for
that one no heated configurations and data by the heat bath. The last line is JSON.

    python benchmarks/modes.py [--only NAME ...] [--seeds 5] [--steps 300] [--network pixelcnn] [--before]
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from typing import Any

import torch

import latticear as la
from latticear.runs.config import build_model, parse_config
from latticear.runs.trees import config_tree
from latticear.training.suited import ADDED_LATER
from latticear.workflows.train import begin

GLASS = {"name": "edwards_anderson"}
SYSTEMS: dict[str, tuple[dict[str, Any], float]] = {
    "Blume-Capel 6x6, D = 1.966": ({"name": "blume_capel", "crystal_field": 1.966, "shape": [6, 6]}, 0.4),
    "Blume-Capel 6x6, D = 1.99": ({"name": "blume_capel", "crystal_field": 1.99, "shape": [6, 6]}, 0.3),
    "Blume-Capel 3x4, D = 1.966": ({"name": "blume_capel", "crystal_field": 1.966, "shape": [3, 4]}, 0.4),
    "J1-J2 4x4, T = 0.5": ({"next_nearest": -0.6, "shape": [4, 4]}, 0.5),
    "J1-J2 4x4, T = 0.6": ({"next_nearest": -0.6, "shape": [4, 4]}, 0.6),
    "glass 4x4, T = 0.5": (GLASS | {"shape": [4, 4]}, 0.5),
    "glass 6x6, T = 0.4": (GLASS | {"shape": [6, 6]}, 0.4),
    "glass 6x6, T = 0.6": (GLASS | {"shape": [6, 6]}, 0.6),
    "phi^4 3x3": ({"name": "phi4", "hopping": 0.3, "levels": 5, "cutoff": 2.5, "shape": [3, 3]}, 0.5),
}
"""Section `[hamiltonian]` and temperature."""
N = 20_000


def row(name: str, seed: int, training: dict[str, Any], network: str | None) -> dict[str, Any]:
    hamiltonian, t = SYSTEMS[name]
    tree = config_tree(None, [], {"hamiltonian": hamiltonian, "temperature": t, "seed": seed, "training": training})
    if network is not None:
        tree.setdefault("model", {})["name"] = network
    config = parse_config(tree)
    model, t_start = build_model(config), time.process_time()
    *_, last = begin(model, config, None)
    seconds = time.process_time() - t_start
    system = config.target.single.system
    exact = la.exact_result(system, t)
    found = la.estimate(model.sample_batches(N, seed=10**6 + seed), system, t, exact=exact)
    log_z, forward = found["log_z"], last.metrics.get("forward_ess")
    assert log_z.exact is not None
    missing = -math.expm1(log_z.value - log_z.exact)
    ess, deviation = found["ess"].value, float(log_z.deviation)
    shown = "   -   " if forward is None else f"{forward:7.4f}"
    print(
        f"{name:28s} {config.model['name']:10s} seed {seed:2d}  {seconds:5.1f} s  ESS {ess:7.4f}  from data {shown}  "
        f"ln Z off {deviation:+8.1f} errors  missing {missing:+.5f}",
        flush=True,
    )
    keys = {"network": config.model["name"], "steps": config.training["steps"], "seconds": seconds}
    return {"system": name, "seed": seed, **keys, "ess": ess, "forward_ess": forward, "off": deviation} | {
        "missing": missing
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(SYSTEMS), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--steps", type=int, help="in place of the default")
    parser.add_argument("--network", help="in place of the default")
    parser.add_argument("--before", action="store_true", help="train as version 0.1.0 did")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    training: dict[str, Any] = {} if options.steps is None else {"steps": options.steps}
    rows = []
    for name in options.only:
        if options.before:
            training |= ADDED_LATER
            if options.network or name.startswith("glass"):
                training["objective"] = "reverse-kl"
        rows += [row(name, options.first + k, training, options.network) for k in range(options.seeds)]
        training.pop("objective", None)
    for name in options.only:
        mine = [each for each in rows if each["system"] == name]
        right = sum(abs(each["off"]) < 3 for each in mine)
        said = sum(abs(each["off"]) >= 3 and (each["forward_ess"] or 1) < each["ess"] / 2 for each in mine)
        print(f"{name:28s} right {right} of {len(mine)}; wrong and said so by the forward ESS {said}")
    print(json.dumps({"n": N, "before": options.before, "rows": rows}))


if __name__ == "__main__":
    main()
