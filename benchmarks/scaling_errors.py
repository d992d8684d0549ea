"""Are the errors of critical temperatures and exponents right, and are the known exponents found?

`coverage`: data with known T_c and exponents are made many times with normal errors; for each result the table has the
mean and the standard deviation of its deviation in units of its error, and how often it lies within one and two errors.
Best possible: 0, 1, 68 % and 95 %. Independent energies of the 4x4 Ising model, drawn from the exact distribution, are
the data of the multiple histograms.

`ising`, `potts`: Swendsen-Wang chains of L = 8 to 64 (Potts, q = 3: 8 to 32) around T_c, as a user would analyse them.
`blume-capel`: chains by heat baths of the Blume-Capel model, D = 1, in the class of Ising, L = 8 to 16; T_c is that of
Silva, Caparica and Plascak, Phys. Rev. E 73 (2006) 036702, 1.398(2), whose error is not counted.
Best possible: every value within two errors of the exact one. The last line is JSON.

    python benchmarks/scaling_errors.py [coverage ising potts blume-capel] [--repeats 200] [--studies peaks ...]
        [--sizes 8 16 32 64] [-n 10000]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import latticear as la
from latticear.estimation.estimates import Estimates
from latticear.estimation.numbers import with_error
from latticear.estimation.quantity import Estimate
from latticear.scaling import (
    CriticalPoint,
    Curve,
    collapse,
    crossings,
    known_critical_point,
    multiple_histograms,
    peaks,
    power_law,
    scaling_of,
    thermodynamics,
)

T_C, SIZES = 2.25, (8, 16, 32)
X = np.linspace(-3, 5, 11)
"""Values of (T - T_c) L^(1/nu) of the simulations."""

Result = dict[str, tuple[float, float, float]]
"""Value, error and true value by name."""


def synthetic(rng: np.random.Generator, f: Callable[[np.ndarray], np.ndarray], kappa: float) -> list[Curve]:
    """Curves `L^kappa f((T - T_c) L)` with errors of half a percent of the largest value."""
    t = np.linspace(T_C - 0.2, T_C + 0.2, 11)
    curves = []
    for size in SIZES:
        y = size**kappa * f((t - T_C) * size)
        error = 0.005 * np.abs(y).max()
        curves.append(Curve(size, t, y + error * rng.standard_normal(len(t)), error))
    return curves


def cumulant(x: np.ndarray) -> np.ndarray:
    return 0.61 - 0.3 * np.tanh(0.3 * x)


def order(x: np.ndarray) -> np.ndarray:
    return 1.0 - 0.6 * np.tanh(0.3 * x)


def response(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + 0.15 * (x - 1) ** 2)


def of_crossings(rng: np.random.Generator) -> Result:
    found = crossings(synthetic(rng, cumulant, 0.0), exponent=2.75)
    result = {
        f"crossing {crossing.sizes[0]:g}, {crossing.sizes[1]:g}": (crossing.temperature, crossing.error, T_C)
        for crossing in found.crossings
    }
    if found.critical_temperature is not None:
        result["crossings: T_c"] = found.critical_temperature.value, found.critical_temperature.error, T_C
    return result


def of_collapse(rng: np.random.Generator) -> Result:
    found = collapse(synthetic(rng, cumulant, 0.0), exponent=0.0)
    t_c, inverse_nu = found.critical_temperature, found.inverse_nu
    return {"collapse of U4: T_c": (*t_c, T_C), "collapse of U4: 1/nu": (*inverse_nu, 1.0)}


def of_free_collapse(rng: np.random.Generator) -> Result:
    found = collapse(synthetic(rng, order, -0.125))
    result = {"T_c": (*found.critical_temperature, T_C), "1/nu": (*found.inverse_nu, 1.0)}
    result["exponent"] = (*found.exponent, -0.125)
    return {f"collapse of |m|: {name}": value for name, value in result.items()}


def of_peaks(rng: np.random.Generator) -> Result:
    found = peaks(synthetic(rng, response, 1.75), exponent=1.0)
    assert found.growth is not None
    assert found.critical_temperature is not None
    top = found.peaks[1]
    return {
        "peak of L = 16: T": (top.temperature, top.error, T_C + 1 / 16),
        "peak of L = 16: height": (top.height, top.height_error, 16**1.75),
        "peaks: exponent": (found.growth.exponent, found.growth.error, 1.75),
        "peaks: T_c": (found.critical_temperature.value, found.critical_temperature.error, T_C),
    }


def of_histograms(rng: np.random.Generator) -> Result:
    temperatures = [1.8, 2.2, 2.8]
    energies, ms = [], []
    for t in temperatures:
        p = np.exp(-STATES[:, 0] / t + STATES[:, 0].min() / t)
        drawn = STATES[rng.choice(len(STATES), 500, p=p / p.sum())]
        drawn = np.repeat(drawn, 4, axis=0)  # a correlation time of 2
        energies.append(drawn[:, 0])
        ms.append(drawn[:, 1])
    found = multiple_histograms(energies, temperatures, n_sites=16, magnetizations=ms, grid=[2.0, 2.5])
    exact = [la.exact.magnetization_resolved(la.Ising((4, 4)), t) for t in (2.0, 2.5)]
    names = ("energy_per_site", "heat_capacity_per_site", "binder_cumulant")
    result = {
        f"histograms: {name}, T = 2.5": (found.values[name][1], found.errors[name][1], getattr(exact[1], name))
        for name in names
    }
    true = exact[1].log_z - exact[0].log_z
    gap = found.replicas["log_z"][:, 1] - found.replicas["log_z"][:, 0]
    result["histograms: ln Z(2.5) - ln Z(2)"] = found.values["log_z"][1] - found.values["log_z"][0], gap.std(), true
    return result


def of_corrections(rng: np.random.Generator) -> Result:
    """A power of L with a correction whose exponent and amplitude are drawn anew each time."""
    sizes = np.array([8.0, 16.0, 32.0])
    omega, amplitude = rng.uniform(0.7, 2.0), 0.1 * rng.standard_normal()
    value = sizes**1.75 * (1 + amplitude * (sizes / 8) ** -omega)
    error = 0.005 * value
    found = power_law(sizes, value + error * rng.standard_normal(3), error)
    plain = power_law(sizes, value + error * rng.standard_normal(3), error, correction=None)
    return {
        "power with correction: exponent": (found.exponent, found.error, 1.75),
        "the same without allowing for it": (plain.exponent, plain.error, 1.75),
    }


def of_thermodynamics(rng: np.random.Generator) -> Result:
    """Curves of the 16x16 Ising model between 9 and 5 temperatures, against Kaufman's."""
    shape, result = (16, 16), {}
    errors = {"free_energy_per_site": 2e-4, "energy_per_site": 3e-3, "heat_capacity_per_site": 3e-2}
    t_between = 2.33
    exact = la.kaufman(shape, t_between)
    for n in (9, 5):
        points = []
        for t in np.linspace(1.7, 2.9, n):
            true = la.kaufman(shape, t)
            entries = {
                name: Estimate(getattr(true, name) + error * rng.standard_normal(), error, n=1000, ess=1.0)
                for name, error in errors.items()
            }
            points.append(Estimates(entries, temperature=t, n=1000, diagnostics={}))
        found = thermodynamics(points, [t_between])
        for name in found.values:
            result[f"{n} temperatures: {name}"] = found.values[name][0], found.errors[name][0], getattr(exact, name)
    return result


