"""Do the error bars of overlaps and of disorder averages cover? 200 repeats, against sums over all configurations.

Rows: a +-J glass on 3x3 by weighted samples of a tensor network that is too small to be exact, by Metropolis chains
whose proposals these samples are, and by heat-bath chains; and averages over instances, 12 in each repeat, against the
average over all sets of couplings, which is estimated from 2,000 instances that are summed exactly. `z` is
`(value - exact) / error`. Best possible: variance 1, and 68.3 % within one error; over 200 repeats the variance has a
standard deviation of 0.1, and the share one of 3.3 %. An error from 12 instances is known to 21 %, so that z there has
the variance 11 / 9 = 1.22 of Student's distribution.
The last line is JSON.

    python benchmarks/overlaps.py [--repeats 200] [--n 500]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator

import numpy as np
import torch

import latticear as la
from latticear.estimation.estimates import quiet
from latticear.estimation.named.overlaps import Overlaps
from latticear.exact import ExactResult, enumerate_states

T, SHAPE = 1.2, (3, 3)
N_INSTANCES, N_KNOWN = 12, 2000
NAMES = ("overlap_squared", "overlap_fourth", "overlap_binder_cumulant", "glass_susceptibility", "link_overlap")
LEVELS = (3, 4)
"""Levels of P(q) that are compared besides."""

ASKED = ["overlap"]


def known(system: la.EdwardsAnderson) -> dict[str, float]:
    result: ExactResult = enumerate_states(system, T)
    return dict(Overlaps().exact(system, T, result)) | {"energy_per_site": result.to_dict()["energy_per_site"]}


def compared(estimates: la.Estimates, exact: dict[str, float], names: tuple[str, ...]) -> Iterator[tuple[str, float]]:
    """The deviation of each quantity in units of its error."""
    for name in names:
        if name in estimates:
            yield name, (float(estimates[name].value) - exact[name]) / float(estimates[name].error)
    for k in LEVELS:
        p = estimates["overlap_distribution"]
        yield f"P(q) level {k}", (p.value[k] - exact["overlap_distribution"][k]) / p.error[k]


def one_instance(repeats: int, n: int) -> Iterator[tuple[str, str, float]]:
    glass = la.EdwardsAnderson(SHAPE, seed=1)
    exact = known(glass)
    model = la.TensorNetwork(SHAPE, bias=glass.bias(T * 1.1), bond_dimension=2)
    samples = model.sample(repeats * n, seed=1)
    for k in range(repeats):
        part = samples[k * n : (k + 1) * n]
        chains = la.monte_carlo(glass, T, n=2 * n, n_chains=8, thermalization=64, method="heat-bath", seed=k)
        sets = {
            "weighted": la.estimate(part, glass, T, observables=ASKED, exact=None),
            "Metropolis": la.neural_mcmc(part, glass, T, observables=ASKED, exact=None, n_chains=5, seed=k),
            "heat bath": la.estimate_chains(chains, glass, T, observables=ASKED, exact=None),
        }
        for row, estimates in sets.items():
            for name, z in compared(estimates, exact, NAMES):
                yield row, name, z


def disorder(repeats: int, n: int) -> Iterator[tuple[str, str, float]]:
    all_known = [known(la.EdwardsAnderson(SHAPE, seed=10_000 + k)) for k in range(N_KNOWN)]
    exact = {name: np.mean([each[name] for each in all_known], axis=0) for name in all_known[0]}
    exact["overlap_binder_cumulant"] = (3 - exact["overlap_fourth"] / exact["overlap_squared"] ** 2) / 2
    for k in range(repeats):
        each = []
        for i in range(N_INSTANCES):
            glass = la.EdwardsAnderson(SHAPE, seed=N_INSTANCES * k + i)
            model = la.TensorNetwork(SHAPE, bias=glass.bias(T * 1.1), bond_dimension=2)
            samples = model.sample(n // 4, seed=N_INSTANCES * k + i)
            each.append(la.estimate(samples, glass, T, observables=ASKED, exact=None))
        for name, z in compared(la.disorder_average(each), exact, (*NAMES, "energy_per_site")):
            yield "12 instances", name, z


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--n", type=int, default=500)
    options = parser.parse_args()
    torch.set_num_threads(1)
    t_start = time.process_time()
    found: dict[tuple[str, str], list[float]] = {}
    with quiet():
        for part in (one_instance, disorder):
            for row, name, z in part(options.repeats, options.n):
                found.setdefault((row, name), []).append(z)
            for (row, name), values in found.items():
                z = np.array(values)
                if part is one_instance or row == "12 instances":
                    print(
                        f"{row:13s} {name:24s} variance of z {np.mean(z**2):.2f}, mean {z.mean():+.2f}, "
                        f"within one error {np.mean(np.abs(z) < 1):.1%}",
                        flush=True,
                    )
    rows = {f"{row}: {name}": float(np.mean(np.square(z))) for (row, name), z in found.items()}
    print(json.dumps({"repeats": options.repeats, "n": options.n, "cpu_seconds": time.process_time() - t_start} | rows))


if __name__ == "__main__":
    main()
