"""The sum over later sites on spin glasses that nothing was trained on: the ESS of many unseen instances.

Instances of the +-J glass on a torus are drawn by `EdwardsAndersonDisorder`, from numbers that no training uses. For
each bond dimension chi the sums of all of them are computed together, and configurations of each are drawn and weighed,
without any training. With RUN, a run for all couplings, its network is measured on instances of its own system besides.
Ceiling: ESS 1. The last line is JSON.

    python benchmarks/lookahead_instances.py [RUN ...] [--only NAME ...] [--chi 8 16] [--instances 20] [-n 1000]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import latticear as la

ROWS = {
    "+-J glass 8x8, torus, T = 1": ((8, 8), 1.0),
    "+-J glass 8x8, torus, T = 0.5": ((8, 8), 0.5),
    "+-J glass 16x16, torus, T = 1": ((16, 16), 1.0),
    "+-J glass 16x16, torus, T = 0.5": ((16, 16), 0.5),
}
"""Shape and temperature."""

FIRST = 1
"""Number of the first instance: instance 0 is shown while a network is trained."""


def measured(name: str, model: Any, disorder: Any, t: float, options: argparse.Namespace) -> dict[str, Any]:
    """The ESS on each instance, and the seconds of all of them, build included."""
    couplings = model.condition_of(maps=disorder.draw(options.instances, FIRST))
    t_start = time.perf_counter()
    ess = [found for part in couplings.split(options.together) for found in _ess(model, disorder, t, part, options.n)]
    seconds = time.perf_counter() - t_start
    low, median, high = np.quantile(ess, [0.25, 0.5, 0.75]).tolist()
    print(
        f"{name:45s} ESS: median {median:.4f}, quartiles {low:.3f} and {high:.3f}, least {min(ess):.3f}; "
        f"{seconds / len(ess):.2f} s for each",
        flush=True,
    )
    return {"median": median, "quartiles": [low, high], "ess": ess, "seconds": seconds}


def _ess(model: Any, disorder: Any, t: float, couplings: torch.Tensor, n: int) -> list[float]:
    """The ESS of n configurations of each of some instances, whose sums are computed together."""
    log_w = []
    with torch.no_grad():
        for batch in model.sample_batches(n * len(couplings), seed=1, condition=couplings.repeat(n, 1)):
            log_w.append(-disorder.energy_given(batch.tokens, batch.condition) / t - batch.log_q)
    weights = torch.cat(log_w).view(n, -1).softmax(0)
    return (1 / (n * weights.square().sum(0))).tolist()


def alone(name: str, chi: int, options: argparse.Namespace) -> dict[str, Any]:
    """Nothing is trained."""
    shape, t = ROWS[name]
    disorder = la.EdwardsAndersonDisorder(shape)
    bias = disorder.bias(t, bond_dimension=chi)
    model = la.TensorNetwork(shape, bias=bias, bond_dimension=chi, n_condition_maps=disorder.n_maps)
    return measured(f"{name}, chi {chi}", model, disorder, t, options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, help="runs of edwards_anderson_disorder")
    parser.add_argument("--only", nargs="*", help="rows whose name contains one of these")
    parser.add_argument("--chi", type=int, nargs="*", default=[8, 16], help="bond dimensions")
    parser.add_argument("--instances", type=int, default=20)
    parser.add_argument("--together", type=int, default=16, help="instances whose sums are computed together")
    parser.add_argument("-n", type=int, default=1000, help="configurations of each instance")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names = [] if options.runs and not options.only else list(ROWS)
    names = [name for name in names if not options.only or any(part in name for part in options.only)]
    found = {name: {str(chi): alone(name, chi, options) for chi in options.chi} for name in names}
    for path in options.runs:
        run = la.load_run(path)
        name = f"{path}, T = {run.temperature:g}"
        found[name] = {"network": measured(name, run.model, run.hamiltonian, run.temperature, options)}
    print(json.dumps({"n": options.n, "threads": options.threads, "rows": found}))


if __name__ == "__main__":
    main()
