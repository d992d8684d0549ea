"""Estimates from Markov chains, whose errors follow from their autocorrelation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, takewhile
from typing import NamedTuple

import numpy as np
from torch import Tensor

from latticear.arrays import Array
from latticear.estimation.at_composition import at_composition
from latticear.estimation.autocorrelation import TauInt, mean_error
from latticear.estimation.completion import complete
from latticear.estimation.estimates import JUDGED, Estimates, quiet, with_rarity
from latticear.estimation.limits import Until
from latticear.estimation.measurement import Measurement, measurements, observed
from latticear.estimation.named.request import Observables, Request
from latticear.estimation.pairs.chains import ChainPairs
from latticear.estimation.pairs.listening import add_chain_pairs, chain_pairs, heard, refuse_pairs_until
from latticear.estimation.precision import reach
from latticear.estimation.quantity import Estimate
from latticear.estimation.reached import state_precision
from latticear.estimation.reference import AUTO, Exact, reference
from latticear.estimation.replicates import chain_replicates
from latticear.estimation.symmetry import with_asymmetry
from latticear.estimation.thermodynamics import rare_events, thermodynamics
from latticear.estimation.weights import imbalance_of
from latticear.exact import ExactResult
from latticear.hamiltonians import AbstractHamiltonian, check_temperature
from latticear.samples import Samples

__all__ = ["ChainSeries", "estimate_chains", "estimates_of_chains", "events_of", "series_of"]


MIN_THERMALIZATION = 20
"""Shortest thermalisation, in units of `tau_int`. The slowest mode may decay many times more slowly than `tau_int`
suggests if it contributes little to the variance: after ten `tau_int` a bias is left that is significant in averages
over several hundred chains."""

SHORT = "the chains are too short for its autocorrelation time: it needs about {:,.0f} configurations or more"

FEWEST_TAU = 50
"""Length of all chains together, in autocorrelation times, below which an error that is not well determined is not
trusted; above it, it is no more than a doubt."""


def estimate_chains(
    batches: Iterable[Samples],
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    observables: Observables | None = None,
    exact: Exact = AUTO,
    thermalization: float | None = None,
    until: Until | None = None,
    finish: Callable[[Estimates, int], Estimates] = lambda result, _: result,
) -> Estimates:
    """Observables from Monte Carlo chains, with errors from their autocorrelation.

    Args:
        batches: one batch for each measurement, with one configuration of every chain, as `monte_carlo` yields them; a
            last batch that has fewer configurations is left out.
        hamiltonian, temperature, observables, exact: as in `estimate`.
        thermalization: time before the first measurement, in units of the time between two measurements. The estimates
            are marked as unreliable if it is shorter than 20 `tau_int` of the energy or of |m|; None skips this check.
        until: errors until which batches are taken; None takes all of them.
        finish: adds to the estimates what else there is; called with them and the number of measurements at the start
            that are left out.

    Returns:
        The quantities that `neural_mcmc` returns; `diagnostics` has `tau_int` of the energy and of |m|, in units of the
        time between two measurements. A quantity whose error depends on fewer than 30 rare events (`rare_events`) is
        not trusted on any evidence but stays unchecked.

    Raises:
        ValueError: if there are fewer than two measurements.
    """
    temperature = check_temperature(temperature)
    request = Request.of(observables, hamiltonian)
    if until is not None:
        refuse_pairs_until(request)
    pairs = chain_pairs(request, hamiltonian)
    every = heard(batches, pairs, hamiltonian, [temperature])
    measured = measurements(every, hamiltonian, [temperature], request, chunk=None, made_at=temperature)
    first = next(measured, None)
    width = 0 if first is None else len(first.energy)
    whole = takewhile(lambda part: len(part.energy) == width, chain([] if first is None else [first], measured))
    chains = _Measured(width, hamiltonian, temperature, request, exact, thermalization, finish, pairs)
    if until is None:
        for part in whole:
            chains.add(part)
        return chains.results()[0]
    with quiet():
        reached = reach(whole, chains, until.goals, until.limits, least=until.least, report=until.report)
    state_precision(reached, until.limits)
    reached.results[0].warn()
    return reached.results[0]


class _Measured:
    """Measurements of chains that arrive one by one, and the estimates from them; arguments as in `estimate_chains`.

    Attributes:
        least: smallest number of configurations from which there are estimates.
    """

    def __init__(
        self,
        width: int,
        hamiltonian: AbstractHamiltonian,
        temperature: float,
        request: Request,
        exact: Exact,
        thermalization: float | None,
        finish: Callable[[Estimates, int], Estimates],
        pairs: Sequence[ChainPairs],
    ) -> None:
        self._width, self.least = width, 2 * width
        self._hamiltonian, self._temperature, self._request = hamiltonian, temperature, request
        self._exact, self._thermalization, self._finish, self._pairs = exact, thermalization, finish, pairs
        self._parts: list[Measurement] = []
        self._left_out = 0

    def __len__(self) -> int:
        return len(self._parts) * self._width

    def add(self, part: Measurement) -> None:
        """Add a measurement of all chains."""
        self._parts.append(part)

    def divided(self, part: Measurement, _: int) -> tuple[Measurement, None]:
        """A measurement is not divided."""
        return part, None

    def leave_out(self) -> None:
        """Forget the measurements so far, which count as thermalisation."""
        self._left_out += len(self._parts)
        self._parts = []

    def results(self) -> list[Estimates]:
        """The estimates.

        Raises:
            ValueError: if there are fewer than two measurements.
        """
        parts, hamiltonian, temperature = self._parts, self._hamiltonian, self._temperature
        if len(parts) < 2:
            raise ValueError(f"chains need at least two measurements each, got {len(parts)}")
        energy, m = np.stack([part.energy for part in parts]), np.stack([part.m for part in parts])
        balance = np.stack([part.balance[:, 0] for part in parts])
        series, odd = ({name: np.stack(each) for name, each in columns.items()} for columns in observed(parts))
        known = reference(self._exact, hamiltonian, temperature, held=parts[0].held)
        before = None if self._thermalization is None else self._thermalization + self._left_out
        found = estimates_of_chains(
            energy, m, balance, series, odd, hamiltonian.n_sites, temperature, known, {}, thermalization=before
        )
        for each in self._pairs:
            add_chain_pairs(found, each)
        found = complete(
            at_composition(found, hamiltonian), hamiltonian, self._request, None if parts[0].held else known
        )
        return [self._finish(found, self._left_out)]


class ChainSeries(NamedTuple):
    """What was measured on T configurations of each of R chains.

    Attributes:
        energy, m, balance: `(T, R)`, as in `Measurement`.
        values, asymmetry: `(T, R, ...)` by name, as in `Measurement`.
    """

    energy: Array
    m: Array
    balance: Array
    values: dict[str, Array]
    asymmetry: dict[str, Array]


def series_of(
    tokens: Tensor,
    width: int,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    observables: Observables | None = None,
) -> ChainSeries:
    """Measure chains whose configurations are in one tensor.

    Args:
        tokens: the configurations, ordered by time and within it by chain.
        width: number of chains.
        hamiltonian, temperature, observables: as in `estimate_chains`.
    """
    parts = list(measurements(Samples(tokens, None, 0), hamiltonian, [temperature], observables))

    def joined(values: Iterable[Array]) -> Array:
        array = np.concatenate(list(values))
        return array.reshape(-1, width, *array.shape[1:])

    return ChainSeries(
        joined(part.energy for part in parts),
        joined(part.m for part in parts),
        joined(part.balance[:, 0] for part in parts),
        *({name: joined(each) for name, each in columns.items()} for columns in observed(parts)),
    )


def estimates_of_chains(
    energy: Array,
    m: Array,
    balance: Array,
    series: dict[str, Array],
    asymmetry: dict[str, Array],
    n_sites: int,
    temperature: float,
    exact: ExactResult | None,
    diagnostics: dict[str, float],
    method: str | None = None,
    thermalization: float | None = None,
    misfit: Sequence[str] = (),
) -> Estimates:
    """Estimates of chains from energies and magnetisations `(T, R)` and series `(T, R, ...)` with asymmetries."""
    quantities = thermodynamics(energy, m, np.ones_like(energy), temperature, n_sites)
    errors: dict[str, float] = {}
    taus: dict[str, TauInt] = {}
    events: dict[str, float] = {}
    for name, quantity in quantities.items():
        _, errors[name], tau = mean_error(quantity.influence)
        taus[name] = tau
        events[name] = events_of(quantity.influence, tau, quantity.value)
    short = {
        name: f"the chains are too short for their autocorrelation time ({name}: tau_int {taus[name].tau:.3g} in "
        f"{energy.shape[0]} steps of {energy.shape[1]} chains): they need about {_one_digit(taus[name].needed):,.0f} "
        f"configurations or more"
        for name in JUDGED
        if not taus[name].reliable and errors[name] > 0
    }
    reasons = [text for name, text in short.items() if energy.size < FEWEST_TAU * taus[name].tau]
    slowest = max(JUDGED, key=lambda name: taus[name].tau)
    required = MIN_THERMALIZATION * taus[slowest].tau
    if thermalization is not None and thermalization < required:
        reasons.append(
            f"thermalization was too short: {thermalization:g} steps, but {MIN_THERMALIZATION} tau_int of {slowest} "
            f"are {required:.3g}"
        )
    change, error, _ = mean_error(balance)
    n, still = energy.size, _still_fraction(taus, energy.shape[0])
    imbalance = imbalance_of(change, error, n_sites, temperature, n * still)
    reasons += list(misfit) or imbalance.reasons
    estimates = {
        name: with_rarity(
            Estimate(
                quantity.value,
                errors[name],
                n=n,
                ess=min(1.0, 0.5 / taus[name].tau) if taus[name].window else still,
                tau_int=taus[name].tau,
                reach=float(np.abs(quantity.influence).max()),
            ),
            events[name],
        )
        for name, quantity in quantities.items()
    }
    needed = {name: tau.needed for name, tau in taus.items() if not tau.reliable and errors[name] > 0}
    for name, values in series.items():
        estimates[name], needed[name] = _vector_chain(values, n, still)
        if name in asymmetry:
            differences = [mean_error(each)[:2] for each in _columns(asymmetry[name])]
            estimates[name] = with_asymmetry(estimates[name], *zip(*differences, strict=True))
    for name in (name for name, number in needed.items() if number):
        estimates[name] = estimates[name].doubt([SHORT.format(_one_digit(max(needed.values())))])
    diagnostics = diagnostics | {
        "imbalance": imbalance.size,
        "tau_int_energy": taus[JUDGED[0]].tau,
        "tau_int_abs_magnetization": taus[JUDGED[1]].tau,
    }
    result = Estimates(estimates, temperature=temperature, n=n, diagnostics=diagnostics, reasons=reasons, method=method)
    slowest_of_all = max(0.5, *(estimate.tau_int or 0.5 for estimate in estimates.values()))
    result.replicates = chain_replicates(energy, m, series, slowest_of_all, temperature, n_sites)
    if exact is not None:
        result.compared_with(exact, n_sites)
    result.warn()
    return result


def _still_fraction(taus: Mapping[str, TauInt], length: int) -> float:
    """Fraction of the measurements that count as independent for a quantity that did not vary.

    Such a series does not show its autocorrelation time: the slowest of the other quantities stands for it, and where
    nothing varied each chain counts as one configuration.
    """
    slowest = max((tau.tau for tau in taus.values() if tau.window), default=length / 2)
    return min(1.0, 0.5 / slowest)


def events_of(influence: Array, tau: TauInt, value: float) -> float:
    """`rare_events` of a series, in which an event that lasts for an autocorrelation time counts once."""
    return rare_events(influence, influence.size / max(1.0, 2 * tau.tau), value)


def _columns(values: Array) -> Array:
    """The series of each entry of an array: `(T, R, ...)` to `(K, T, R)`."""
    return np.moveaxis(values.reshape(*values.shape[:2], -1), 2, 0)


def _one_digit(number: float) -> float:
    """A number rounded to one digit."""
    return float(f"{number:.1g}")


def _vector_chain(values: Array, n: int, still: float) -> tuple[Estimate, int]:
    """The estimate of an array, and the number of configurations that it needs; 0 if there are as many."""
    series = _columns(values)
    parts = [mean_error(each) for each in series]
    events = min(events_of(each - mean, tau, mean) for each, (mean, _, tau) in zip(series, parts, strict=True))
    shape = values.shape[2:]
    means, errors = (np.array([part[i] for part in parts]).reshape(shape) for i in (0, 1))
    tau = max(part[2].tau for part in parts)
    ess = min(1.0, 0.5 / tau) if any(part[2].window for part in parts) else still
    reach = np.abs(values - means).max((0, 1))
    value, error, most = (each if shape else float(each) for each in (means, errors, reach))
    estimate = with_rarity(Estimate(value, error, n=n, ess=ess, tau_int=tau, reach=most), events)
    return estimate, max((part[2].needed for part in parts if part[2].window and not part[2].reliable), default=0)
