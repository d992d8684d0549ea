"""Observables by name: do their error bars cover, and what do the averages over heat baths save?

`coverage`: 200 repeats on small systems, against the sum over all configurations, with weighted samples of an untrained
network and with Markov chains whose proposals they are. `z` is `(value - exact) / error`; of an array all entries
count. Best possible: variance 1, and 68.3 % within one error; over 200 repeats the variance has a standard deviation of
0.1, and the share one of 3.3 %.

`variance`: the variance of the plain value of a configuration divided by that of its heat-bath average, from
configurations of the target. So many times fewer independent samples give the same error.

The last line is JSON.

    python benchmarks/observables.py coverage [--repeats 200] [--n 1000]
    python benchmarks/observables.py variance [--size 16] [--n 4000]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

import latticear as la
from latticear.estimation.completion import summed
from latticear.estimation.estimates import quiet
from latticear.estimation.measurement import evaluate_named
from latticear.estimation.named import AbstractObservable
from latticear.exact.tabulated import Tabulated
from latticear.hamiltonians import AbstractHamiltonian
from latticear.observables import correlation
from latticear.samples import Samples

T = 2.5
STAGGERED = ["staggered_correlation_length", "staggered_correlation_length_per_size"]
CASES = (
    (la.Ising((3, 3), field=0.1), [name for name in la.OBSERVABLES if name not in STAGGERED]),
    (la.Ising((2, 4), coupling=-1.0), STAGGERED),
)
T_C = 2 / np.log(1 + np.sqrt(2))


def repeated(system: AbstractHamiltonian, names: list[str], repeats: int, n: int) -> Iterator[tuple[str, la.Estimates]]:
    """The estimates of each repeat, by importance sampling and by chains that are four times as long."""
    torch.manual_seed(0)
    model = la.PixelCNN(system.shape, n_tokens=2, bias=system.bias(T))
    samples, proposals = model.sample(repeats * n, seed=1), model.sample(4 * repeats * n, seed=2)
    for k in range(repeats):
        yield "weights", la.estimate(samples[k * n : (k + 1) * n], system, T, observables=names, exact=None)
        here = slice(4 * k * n, 4 * (k + 1) * n)
        yield "chains", la.neural_mcmc(proposals[here], system, T, observables=names, exact=None)


def coverage(repeats: int, n: int) -> dict[str, Any]:
    found: dict[str, list[Any]] = {}
    with quiet():
        for system, names in CASES:
            exact, _ = summed(names, Tabulated(system, T))
            for method, estimates in repeated(system, names, repeats, n):
                for name in names:
                    value, error = np.ravel(estimates[name].value), np.ravel(estimates[name].error)
                    varied = error > 1e-12
                    z = (value - np.ravel(exact[name]))[varied] / error[varied]
                    found.setdefault(f"{name}, {method}", []).append(z)
    result = {}
    for name, rows in found.items():
        z = np.concatenate(rows)
        result[name] = {"variance": float(np.mean(z**2)), "within_one": float(np.mean(np.abs(z) < 1))}
        print(f"{name:48s} variance of z {np.mean(z**2):.2f}, within one error {np.mean(np.abs(z) < 1):.1%}")
    return result


def plain(batch: Samples, system: AbstractHamiltonian) -> Mapping[str, np.ndarray]:
    """The values that heat-bath averages take the place of, by their names."""
    vectors = system.vectors_of(batch.tokens)
    g = correlation(vectors, system.lattice)
    neighbours = la.OBSERVABLES["neighbour_correlation"]().measure(batch, system, 1.0)
    return {
        "heat_bath_energy_per_site": system.token_energy(batch.tokens).numpy() / system.n_sites,
        "heat_bath_magnetization": vectors[..., 0].mean((1, 2)).numpy(),
        "heat_bath_magnetization_squared": system.magnetization(batch.tokens).square().numpy(),
        "heat_bath_neighbour_correlation": neighbours["neighbour_correlation"].numpy(),
        "heat_bath_correlation": g.numpy(),
    }


def savings(system: AbstractHamiltonian, t: float, n: int) -> dict[str, float]:
    """Plain variance by that of the heat-bath average; of the correlation at distance 2 and at the largest."""
    batches = list(la.monte_carlo(system, t, n=n, n_chains=min(200, n // 10), thermalization=200, seed=3))
    batch = Samples(torch.cat([each.tokens for each in batches]), None, 0)
    found = {}
    for name, old in plain(batch, system).items():
        observable: AbstractObservable = la.OBSERVABLES[name]()
        try:
            observable.check(system)
        except ValueError:
            continue
        ratio = np.var(old, 0) / np.maximum(np.var(evaluate_named(observable, batch, system, t)[name], 0), 1e-300)
        if np.ndim(ratio):
            found[f"{name}[2]"], found[f"{name}[{len(ratio) - 1}]"] = float(ratio[2]), float(ratio[-1])
        else:
            found[name] = float(ratio)
    return found


def variance(size: int, n: int) -> dict[str, Any]:
    shape = (size, size)
    potts, blume_capel = la.Potts(shape, q=3), la.BlumeCapel(shape, crystal_field=1.0)
    cases = [(f"Ising T = {t:.3f}", la.Ising(shape), t) for t in (1.8, T_C, 3.0, 5.0)]
    cases += [("Ising field 0.1, T = 3", la.Ising(shape, field=0.1), 3.0)]
    cases += [("Potts q = 3, T_c", potts, 1 / np.log(1 + np.sqrt(3))), ("Blume-Capel D = 1, T = 1.4", blume_capel, 1.4)]
    result = {}
    for label, system, t in cases:
        result[label] = savings(system, t, n)
        numbers = ", ".join(f"{name.removeprefix('heat_bath_')} {x:.2f}" for name, x in result[label].items())
        print(f"{label:28s} {numbers}", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["coverage", "variance"])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--n", type=int, default=None)
    parser.add_argument("--size", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(1)
    t_start = time.perf_counter()
    if options.what == "coverage":
        n = options.n or 1000
        result = coverage(options.repeats, n) | {"repeats": options.repeats}
    else:
        n = options.n or 4000
        result = variance(options.size, n) | {"size": options.size}
    print(json.dumps({"n": n, "seconds": time.perf_counter() - t_start} | result))


if __name__ == "__main__":
    main()