def states() -> np.ndarray:
    """Energy and magnetisation of all configurations of the 4x4 Ising model."""
    import torch

    ising = la.Ising((4, 4))
    tokens = torch.cartesian_prod(*[torch.arange(2)] * 16).reshape(-1, 4, 4)
    return np.stack([ising.token_energy(tokens).numpy(), ising.magnetization(tokens).numpy()], axis=1)


STATES = states()

STUDIES = (
    of_peaks,
    of_corrections,
    of_thermodynamics,
    of_crossings,
    of_collapse,
    of_free_collapse,
    of_histograms,
)


def coverage(repeats: int, names: list[str]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for study in (study for study in STUDIES if not names or study.__name__.removeprefix("of_") in names):
        t_start = time.perf_counter()
        z: dict[str, list[float]] = {}
        for seed in range(repeats):
            for name, (value, error, true) in study(np.random.default_rng(seed)).items():
                z.setdefault(name, []).append((value - true) / error)
        for name, values in z.items():
            array = np.array(values)
            row = {
                "n": len(array),
                "mean": float(array.mean()),
                "std": float(array.std()),
                "within_1": float((np.abs(array) < 1).mean()),
                "within_2": float((np.abs(array) < 2).mean()),
            }
            table[name] = row
            print(
                f"{name:36s} n {row['n']:3d}: mean {row['mean']:+.2f}, std {row['std']:.2f}, within 1 error "
                f"{row['within_1']:.0%}, within 2 errors {row['within_2']:.0%}",
                flush=True,
            )
        print(f"  {(time.perf_counter() - t_start) / repeats:.2f} s a repeat", flush=True)
    return table


BLUME_CAPEL = CriticalPoint(1.398, 1.0, 0.125, 1.75, 0.0, "Silva, Caparica, Plascak 2006")


def simulated(make: Callable[[int], Any], sizes: list[int], n: int) -> dict[str, Any]:
    """The analysis of Markov chains; each result with its deviation from the exact value in errors."""
    known = known_critical_point(make(4)) or BLUME_CAPEL
    method = "swendsen-wang" if known is not BLUME_CAPEL else None
    columns: dict[str, list[Curve]] = {name: [] for name in ("binder_cumulant", "abs_magnetization", "susceptibility")}
    joined: dict[str, list[Any]] = {"susceptibility": [], "heat_capacity_per_site": []}
    for size in sizes:
        t_start = time.perf_counter()
        system = make(size)
        temperatures = known.temperature + X / size**known.inverse_nu
        estimates, energies, ms = [], [], []
        for k, t in enumerate(temperatures):
            batches = list(la.monte_carlo(system, t, n=n, method=method, seed=100 * size + k))
            estimates.append(la.estimate_chains(batches, system, t, exact=None))
            energies.append(np.array([system.token_energy(batch.tokens).numpy() for batch in batches]))
            ms.append(np.array([system.magnetization(batch.tokens).numpy() for batch in batches]))
        for name, curves in columns.items():
            value, error = ([getattr(each[name], key) for each in estimates] for key in ("value", "error"))
            curves.append(Curve(size, temperatures, value, error))
        found = multiple_histograms(energies, temperatures.tolist(), n_sites=system.n_sites, magnetizations=ms)
        for name, tops in joined.items():
            tops.append(found.peak(name, size))
        print(
            f"L = {size}: {n} configurations at {len(X)} temperatures, {time.perf_counter() - t_start:.0f} s; ",
            *found.warnings,
            flush=True,
        )
    results: Result = {}
    crossed = crossings(columns["binder_cumulant"])
    if crossed.critical_temperature is not None:
        results["crossings of U4: T_c"] = *crossed.critical_temperature[:2], known.temperature
    exponents = {
        "binder_cumulant": 0.0,
        "abs_magnetization": -known.beta_over_nu,
        "susceptibility": known.gamma_over_nu,
    }
    for name, exponent in exponents.items():
        found = collapse(columns[name], exponent=0.0 if name == "binder_cumulant" else None)
        print(found, flush=True)
        results[f"collapse of {name}: T_c"] = *found.critical_temperature, known.temperature
        results[f"collapse of {name}: 1/nu"] = *found.inverse_nu, known.inverse_nu
        if name != "binder_cumulant":
            results[f"collapse of {name}: exponent"] = *found.exponent, exponent
    growth = peaks(columns["susceptibility"]).growth
    if growth is not None:
        results["peaks of the susceptibility: exponent"] = growth.exponent, growth.error, known.gamma_over_nu
    for name, tops in joined.items():
        found = scaling_of(tops)
        print(name, found, flush=True)
        if name == "susceptibility" and found.growth is not None:
            results["the same by histograms"] = found.growth.exponent, found.growth.error, known.gamma_over_nu
        if found.critical_temperature is not None:
            results[f"peaks of {name}, histograms: T_c"] = *found.critical_temperature[:2], known.temperature
    print(crossed)
    for name, (value, error, true) in results.items():
        print(f"{name:48s} {with_error(value, error):>14s}  exact {true:.6g}  {(value - true) / error:+.1f} errors")
    return {
        name: {"value": value, "error": error, "exact": true, "deviation": (value - true) / error}
        for name, (value, error, true) in results.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["coverage", "ising", "potts"])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--sizes", type=int, nargs="*", default=[8, 16, 32, 64])
    parser.add_argument("-n", type=int, default=10_000)
    parser.add_argument("--studies", nargs="*", default=[], help="of coverage: peaks, corrections, thermodynamics, ...")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    if "coverage" in options.parts:
        results["coverage"] = coverage(options.repeats, options.studies)
    if "ising" in options.parts:
        results["ising"] = simulated(lambda size: la.Ising((size, size)), options.sizes, options.n)
    if "potts" in options.parts:
        sizes = [size for size in options.sizes if size <= 32]
        results["potts"] = simulated(lambda size: la.Potts((size, size), q=3), sizes, options.n)
    if "blume-capel" in options.parts:
        sizes = [8, 12, 16]
        results["blume-capel"] = simulated(
            lambda size: la.BlumeCapel((size, size), crystal_field=1.0), sizes, options.n
        )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
