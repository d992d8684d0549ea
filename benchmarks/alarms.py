"""Are verdicts calibrated? Estimates of small systems, judged with a check, against sums over all configurations.

What is measured: of the values called trusted, how many lie beyond three errors, the mean and the variance of z =
(value - exact) / error, by system, by estimator and by observable; and of right runs (|z| < 3 for all quantities, ESS
over 0.9) how many are called not trusted. The check never knows the exact values: it is made by clusters or parallel
tempering, as on large lattices. Ceiling: 0.3 % beyond three errors, mean 0, variance 1, no right run distrusted.

Models are tables of probabilities (`Table`): good ones, noisy ones as after a short training, and ones that have lost a
part of the distribution; and multiscale networks after 20 to 150 steps. The chains are those of `latticear mc`.

A run can be interrupted and continued: every task appends one line to the file of results and is skipped if it is
there. The last line is JSON.

    python benchmarks/alarms.py [--minutes 120] [--file benchmarks/results/alarms.jsonl] [--only NAME ...] [--table]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import latticear as la
from latticear.estimation.check import MOST, N_CHAINS, Check, size_of_check
from latticear.estimation.judgement import judge
from latticear.exact.tabulated import Tabulated
from latticear.models import AbstractModel
from latticear.models.steps import DrawsInSteps
from latticear.random_numbers import generator
from latticear.samples import Samples

HAMILTONIANS: dict[str, tuple[Callable[[], Any], tuple[float, ...]]] = {
    "ising": (lambda: la.Ising((4, 4)), (0.6, 1.5, 2.27, 4.0)),
    "ising open": (lambda: la.Ising((3, 5), periodic=False), (0.5, 1.2, 2.5)),
    "ising field": (lambda: la.Ising((4, 4), field=0.1), (0.8, 2.0)),
    "antiferromagnet": (lambda: la.Ising((4, 4), coupling=-1.0), (1.0, 2.3)),
    "triangular antiferromagnet": (lambda: la.Ising((3, 4), coupling=-1.0, geometry="triangular"), (0.5, 1.5)),
    "honeycomb": (lambda: la.Ising((4, 4), geometry="honeycomb"), (0.7, 1.5)),
    "j1-j2": (lambda: la.Ising((4, 4), next_nearest=-0.6), (0.5, 1.0, 2.0)),
    "glass": (lambda: la.EdwardsAnderson((4, 4), seed=3), (0.4, 0.8, 1.5)),
    "gaussian glass": (lambda: la.EdwardsAnderson((4, 4), distribution="gaussian", seed=2), (0.3, 0.8)),
    "sherrington-kirkpatrick": (lambda: la.SherringtonKirkpatrick((3, 4), seed=1), (0.3, 1.0)),
    "potts 3": (lambda: la.Potts((3, 3), q=3), (0.4, 0.8, 1.5)),
    "potts 4": (lambda: la.Potts((2, 4), q=4), (0.4, 0.9)),
    "antiferromagnetic potts": (lambda: la.Potts((3, 3), q=3, coupling=-1.0), (0.2, 0.6)),
    "clock 4": (lambda: la.Clock((2, 4), q=4), (0.4, 1.0)),
    "clock 6": (lambda: la.Clock((2, 3), q=6), (0.3, 0.9)),
    "blume-capel": (lambda: la.BlumeCapel((3, 3), crystal_field=1.966), (0.3, 0.4, 0.6, 1.2)),
    "blume-capel edge": (lambda: la.BlumeCapel((3, 3), crystal_field=1.99), (0.25, 0.4)),
    "blume-capel ordered": (lambda: la.BlumeCapel((2, 5), crystal_field=1.0), (0.5, 1.0)),
    "ashkin-teller": (lambda: la.AshkinTeller((2, 4), four_spin=0.5), (1.0, 2.5)),
    "phi4": (lambda: la.Phi4((2, 2), levels=12), (0.5, 1.0)),
    "custom": (lambda: la.CustomHamiltonian(_plaquettes, states=[-1, 1], shape=(3, 4), spin_flip=True), (0.7, 1.5)),
}
"""Systems of at most 2^17 configurations, and temperatures from frozen to hot."""

SIZES = (100, 1000, 10_000, 100_000)
LONGEST = 300
"""Largest number of measurements of a chain."""

CHAINS = ("metropolis", "heat-bath", "parallel-tempering", "swendsen-wang", "wolff", "population-annealing")


def _plaquettes(spins: Tensor) -> Tensor:
    s = spins.double()
    return -(s * s.roll(-1, 1) * s.roll(-1, 2) * s.roll((-1, -1), (1, 2))).sum((1, 2))


def observables() -> dict[str, Any]:
    """Observables of a user: odd, even, rare and steep ones."""
    flat = lambda s: s.double().flatten(1)  # noqa: E731
    return {
        "m": lambda s: flat(s).mean(1),
        "positive": lambda s: (flat(s).mean(1) > 0).double(),
        "corner": lambda s: flat(s)[:, 0] * flat(s)[:, -1],
        "pair": lambda s: flat(s)[:, 0] * flat(s)[:, 1],
        "steep": lambda s: torch.exp(2 * flat(s).mean(1)),
        "aligned": lambda s: (flat(s).std(1) < 1e-9).double(),
        "disordered": lambda s: (flat(s).mean(1).abs() < 0.2).double(),
    }


class Table(AbstractModel):
    """A model whose probabilities are given: an ideal network that can be spoiled on purpose."""

    name = "table"

    def __init__(self, table: Tabulated, log_q: np.ndarray) -> None:
        joint = table.hamiltonian.joint
        super().__init__(
            table.hamiltonian.shape, table.hamiltonian.n_tokens, n_components=table.hamiltonian.n_components
        )
        self.register_buffer("rank", torch.arange(joint.n_sites).view(joint.shape))
        self._hamiltonian, self._tokens, self._log_q = table.hamiltonian, table.tokens, log_q
        self._place = joint.n_tokens ** torch.arange(joint.n_sites - 1, -1, -1)

    def _logits(self, *_: Any, **__: Any) -> Tensor:
        raise NotImplementedError

    def log_prob(self, tokens: Tensor, condition: Tensor | None = None, given: Tensor | None = None) -> Tensor:
        index = (self._hamiltonian.join(tokens).flatten(1).long() * self._place).sum(1)
        return torch.from_numpy(self._log_q)[index]

    def draw(self, n: int, rng: np.random.Generator, seed: int) -> Samples:
        cumulative = np.exp(self._log_q).cumsum()
        chosen = np.searchsorted(cumulative / cumulative[-1], rng.random(n), side="right")
        return Samples(self._tokens[torch.from_numpy(chosen)], torch.from_numpy(self._log_q[chosen]), seed)


def spoiled(table: Tabulated, rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """Log-probabilities of a model of the system: good, noisy, of another temperature, or without a part."""
    log_p, kind = table.log_p, rng.choice(["good", "noisy", "hot", "cold", "lost", "thin", "half"])
    spins = table.hamiltonian.spins(table.tokens).double().flatten(1).numpy()
    noise = 10 ** rng.uniform(-3, 0)
    smooth = spins @ rng.normal(size=spins.shape[1]) / math.sqrt(spins.shape[1])
    rough = rng.normal(size=len(log_p))
    log_q = log_p + {"good": 0.02, "noisy": 1.0}.get(str(kind), 0.3) * noise * (smooth + rough)
    energy = (table.energy - (np.exp(log_p) @ table.energy)) / table.temperature
    if kind == "hot":
        log_q = log_p + rng.uniform(0.01, 0.3) * energy
    elif kind == "cold":
        log_q = log_p - rng.uniform(0.01, 0.3) * energy
    elif kind in ("lost", "thin", "half"):
        feature = [table.energy, np.abs(spins.mean(1)), spins.mean(1), spins[:, 0] * spins[:, -1], rough][
            rng.integers(5)
        ]
        order = np.argsort(feature if rng.random() < 0.5 else -feature)
        share = 10 ** rng.uniform(-4.5, -0.1) if kind != "half" else 0.5
        cumulative = np.exp(log_p[order]).cumsum()
        part = order[: max(1, int(np.searchsorted(cumulative, share)))]
        log_q[part] -= 30.0 if kind != "thin" else rng.uniform(1, 12)
    return str(kind), log_q - np.logaddexp.reduce(log_q)


def exact_values(table: Tabulated) -> dict[str, float]:
    hamiltonian = table.hamiltonian
    known = la.exact.enumerate_states(hamiltonian, table.temperature).to_dict()
    return known | {name: float(table.average(fn)) for name, fn in observables().items()}


@contextlib.contextmanager
def silent() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def record(estimates: Any, exact: dict[str, float], about: dict[str, Any]) -> dict[str, Any]:
    """One line of results: z, the verdict and the first reason of each quantity."""
    rows = {}
    for name, value in exact.items():
        if name not in estimates or name == "free_energy_per_site":
            continue
        estimate, verdict = estimates[name], estimates[name].verdict
        gap, scale = float(estimate.value) - value, max(abs(value), 1e-3)
        z = 0.0 if abs(gap) <= 1e-9 * scale else gap / max(float(estimate.error), 1e-12 * scale)
        if estimate.unvaried and estimate.deviation is not None:
            z = float(estimate.deviation)  # against the exact spread
        rows[name] = [float(np.clip(z, -1e6, 1e6)), str(verdict)[0], verdict.reasons[0][:60]]
    ess = estimates.diagnostics.get("ess", estimates["ess"].value if "ess" in estimates else None)
    return about | {"verdict": str(estimates.verdict), "ess": ess, "rows": rows, "reasons": estimates.warnings[:2]}


class Reference:
    """Configurations of the target by clusters or parallel tempering, of which checks of different sizes are parts."""

    def __init__(self, system: Any, temperature: float, seed: int) -> None:
        clusters = la.montecarlo.method_for(system).name == "swendsen-wang"
        self.method = "swendsen-wang" if clusters else "parallel-tempering"
        self.system, self.temperature = system, temperature
        options = {"method": self.method, "n_chains": N_CHAINS, "seed": seed + 10**6}
        self.batches = list(la.monte_carlo(system, temperature, n=MOST, **options))

    def check(self, n: int, model: AbstractModel | None = None) -> Check:
        part = self.batches[: -(-n // N_CHAINS)]
        chains, tempering = la.estimation.estimate_chains, la.estimation.estimate_tempering
        estimator: Any = chains if self.method == "swendsen-wang" else tempering
        estimates = estimator(part, self.system, self.temperature, observables=observables(), exact=None)
        tokens = torch.cat([batch.tokens for batch in part])
        source = f"{len(tokens):,} configurations by {self.method}"
        return Check.of(source, estimates, tokens, self.system, n_chains=N_CHAINS, model=model)


def weighted_tasks(name: str, system: Any, temperature: float, seed: int, models: int = 8) -> Iterator[dict[str, Any]]:
    """Importance sampling and neural Metropolis with spoiled tables, against checks."""
    table, rng, own = Tabulated(system, temperature), generator(seed, f"alarms {name} {temperature}"), observables()
    seed = int(rng.integers(10**6))
    exact, reference = exact_values(table), Reference(system, temperature, seed)
    for _ in range(models):
        kind, log_q = spoiled(table, rng)
        model, n = Table(table, log_q), int(rng.choice(SIZES))
        samples = model.draw(n, rng, seed)
        about = {"system": name, "T": temperature, "seed": seed, "n": n, "kind": kind}
        with silent():
            found = la.estimate(samples, system, temperature, observables=own, exact=None)
            chains = la.estimation.neural_mcmc(samples, system, temperature, observables=own, exact=None)
            size = size_of_check(found, system)
            check = reference.check(size, model)
            yield record(judge(found, check), exact, about | {"estimator": "is", "m": size})
            yield record(judge(chains, check), exact, about | {"estimator": "mcmc", "m": size})
            known = la.estimate(samples, system, temperature, observables=own)
            yield record(known, exact, about | {"estimator": "is, exact"})


def chain_tasks(name: str, system: Any, temperature: float, seed: int) -> Iterator[dict[str, Any]]:
    """Chains of Monte Carlo of all methods and lengths, against checks by another method."""
    rng, own = generator(seed, f"chains {name} {temperature}"), observables()
    seed = int(rng.integers(10**6))
    reference = Reference(system, temperature, seed)
    exact = exact_values(Tabulated(system, temperature))
    for method in CHAINS:
        n = int(rng.choice(SIZES))
        n_chains = int(rng.choice([1, 2, 10, 50, 100]))
        n = min(n, LONGEST * n_chains) if method != "population-annealing" else min(n, 10_000)
        n_chains = min(n_chains, n // 10)
        about = {
            "system": name,
            "T": temperature,
            "seed": seed,
            "n": n,
            "kind": f"{n_chains} chains",
            "estimator": method,
        }
        lengths: dict[str, Any] = {"n_chains": n_chains}
        if rng.random() < 0.5:
            lengths |= {"thinning": int(rng.choice([1, 3])), "thermalization": int(rng.choice([200, 1000]))}
        with silent():
            try:
                found = chains_of(method, system, temperature, n, lengths, seed, own)
            except ValueError:
                continue
            check = reference.check(size_of_check(found, system))
            yield record(judge(found, check), exact, about)


def chains_of(
    method: str, system: Any, temperature: float, n: int, lengths: dict[str, Any], seed: int, own: dict[str, Any]
) -> Any:
    if method == "population-annealing":
        return la.population_annealing(system, temperature, n=max(n, 2000), seed=seed, observables=own, exact=None)
    batches = la.monte_carlo(system, temperature, n=n, method=method, seed=seed, **lengths)
    if method == "parallel-tempering":
        return la.estimation.estimate_tempering(batches, system, temperature, observables=own, exact=None)
    thermalization = lengths.get("thermalization", 0) / lengths.get("thinning", 1) if "thinning" in lengths else None
    return la.estimation.estimate_chains(
        batches, system, temperature, observables=own, exact=None, thermalization=thermalization
    )


def network_tasks(name: str, system: Any, temperature: float, seed: int) -> Iterator[dict[str, Any]]:
    """All estimators that a network has, after a training that is too short."""
    rng, own = generator(seed, f"networks {name} {temperature}"), observables()
    seed = int(rng.integers(10**6))
    exact, reference = exact_values(Tabulated(system, temperature)), Reference(system, temperature, seed)
    steps, n = int(rng.choice([20, 60, 150])), int(rng.choice([1000, 10_000, 30_000]))
    objective = str(rng.choice(["reverse-kl", "forward-reverse-kl"]))
    model = la.default_model(system, temperature, seed=seed)
    about = {"system": name, "T": temperature, "seed": seed, "n": n, "kind": f"{objective}, {steps} steps"}
    more: dict[str, Any] = {"observables": own, "exact": None}
    with silent():
        for _ in la.fit(
            model, system, temperature=temperature, steps=steps, batch_size=64, seed=seed, objective=objective
        ):
            pass
        samples = model.sample(n, seed=seed)
        found = la.estimate(samples, system, temperature, **more)
        check = reference.check(size_of_check(found, system), model)
        yield record(judge(found, check), exact, about | {"estimator": "is, network"})
        found = la.estimation.neural_mcmc(samples, system, temperature, **more)
        yield record(judge(found, check), exact, about | {"estimator": "mcmc, network"})
        if isinstance(model, DrawsInSteps):
            for estimator, function in (("smc", la.sequential_monte_carlo), ("blocks", la.block_mcmc)):
                found = function(model, system, temperature, n=n, seed=seed, **more)
                judge(found, reference.check(size_of_check(found, system)))
                yield record(found, exact, about | {"estimator": estimator})


KINDS = {"weighted": weighted_tasks, "chains": chain_tasks, "networks": network_tasks}


def report(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The table by system, estimator and observable, and the share of right runs that are distrusted."""
    groups: dict[str, dict[str, list[tuple[float, str]]]] = {"system": {}, "estimator": {}, "observable": {}}
    for line in lines:
        for name, (z, letter, _) in line["rows"].items():
            for kind, key in (("system", line["system"]), ("estimator", line["estimator"]), ("observable", name)):
                groups[kind].setdefault(key, []).append((z, letter))
    worst: dict[str, Any] = {}
    for kind, by_key in groups.items():
        headings = f"{'values':>8s} {'trusted':>8s} {'beyond 3':>9s} {'mean z':>7s} {'var z':>6s} {'distrusted':>10s}"
        print(f"\n{kind:28s} {headings}")
        for key, values in sorted(by_key.items()):
            z = np.array([z for z, letter in values if letter == "t"])
            share = len(z) / len(values)
            beyond = float((np.abs(z) > 3).mean()) if len(z) else 0.0
            mean, var = (float(z.mean()), float(z.var())) if len(z) else (0.0, 0.0)
            distrusted = np.mean([letter == "n" for _, letter in values])
            print(f"{key:28s} {len(values):8d} {share:8.1%} {beyond:9.2%} {mean:+7.3f} {var:6.3f} {distrusted:10.1%}")
            worst[f"beyond by {kind}"] = max(worst.get(f"beyond by {kind}", 0.0), beyond)
    right = [line for line in lines if (line["ess"] or 0) > 0.9 and all(abs(z) < 3 for z, *_ in line["rows"].values())]
    wolf = [line for line in right if line["verdict"] == "not trusted"]
    every = [row for line in right for row in line["rows"].values()]
    share = float(np.mean([letter == "n" for _, letter, _ in every])) if every else 0.0
    trusted = float(np.mean([line["verdict"] == "trusted" for line in right])) if right else 0.0
    print(f"\nright runs: {len(right)}, trusted {trusted:.1%}, not trusted {len(wolf) / max(1, len(right)):.1%}")
    return worst | {
        "lines": len(lines),
        "right runs": len(right),
        "distrusted": len(wolf) / max(1, len(right)),
        "values of right runs distrusted": share,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--file", type=Path, default=Path("benchmarks/results/alarms.jsonl"))
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--table", action="store_true", help="print the table of the results in the file, and end")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = [json.loads(line) for line in options.file.read_text().splitlines()] if options.file.exists() else []
    done = {line["task"] for line in lines}
    end = time.monotonic() + 60 * options.minutes
    tasks = defaultdict(list)
    for seed in range(options.first, options.first + 1000):
        for name, (_, temperatures) in HAMILTONIANS.items():
            for temperature in temperatures:
                tasks[seed] += [
                    (kind, name, temperature) for kind in options.kinds if not options.only or name in options.only
                ]
    for seed, of_seed in tasks.items():
        for kind, name, temperature in of_seed:
            task = f"{kind} {name} {temperature} {seed}"
            if options.table or time.monotonic() > end:
                break
            if task in done:
                continue
            new = [line | {"task": task} for line in KINDS[kind](name, HAMILTONIANS[name][0](), temperature, seed)]
            with options.file.open("a") as file:
                file.writelines(json.dumps(line) + "\n" for line in new)
            lines += new
    print(json.dumps(report(lines)))


if __name__ == "__main__":
    main()
