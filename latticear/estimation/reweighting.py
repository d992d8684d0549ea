"""Measured samples, added part by part, and the estimates at several temperatures that follow from them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from latticear.arrays import Array
from latticear.estimation.anywhere import Anywhere
from latticear.estimation.at_composition import at_composition
from latticear.estimation.columns import Columns
from latticear.estimation.completion import complete
from latticear.estimation.estimates import Estimates
from latticear.estimation.inputs import MIN_SAMPLES
from latticear.estimation.judgement import infer
from latticear.estimation.measurement import Measurement
from latticear.estimation.moments import WeightedMoments
from latticear.estimation.named.request import Observables, Request
from latticear.estimation.pairs.listening import add_weighted_pairs, refuse_pairs_until
from latticear.estimation.pairs.weighted import WeightedPairs
from latticear.estimation.reference import Exact, reference
from latticear.estimation.replicates import (
    source_of,
)
from latticear.estimation.stretches import Stretches
from latticear.estimation.symmetry import with_asymmetry
from latticear.estimation.thermodynamics import delta_error
from latticear.estimation.weighted import weighted_estimates
from latticear.estimation.weights import diagnose, log_mean_exp
from latticear.hamiltonians import AbstractHamiltonian

__all__ = ["Reweighting"]

COLUMNS = ("energy", "m", "log_q", "balance")
"""Names of the numbers that are kept of each sample."""

COINCIDENCE = 100.0
"""Nats of a batch of samples from which it is no accident if another one is the same."""


class Reweighting:
    """Measured samples that arrive part by part, and the estimates at several temperatures that follow from them.

    Args:
        hamiltonian, temperatures, observables: as in `reweight`.
        references: exact results, one for each temperature.
        pairs: what measures pairs of the samples at each temperature, if that is asked for; None if the samples are
            drawn until an error is reached, which has no place for pairs.

    Attributes:
        least: smallest number of samples from which there are estimates.
        request: the observables.
    """

    least = MIN_SAMPLES

    def __init__(
        self,
        hamiltonian: AbstractHamiltonian,
        temperatures: Sequence[float],
        observables: Observables | None,
        references: Sequence[Exact],
        pairs: Sequence[WeightedPairs] | None = None,
    ) -> None:
        self._hamiltonian, self._temperatures, self._references = hamiltonian, temperatures, references
        self.request = Request.of(observables, hamiltonian)
        if pairs is None:
            refuse_pairs_until(self.request)
        self._pairs = pairs
        self.leave_out()

    def leave_out(self) -> None:
        """Forget the samples that were added so far."""
        self._sums: list[dict[str, WeightedMoments]] = [defaultdict(WeightedMoments) for _ in self._temperatures]
        self._odd: list[dict[str, WeightedMoments]] = [defaultdict(WeightedMoments) for _ in self._temperatures]
        self._parts: list[dict[str, Stretches]] = [defaultdict(Stretches) for _ in self._temperatures]
        self._columns = Columns()
        self._held, self._seen, self._n_repeated = False, set[int](), 0

    def __len__(self) -> int:
        return len(self._columns)

    def add(self, part: Measurement) -> None:
        """Add measured samples.

        Raises:
            ValueError: for samples without log_q.
        """
        if part.log_q is None:
            raise ValueError(
                "these samples have no log_q and cannot be weighted; for samples of Monte Carlo use "
                "la.estimation.estimate_chains"
            )
        self._columns.add(part.energy, part.m, part.log_q, part.balance)
        if -part.log_q.sum() > COINCIDENCE:
            key = hash(part.log_q.tobytes() + part.energy.tobytes())
            self._n_repeated += len(part.log_q) if key in self._seen else 0
            self._seen.add(key)
        self._held = self._held or part.held
        for k, temperature in enumerate(self._temperatures):
            measured = part.values_at(k)
            for moments, columns_of in ((self._sums[k], measured), (self._odd[k], part.asymmetry_at(k))):
                for name, values in columns_of.items():
                    moments[name].add(values, -part.energy / temperature - part.log_q)
            for name, values in measured.items():
                self._parts[k][name].add(values, -part.energy / temperature - part.log_q)

    def divided(self, part: Measurement, n: int) -> tuple[Measurement, Measurement | None]:
        """The first n samples of a part, and the others."""
        if len(part.energy) <= n:
            return part, None
        return Measurement(*_rows(part, slice(n))), Measurement(*_rows(part, slice(n, None)))

    def results(self) -> list[Estimates]:
        """The estimates from the samples that were added so far, one for each temperature.

        Raises:
            ValueError: if they are fewer than `least`.
        """
        hamiltonian, n_repeated, held = self._hamiltonian, self._n_repeated, self._held
        if not self._columns:
            raise ValueError("there are no samples to estimate from")
        energy, m, log_q, balance = self._columns.arrays()
        if len(energy) < MIN_SAMPLES:
            raise ValueError(f"an error bar needs at least {MIN_SAMPLES} samples, got {len(energy)}")
        source = source_of(log_q, m)
        more = "draw further ones with another seed or start"
        repeated = [f"{n_repeated:,} samples were given more than once: {more}"] if n_repeated else []
        results = []
        for k, (temperature, given) in enumerate(zip(self._temperatures, self._references, strict=True)):
            log_w = -energy / temperature - log_q
            diagnostics, log_z = diagnose(log_w), log_mean_exp(log_w)
            results.append(
                weighted_estimates(
                    energy[:, None],
                    m[:, None],
                    log_w[:, None],
                    balance[:, k, None],
                    {
                        name: (*average.result(), average.reach(), average.events())
                        for name, average in self._sums[k].items()
                    },
                    hamiltonian.n_sites,
                    temperature,
                    reference(given, hamiltonian, temperature, held=held),
                    method="is",
                    ess=(diagnostics.ess, _ess_error(np.exp(log_w - log_z))),
                    pareto_k=diagnostics.pareto_k,
                    diagnostics=diagnostics.to_dict() | {"largest_log_w": float(log_w.max())},
                    reasons=[*diagnostics.reasons, *repeated],
                    doubts=diagnostics.doubts,
                    sums={name: stretches.result(log_z) for name, stretches in self._parts[k].items()},
                    source=source,
                )
            )
        for k, (result, asymmetries, given) in enumerate(zip(results, self._odd, self._references, strict=True)):
            for name, asymmetry in asymmetries.items():
                result[name] = with_asymmetry(result[name], *asymmetry.result())
            infer(at_composition(result, hamiltonian), Anywhere(hamiltonian, result.temperature, self.request))
            if self._pairs:
                add_weighted_pairs(result, self._pairs[k])
            known = reference(given, hamiltonian, result.temperature, held=held)
            complete(result, hamiltonian, self.request, None if held else known).warn()
        return results

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """All that is needed to continue: arrays, and JSON values, both by name."""
        arrays = dict(zip(COLUMNS, self._columns.arrays(), strict=False))
        kinds: dict[str, list[list[str]]] = {}
        of_kind: dict[str, Sequence[Mapping[str, WeightedMoments | Stretches]]]
        of_kind = {"sums": self._sums, "odd": self._odd, "parts": self._parts}
        for kind, sums in of_kind.items():
            kinds[kind] = [list(each) for each in sums]
            for k, each in enumerate(sums):
                for j, total in enumerate(each.values()):
                    arrays |= {f"{kind}.{k}.{j}.{name}": values for name, values in total.state().items()}
        return arrays, {"held": self._held, "n_repeated": self._n_repeated, **kinds}

    def restore(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from a state of the same arguments.

        Raises:
            KeyError: if it is not one.
        """
        self.leave_out()
        if COLUMNS[0] in arrays:
            self._columns.add(*(arrays[name] for name in COLUMNS))
        self._held, self._n_repeated = bool(values["held"]), int(values["n_repeated"])
        for kind, sums in (("sums", self._sums), ("odd", self._odd), ("parts", self._parts)):
            for k, names in enumerate(values[kind]):
                for j, name in enumerate(names):
                    start = f"{kind}.{k}.{j}."
                    own = {key.removeprefix(start): array for key, array in arrays.items() if key.startswith(start)}
                    sums[k][name].restore(own)


def _rows(measured: Any, rows: slice) -> Any:
    """Some rows of all arrays in nested containers."""
    if isinstance(measured, np.ndarray):
        return measured[rows]
    if isinstance(measured, dict):
        return {name: _rows(each, rows) for name, each in measured.items()}
    return tuple(_rows(each, rows) for each in measured) if isinstance(measured, tuple | list) else measured


def _ess_error(w: Array) -> float:
    """Error of the ESS `<w>^2 / <w^2>` by the delta method, from weights of mean one."""
    second = (w**2).mean()
    return delta_error(((2 * (w - 1) - (w**2 - second) / second) / second)[:, None])
