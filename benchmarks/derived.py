"""Do the error bars of derived quantities cover? 200 repeats on 3x3, against the sum over all configurations.

Each row is a function of averages: of one set of samples, of one set at two temperatures (whose errors are correlated),
of two independent sets (an interface tension), and of Markov chains. `z` is
`(value - exact) / error`. Best possible: variance 1, and 68.3 % within one error; over 200 repeats the variance has a
standard deviation of 0.1, and the share one of 3.3 %.
The last line is JSON.

    python benchmarks/derived.py [--repeats 200] [--n 1000]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

import latticear as la
from latticear.estimation.estimates import quiet
from latticear.exact import enumerate_states

T, NEAR = 2.5, (2.45, 2.55)
SHAPE = (3, 3)
Averages = Mapping[str, Any]


def ratio(a: Averages) -> Any:
    return a["magnetization_squared"] / a["abs_magnetization"] ** 2


def specific_heat_to_susceptibility(a: Averages) -> Any:
    return torch.log(torch.as_tensor(a["heat_capacity_per_site"])) - torch.log(torch.as_tensor(a["susceptibility"]))


def slope(low: Averages, high: Averages) -> Any:
    return (high["energy_per_site"] - low["energy_per_site"]) / (NEAR[1] - NEAR[0])


def tension(periodic: Averages, antiperiodic: Averages) -> Any:
    return T * (periodic["log_z"] - antiperiodic["log_z"]) / SHAPE[1]


SYSTEMS = la.Ising(SHAPE), la.Ising(SHAPE, antiperiodic=(True, False))


def weighted(repeats: int, n: int) -> Iterator[dict[str, tuple[list[la.Estimates], Callable[..., Any]]]]:
    """The estimates of each repeat by importance sampling, with the functions of them."""
    samples = []
    for seed, system in enumerate(SYSTEMS):
        torch.manual_seed(seed)
        samples.append(la.PixelCNN(SHAPE, n_tokens=2, bias=system.bias(T)).sample(repeats * n, seed=seed + 1))
    for k in range(repeats):
        here = slice(k * n, (k + 1) * n)
        (low, high), both = (
            la.reweight(samples[0][here], SYSTEMS[0], NEAR, exact=None),
            [la.estimate(each[here], system, T, exact=None) for each, system in zip(samples, SYSTEMS, strict=True)],
        )
        yield {
            "m2 / |m|^2": (both[:1], ratio),
            "ln (c / chi)": (both[:1], specific_heat_to_susceptibility),
            "slope of the energy": ([low, high], slope),
            "interface tension": (both, tension),
        }


def chains(repeats: int, n: int) -> Iterator[dict[str, tuple[list[la.Estimates], Callable[..., Any]]]]:
    """The same from Metropolis chains, four times as long, whose proposals are the samples."""
    torch.manual_seed(0)
    n *= 4
    samples = la.PixelCNN(SHAPE, n_tokens=2, bias=SYSTEMS[0].bias(T)).sample(repeats * n, seed=9)
    for k in range(repeats):
        sets = [la.neural_mcmc(samples[k * n : (k + 1) * n], SYSTEMS[0], T, exact=None)]
        yield {"m2 / |m|^2, chains": (sets, ratio), "ln (c / chi), chains": (sets, specific_heat_to_susceptibility)}


def exact_of(fn: Callable[..., Any]) -> float:
    if fn is tension:
        sets = [(system, T) for system in SYSTEMS]
    elif fn is slope:
        sets = [(SYSTEMS[0], t) for t in NEAR]
    else:
        sets = [(SYSTEMS[0], T)]
    return float(fn(*(enumerate_states(system, t).to_dict() for system, t in sets)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--n", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    t_start = time.perf_counter()
    found: dict[str, list[tuple[float, float, float]]] = {}
    exact: dict[str, float] = {}
    with quiet():
        for repeat in (*weighted(options.repeats, options.n), *chains(options.repeats, options.n)):
            for name, (sets, fn) in repeat.items():
                exact.setdefault(name, exact_of(fn))
                estimate = la.derived(sets, fn)
                off = float(estimate.value) - exact[name]
                found.setdefault(name, []).append((off, float(estimate.error), float(estimate.delta_error)))
    result = {}
    for name, rows in found.items():
        off, jackknife, delta = np.array(rows).T
        z = off / jackknife
        result[name] = {
            "exact": exact[name],
            "mean_error": jackknife.mean(),
            "variance": float(np.mean(z**2)),
            "variance_delta": float(np.mean((off / delta) ** 2)),
            "within_one": float(np.mean(np.abs(z) < 1)),
        }
        print(
            f"{name:24s} exact {exact[name]:8.5f}, error {jackknife.mean():.5f}: variance of z {np.mean(z**2):.2f} "
            f"(delta method {result[name]['variance_delta']:.2f}), within one error {np.mean(np.abs(z) < 1):.1%}",
            flush=True,
        )
    print(json.dumps({"repeats": options.repeats, "n": options.n, "seconds": time.perf_counter() - t_start} | result))


if __name__ == "__main__":
    main()
