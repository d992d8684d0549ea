"""Does an estimate that goes on until its error is small enough have the right value, and the right error?

Many estimates to a wanted precision, each from its own random numbers, of systems whose averages are known exactly:
the mean of (value - exact) / error should be 0 and its standard deviation 1, 68 % of the errors should cover the exact
value and 95 % twice the error. Beside it, of the same kind of samples, the rule that one would write first: look after
every 256 samples, and stop as soon as the error is small enough.

    python benchmarks/precision.py --repeats 200
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

import latticear as la
from latticear.estimation.goals import goals_of
from latticear.estimation.limits import limits_of
from latticear.estimation.precision import reach
from latticear.estimation.reached import state_precision
from latticear.estimation.weighted import weighted_estimates
from latticear.estimation.weights import diagnose
from latticear.exact.tabulated import Tabulated
from latticear.observables import magnetization
from latticear.workflows import quiet

EVERY = 256
"""Number of samples between two looks of the rule that stops as soon as it can."""

NAMES = ("energy_per_site", "susceptibility", "abs_magnetization")


class Drawn:
    """Independent samples of the Boltzmann distribution of a small system at one temperature, weighed at another."""

    def __init__(self, system: Any, temperature: float, made_at: float) -> None:
        self.system, self.temperature = system, temperature
        self.table, at = Tabulated(system, temperature), Tabulated(system, made_at)
        self.log_q = at.log_p
        self.total = np.cumsum(np.exp(self.log_q))
        self.energy = self.table.energy
        self.m = magnetization(system.vectors_of(self.table.tokens)).numpy()
        self.log_w = -self.energy / temperature - self.log_q
        self.exact = la.exact.enumerate_states(system, temperature)

    def numbers(self, rng: np.random.Generator, n: int) -> Any:
        return np.minimum(np.searchsorted(self.total, rng.random(n) * self.total[-1]), len(self.total) - 1)

    def parts(self, rng: np.random.Generator) -> Iterator[Any]:
        while True:
            yield self.numbers(rng, 512)


class Weighed:
    """A `Tally` of such samples, with the errors, alarms and doubts of importance sampling, without a check."""

    least = 10

    def __init__(self, drawn: Drawn) -> None:
        self.drawn = drawn
        self.rows = np.empty(0, dtype=int)

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, part: Any) -> None:
        self.rows = np.concatenate([self.rows, part])

    def divided(self, part: Any, n: int) -> tuple[Any, Any]:
        return (part, None) if len(part) <= n else (part[:n], part[n:])

    def leave_out(self) -> None:
        self.rows = self.rows[:0]

    def results(self) -> list[Any]:
        drawn, rows = self.drawn, self.rows
        energy, m, log_w = (each[rows, None] for each in (drawn.energy, drawn.m, drawn.log_w))
        found = diagnose(log_w[:, 0])
        ess: Any = (found.ess, 0.0)
        return [
            weighted_estimates(
                energy,
                m,
                log_w,
                np.zeros_like(energy),
                {},
                drawn.system.n_sites,
                drawn.temperature,
                None,
                method="is",
                ess=ess,
                pareto_k=found.pareto_k,
                diagnostics=found.to_dict(),
                reasons=found.reasons,
                doubts=found.doubts,
                sums={},
                source=b"",
            )
        ]


def eager(drawn: Drawn, rng: np.random.Generator, wanted: float) -> tuple[float, float, int]:
    """ln Z, its error and the number of samples at which the error is small enough for the first time."""
    w = np.exp(drawn.log_w[drawn.numbers(rng, 60_000)] - drawn.exact.log_z)
    n = np.arange(1, len(w) + 1)
    mean, square = np.cumsum(w) / n, np.cumsum(w**2) / n
    error = np.sqrt(np.maximum(square - mean**2, 0) / (n - 1).clip(1)) / mean
    at = EVERY * np.arange(1, len(w) // EVERY) - 1
    first = at[int(np.argmax(error[at] <= wanted))]
    value = np.log(mean[first]) + error[first] ** 2 / 2 + drawn.exact.log_z
    return float(value), float(error[first]), int(first + 1)


def summary(z: Any, n: Any, **about: Any) -> dict[str, Any]:
    """What the deviations in errors show."""
    z = np.array(z)
    return about | {
        "repeats": len(z),
        "mean": round(float(z.mean()), 3),
        "mean_error": round(float(z.std(ddof=1) / np.sqrt(len(z))), 3),
        "spread": round(float(z.std(ddof=1)), 3),
        "within_1": round(float((np.abs(z) < 1).mean()), 3),
        "within_2": round(float((np.abs(z) < 2).mean()), 3),
        "n": round(float(np.mean(n))),
    }


def shown(row: dict[str, Any]) -> dict[str, Any]:
    print(
        f"{row['case']:44s} {row['quantity']:18s} mean {row['mean']:+.3f}({row['mean_error']:.3f})  spread "
        f"{row['spread']:.2f}  within 1, 2 errors {row['within_1']:.3f} {row['within_2']:.3f}  n {row['n']:,}",
        flush=True,
    )
    return row


def weighted(case: str, drawn: Drawn, error: dict[str, Any], repeats: int) -> list[dict[str, Any]]:
    """Importance sampling to a wanted precision, and the rule that stops as soon as it can, at the same error."""
    names = list(dict.fromkeys([*error, *NAMES]))
    z: dict[str, list[float]] = {name: [] for name in names}
    n, sizes, early = [], [], []
    missed = untrusted = 0
    for k in range(repeats):
        with quiet():
            limits, rng = limits_of(10**6, None), np.random.default_rng([1, k])
            reached = reach(drawn.parts(rng), Weighed(drawn), goals_of(error), limits)
            state_precision(reached, limits)
        found = reached.results[0]
        missed += not all(found[name].reached for name in error)
        untrusted += found.verdict == "not trusted"
        n.append(found.n)
        for name in names:
            z[name].append((found[name].value - getattr(drawn.exact, name)) / found[name].error)
        if "log_z" in error:
            value, size, at = eager(drawn, np.random.default_rng([2, k]), error["log_z"])
            early.append((value - drawn.exact.log_z) / size)
            sizes.append(at)
    about = {"case": case, "missed": missed, "not_trusted": untrusted}
    rows = [shown(summary(z[name], n, **about, quantity=name)) for name in names]
    if not early:
        return rows
    return [*rows, shown(summary(early, sizes, case=f"{case}, stopped at once", quantity="log_z"))]


def chains(case: str, system: Any, temperature: float, error: dict[str, Any], repeats: int) -> list[dict[str, Any]]:
    """Monte Carlo to a wanted precision."""
    exact = la.exact.enumerate_states(system, temperature)
    names = ("energy_per_site", "susceptibility", "abs_magnetization")
    z: dict[str, list[float]] = {name: [] for name in names}
    n, missed = [], 0
    for k in range(repeats):
        batches = la.monte_carlo(
            system, temperature, n=10**6, n_chains=100, method="metropolis", thermalization=100, thinning=3, seed=k
        )
        with quiet():
            found = la.estimate_chains(batches, system, temperature, error=error, exact=None)
        missed += not all(found[name].reached for name in error)
        n.append(found.n)
        for name in names:
            z[name].append((found[name].value - getattr(exact, name)) / found[name].error)
    return [shown(summary(z[name], n, case=case, quantity=name, missed=missed)) for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--cases", default="weights,rare,ferromagnet,chains")
    options = parser.parse_args()
    t_start, rows = time.monotonic(), []
    ising = la.Ising((4, 4))
    for case, temperature, made_at, error in (("weights", 2.1, 4.5, 0.05), ("rare", 2.0, 6.0, 0.04)):
        if case in options.cases:
            drawn = Drawn(ising, temperature, made_at)
            ess = 1 / float(np.exp(drawn.log_q + 2 * (drawn.log_w - drawn.exact.log_z)).sum())
            rows += weighted(f"uneven weights, ESS {ess:.3f}", drawn, {"log_z": error}, options.repeats)
    if "ferromagnet" in options.cases:
        rows += weighted("ferromagnet, ESS 1", Drawn(ising, 1.8, 1.8), {"susceptibility": "2%"}, options.repeats)
    if "chains" in options.cases:
        rows += chains("ferromagnet, Metropolis", ising, 2.269, {"susceptibility": "2%"}, options.repeats)
    print(f"{time.monotonic() - t_start:.0f} s")
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
