"""First-order transitions: what each sampler reaches in a given time, and whether the error bars are right.

`potts`: the Potts model on a torus at its exact transition temperature, by each method for about as many seconds of
processor time: temperatures of equal weight and equal height, latent heat and interface tension beside the exact values
of the infinite lattice, with how often chains changed phase. Ceiling: the exact values up to corrections of finite
size, which no method can pass and which all methods share.

`limits`: multicanonical chains of several sizes, and what their results tell of the infinite lattice: `a + b / L^2`
fitted to each, with the distance from the exact value in errors. Beside the results of `la.coexistence` are those of
the largest heat capacity: two phases of equal weight whose energies differ by l have `4 var(E) / N^2 = l^2 + O(1/N)`,
at a temperature `T_t + O(1/N)`. Best possible: within two errors, with chi^2 near the number of degrees of freedom. The
largest lattice gets `--seconds`, the others less, in proportion to their sites.

`coverage`: 200 repeats of each error bar, against exact values: distributions and profiles of the 3x4 Ising model from
weighted samples and from chains (bins of at least 25 expected configurations), `la.coexistence` of energies that are
drawn from a known density of states with two phases, of weighted samples and of chains, and of short multicanonical
chains against their mean. Best possible: mean 0, standard deviation 1, 68 % within one error and 95 % within two; of
200 repeats these have errors of 0.07, 0.05, 3.3 % and 1.5 %.

The last line is JSON.

    python benchmarks/first_order.py potts [--q 10] [--sizes 8 12 16] [--methods swendsen-wang ...] [--seconds 60]
    python benchmarks/first_order.py limits [--q 10] [--sizes 12 16 20 24] [--seconds 60] [--width 0.03]
    python benchmarks/first_order.py coverage [--repeats 200]
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import softmax

import latticear as la
from latticear.estimation.numbers import with_error
from latticear.exact import potts_transition
from latticear.samples import Samples
from latticear.scaling import limit_of
from latticear.scaling.double_tangent import double_tangent

NAMES = ("temperature", "temperature_equal_height", "latent_heat_per_site", "interface_tension")
FLUCTUATIONS = ("temperature_largest_heat_capacity", "square_of_latent_heat")
METHODS = ("swendsen-wang", "heat-bath", "parallel-tempering", "multicanonical", "tensor-network")
N_CHAINS = 16
PILOT = 500
"""Sweeps of each multicanonical chain that tell how many there are time for."""

Row = dict[str, Any]


def chains(potts: la.Potts, t: float, method: str, seconds: float) -> tuple[list[np.ndarray], list[float], int]:
    """Energies of chains for so many seconds of processor time: for each temperature `(length, n_chains)`."""
    t_start = time.process_time()
    start = 0.97 * t if method == "parallel-tempering" else t  # the ladder leads from there to infinity
    sweeps = {"n_chains": N_CHAINS, "thermalization": 500, "thinning": 1}
    energies: list[np.ndarray] = []
    temperatures = [start]
    for batch in la.monte_carlo(potts, start, n=10**9, method=method, seed=1, **sweeps):
        if method == "parallel-tempering":
            energies.append(batch.records["ladder"].numpy().T)
            temperatures = [1 / beta if beta else np.inf for beta in batch.provenance["betas"]]
        else:
            energies.append(potts.token_energy(batch.tokens).numpy()[None])
        if time.process_time() - t_start > seconds:
            break
    series = np.stack(energies, axis=1)  # (temperatures, length, chains)
    near = [k for k, each in enumerate(temperatures) if each < 1.3 * t]
    return [series[k] for k in near], [temperatures[k] for k in near], series[0].size


def multicanonical(potts: la.Potts, t: float, seconds: float, width: float) -> la.montecarlo.Multicanonical:
    """Multicanonical chains for so many seconds of processor time, about half of which may go into learning."""
    ends = (1 - width) * t, (1 + width) * t
    times = []
    for sweeps in (2, PILOT):
        t_start = time.process_time()
        la.multicanonical(potts, ends, n=sweeps * N_CHAINS, n_chains=N_CHAINS, learning=0)
        times.append(time.process_time() - t_start)
    of_sweep = max(1e-9, times[1] - times[0]) / (PILOT - 2)
    n = max(100, int(seconds / of_sweep / 2)) * N_CHAINS
    return la.multicanonical(potts, ends, n=n, n_chains=N_CHAINS, seed=1)


def weighted(potts: la.Potts, t: float, seconds: float) -> Iterator[Samples]:
    """Samples of a tensor network for so many seconds of processor time."""
    t_start = time.process_time()
    model = la.TensorNetwork(potts.shape, potts.q, bias=potts.bias(t), bond_dimension=2 * potts.q)
    seed = 0
    while time.process_time() - t_start < seconds:
        seed += 1
        yield model.sample(256, seed=seed)


def largest_fluctuations(drawn: la.montecarlo.Multicanonical, n_sites: int, t: float) -> Row:
    """Where the heat capacity is largest, and `4 var(E) / N^2` there; errors by leaving out one chain after another."""
    n_chains = drawn.energies.shape[1]
    k = np.searchsorted(drawn.level, drawn.energies - 1e-6)
    counts = np.array([np.bincount(column, minlength=len(drawn.level)) for column in k.T])

    def at(count: np.ndarray) -> np.ndarray:
        e, log_g = drawn.level[count > 0], (np.log(count[count > 0]) - drawn.log_weight[count > 0])

        def variance(beta: float) -> float:
            p = softmax(log_g - beta * e)
            return float(p @ (e - p @ e) ** 2)

        beta = minimize_scalar(lambda beta: -variance(beta), bounds=(0.96 / t, 1.04 / t), method="bounded").x
        return np.array([1 / beta, 4 * variance(beta) / n_sites**2])

    value = at(counts.sum(0))
    without = np.array([at(counts.sum(0) - count) for count in counts])
    error = np.sqrt((n_chains - 1) * without.var(0))
    return {name: (value[j], error[j]) for j, name in enumerate(FLUCTUATIONS)}


def one(q: int, size: int, method: str, seconds: float, width: float) -> Row:
    potts, exact = la.Potts((size, size), q=q), potts_transition(q)
    t_start = time.process_time()
    row: Row = {"q": q, "size": size, "method": method}
    try:
        if method == "tensor-network":
            batches = list(weighted(potts, exact.temperature, seconds))
            row["n"] = sum(map(len, batches))
            with la.estimation.estimates.quiet():
                row["ess"] = la.estimate(iter(batches), potts, exact.temperature, exact=None)["ess"].value
            found = la.coexistence(iter(batches), potts, ratio=q)
        elif method == "multicanonical":
            drawn = multicanonical(potts, exact.temperature, seconds, width)
            row["n"], row["learning"] = drawn.energies.size, drawn.sweeps
            row |= largest_fluctuations(drawn, potts.n_sites, exact.temperature)
            found = la.coexistence(drawn, potts, ratio=q)
            row["changes"] = found.changes
        else:
            energies, temperatures, row["n"] = chains(potts, exact.temperature, method, seconds)
            found = la.coexistence(energies, potts, temperatures, ratio=q)
            row["changes"] = found.changes
        row |= {name: (found.values[name], found.errors[name]) for name in (*NAMES, "barrier")}
        row["warnings"] = list(found.warnings)
    except (ValueError, ArithmeticError) as error:
        row["failed"] = str(error)
    row["seconds"] = time.process_time() - t_start
    return row


def shown(row: Row) -> str:
    head = f"{row['q']:3d} {row['size']:4d}  {row['method']:19s} {row['seconds']:6.0f} {row.get('n', 0):9,d}"
    if "failed" in row:
        return f"{head}  {row['failed']}"
    many = f"{row['changes']:,} changes" if "changes" in row else f"ESS {row['ess']:.3f}"
    names = NAMES if FLUCTUATIONS[0] not in row else (*NAMES, *FLUCTUATIONS)
    values = "  ".join(f"{with_error(*row[name]):>12s}" for name in names)
    return "\n".join([f"{head} {many:>14s}  {values}", *(f"     WARNING: {text}" for text in row["warnings"])])


def header(q: int) -> None:
    exact = potts_transition(q)
    print(f"Potts q = {q}: exact T {exact.temperature:.6f}, latent heat {exact.latent_heat_per_site:.6f}, ")
    print(f"interface tension {exact.interface_tension:.6f}, correlation length {exact.correlation_length:.2f}")
    print(
        "  q    L  method              CPU s         n   phases         T, weight    T, height    latent heat  tension"
        "       T, largest C  4 var(E)/N^2"
    )


def potts(options: argparse.Namespace) -> list[Row]:
    header(options.q)
    rows = []
    for size in options.sizes:
        for method in options.methods:
            rows.append(one(options.q, size, method, options.seconds, options.width))
            print(shown(rows[-1]), flush=True)
    return rows


def limits(options: argparse.Namespace) -> dict[str, list[Row]]:
    header(options.q)
    rows = []
    for size in options.sizes:
        seconds = options.seconds * size**2 / max(options.sizes) ** 2
        rows.append(one(options.q, size, "multicanonical", seconds, options.width))
        print(shown(rows[-1]), flush=True)
    exact = potts_transition(options.q)
    t, latent_heat = exact.temperature, exact.latent_heat_per_site
    known = dict(zip(NAMES, (t, t, latent_heat, exact.interface_tension), strict=True))
    known |= dict(zip(FLUCTUATIONS, (t, latent_heat**2), strict=True))
    found = []
    for n in range(len(rows), 2, -1):
        used = rows[-n:]
        print(f"a + b / L^2, L = {', '.join(str(row['size']) for row in used)}")
        for name, value in known.items():
            y, error = np.array([row[name] for row in used]).T
            limit = limit_of([row["size"] for row in used], y, np.diag(error**2), exponent=2.0)
            found.append({"name": name, "n_sizes": n, **limit._asdict(), "off": (limit.value - value) / limit.error})
            print(f"  {name:33s} {limit!s:40s} exact {value:.6f}  {found[-1]['off']:+.1f} errors")
            if name == "square_of_latent_heat":
                root = np.sqrt(max(0.0, limit.value))
                print(f"  {'latent heat from it':33s} {with_error(root, limit.error / (2 * root))}")
    return {"sizes": rows, "limits": found}


# --- coverage -------------------------------------------------------------------------------------------------------

LEVEL = np.arange(-120.0, -29.0)
BETA = 1.0


def density() -> np.ndarray:
    """ln g(E) of a system whose P(E) at T = 1 has two Gaussian maxima of one height."""
    p = np.exp(-((LEVEL + 95) ** 2) / (2 * 7.5**2)) + np.exp(-((LEVEL + 55) ** 2) / (2 * 9**2)) + 0.05
    return np.asarray(np.log(p) + BETA * LEVEL + 200.0)  # so that log_q = ln P - ln g is negative


def exact_coexistence(potts: la.Potts) -> dict[str, float]:
    """The same results from the density itself, without smoothing."""
    from latticear.scaling.coexistence import _Analysis

    log_g = density()
    tangent = double_tangent(LEVEL, log_g)
    assert tangent is not None
    analysis = object.__new__(_Analysis)
    analysis.level, analysis.hamiltonian, analysis.ratio, analysis.tangent = LEVEL, potts, 2.0, tangent
    return analysis._numbers(log_g, tangent)


def drawn(n: int, temperature: float, rng: np.random.Generator) -> np.ndarray:
    p = np.exp(density() - LEVEL / temperature - np.max(density() - LEVEL / temperature))
    return np.asarray(rng.choice(LEVEL, n, p=p / p.sum()))


class _Energies(la.Potts):
    """A system whose configurations are numbers of levels, in the token of the first site."""

    def token_energy(self, tokens: torch.Tensor, couplings: torch.Tensor | None = None) -> torch.Tensor:
        return torch.from_numpy(LEVEL)[tokens[:, 0, 0].long()]


def of_coexistence(repeats: int) -> Iterator[tuple[str, float, float, float]]:
    system = _Energies((12, 12), q=len(LEVEL))
    exact = exact_coexistence(system)
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        # samples of q ~ P^0.9 at T = 1, whose weights vary
        log_q = 0.9 * (density() - BETA * LEVEL)
        log_q -= np.log(np.exp(log_q).sum())
        k = rng.choice(len(LEVEL), 5000, p=np.exp(log_q))
        tokens = torch.zeros(len(k), 12, 12, dtype=torch.uint8)
        tokens[:, 0, 0] = torch.from_numpy(k)
        samples = Samples(tokens, torch.from_numpy(log_q[k] - density()[k]), 0)
        sets = {"weights": la.coexistence(samples, system, ratio=2.0, n_bootstrap=40)}
        series = [np.repeat(drawn(1000, t, rng), 3).reshape(-1, 2, order="F") for t in (0.98, 1.0, 1.02)]
        sets["chains"] = la.coexistence(series, system, [0.98, 1.0, 1.02], ratio=2.0, n_bootstrap=40)
        for label, found in sets.items():
            for name, value in exact.items():
                yield f"{label}: {name}", found.values[name], found.errors[name], value


def of_distributions(repeats: int, n: int = 1000) -> Iterator[tuple[str, float, float, float]]:
    ising, t = la.Ising((3, 4)), 2.3
    model = la.TensorNetwork((3, 4), bias=ising.bias(t), bond_dimension=2)  # so small that its weights vary
    asked = [
        "energy_distribution",
        "energy_profile",
        "magnetization_distribution",
        "magnetization_profile",
        "energy_magnetization_distribution",
    ]
    samples = model.sample(repeats * 3 * n, seed=1)
    exact = la.exact_result(ising, t)
    for k in range(repeats):
        here = samples[k * 3 * n : (k + 1) * 3 * n]
        sets = {
            "weights": la.estimate(here[:n], ising, t, observables=asked, exact=exact),
            "chains": la.neural_mcmc(here, ising, t, observables=asked, exact=exact),
        }
        for label, found in sets.items():
            p = {
                "energy_profile": found["energy_distribution"].exact,
                "log_density_of_states": found["energy_distribution"].exact,
                "magnetization_profile": found["magnetization_distribution"].exact,
                "magnetization_free_energy": found["magnetization_distribution"].exact,
            }
            for name in (*asked, "log_density_of_states", "magnetization_free_energy"):
                if name not in found:
                    continue
                estimate = found[name]
                often = np.asarray(p.get(name, estimate.exact)) * found.n * estimate.ess >= 25
                for value, error, known in zip(
                    *(np.asarray(each)[often] for each in (estimate.value, estimate.error, estimate.exact)), strict=True
                ):
                    yield f"{label}: {name}", value, error, known


def of_multicanonical(repeats: int) -> Iterator[tuple[str, float, float, float]]:
    """Short chains of q = 10 on 8x8 sites, about 100 changes of phase each, against their mean."""
    potts = la.Potts((8, 8), q=10)
    every = [la.multicanonical(potts, (0.68, 0.72), n=16_000, seed=seed) for seed in range(repeats)]
    found = [la.coexistence(drawn, potts, ratio=10, n_bootstrap=60) for drawn in every]
    for name in (*NAMES, "barrier"):
        mean = float(np.mean([each.values[name] for each in found]))
        for each in found:
            yield f"multicanonical: {name}", each.values[name], each.errors[name], mean


STUDIES = {"coexistence": of_coexistence, "distributions": of_distributions, "multicanonical": of_multicanonical}


def coverage(options: argparse.Namespace) -> dict[str, Row]:
    z: dict[str, list[float]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for study in options.of:
            for name, value, error, exact in STUDIES[study](options.repeats):
                z.setdefault(name, []).append((value - exact) / error)
    table = {}
    for name, values in z.items():
        array = np.array(values)
        table[name] = {
            "n": len(array),
            "mean": float(array.mean()),
            "std": float(array.std()),
            "within_1": float((np.abs(array) < 1).mean()),
            "within_2": float((np.abs(array) < 2).mean()),
        }
        row = table[name]
        print(
            f"{name:45s} n {row['n']:6d}  mean {row['mean']:+.2f}  std {row['std']:.2f}  within one error "
            f"{row['within_1']:.1%}, two {row['within_2']:.1%}",
            flush=True,
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=["potts", "limits", "coverage"])
    parser.add_argument("--q", type=int, default=10)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 12, 16])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--width", type=float, default=0.03, help="of the window of multicanonical chains, in T_t")
    parser.add_argument("--of", nargs="+", choices=list(STUDIES), default=list(STUDIES))
    parser.add_argument("--repeats", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    t_start = time.perf_counter()
    result = {"potts": potts, "limits": limits, "coverage": coverage}[options.study](options)
    print(
        json.dumps(
            {
                "study": options.study,
                "result": result,
                "seconds": time.perf_counter() - t_start,
                "threads": 1,
                "latticear": la.__version__,
                "torch": torch.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
