"""Importance sampling: free energies and observables from samples whose probability is known.

Only a few numbers of each configuration are kept (energy, magnetisation, log-probability, and the energy change of a
heat bath), so a million samples of a lattice of any size need little memory; observables are summed batch by batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from latticear.estimation.estimates import Estimates, quiet
from latticear.estimation.goals import Wanted
from latticear.estimation.judgement import Asked, asked_check, judge
from latticear.estimation.limits import Report, Until
from latticear.estimation.measurement import measurements
from latticear.estimation.named.request import Observables, Request
from latticear.estimation.pairs.listening import heard, weighted_pairs
from latticear.estimation.precision import reach
from latticear.estimation.reached import state_precision
from latticear.estimation.reference import AUTO, Exact
from latticear.estimation.reweighting import Reweighting
from latticear.hamiltonians import AbstractHamiltonian, check_temperature
from latticear.models import AbstractModel
from latticear.processes import ALONE, Processes
from latticear.samples import Samples

__all__ = ["estimate", "reweight"]


def estimate(
    samples: Samples | Iterable[Samples] | AbstractModel,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    observables: Observables | None = None,
    exact: Exact = AUTO,
    check: Asked = None,
    processes: Processes = ALONE,
    error: Wanted | None = None,
    n: float | None = None,
    minutes: float | None = None,
    seed: int = 0,
    report: Report | None = None,
) -> Estimates:
    """Free energy and observables of the Boltzmann distribution by importance sampling, with error bars.

    `Z = <w>_q` and `<O> = <w O>_q / <w>_q` with `w = exp(-beta E) / q`: these averages are asymptotically exact for any
    model; the quality of the model determines only the error. Samples with sites held fixed estimate the distribution
    with those sites fixed; samples with several different sets of fixed sites estimate the mixture of these
    distributions, each weighted by its Z. ln Z is corrected for the bias of the logarithm. Errors are one standard
    deviation by the delta method; `jackknife_error` is a second estimate of the error, from 100 blocks.

    Each estimate has a `verdict`. It is "trusted" if something independent agrees with it: an exact value, or a check.
    Without those it is "unchecked", since no diagnostic of the weights shows a part of the distribution that the model
    has never drawn. It is "not trusted", with a warning, if weights, exact values or the check speak against it.

    Args:
        samples: samples drawn from a model, or an iterator of batches of samples (`model.sample_batches`).
        hamiltonian: Hamiltonian of the target.
        temperature: temperature T > 0 of the target; it may differ from the temperature of training (reweighting).
        observables: functions of your own by name, names of `la.OBSERVABLES`, or both, with None in place of a
            function: `{"mine": fn, "structure_factor": None}`. `fn(spins)` maps float64 `(B, H, W)`, or `(B, C, H, W)`
            where a site has components, to `(B,)` or `(B, k)`.
        exact: an exact result that is stored with the estimates for comparison. "auto" finds one if that takes half a
            second or less, once for each system and temperature, and no site was held fixed; None for no comparison.
        check: the model that drew the samples, which is then checked with independent configurations of the target
            (`la.independent_check`; this takes seconds); True for such a check without the model; a `Check` made
            before; None for no check.
        processes: processes that measure together, as `la.processes.together` gives them: each makes this call
            with the batches that are its own, `model.sample_batches(n, processes=processes)`, and all get the estimates
            from the samples of all.
        error: wanted errors by name, `{"log_z": 0.01, "susceptibility": "1%"}`; of an array the largest error counts.
            Samples are then taken until the errors are reached, by a rule that does not bias the estimates
            (`latticear.estimation.precision`), from an iterator that goes on, `model.sample_batches(10**9)`, or from a
            model, which is then given in place of samples. An error that the diagnostics do not trust does not count.
            None uses all samples.
        n: largest number of samples, such as 1e7, where errors are wanted; None for no limit.
        minutes: largest time, where errors are wanted; None for no limit.
        seed: seed of the samples, where a model is given.
        report: function called with the number of samples drawn, the number planned and a text, where errors are
            wanted.

    Returns:
        `free_energy_per_site, energy_per_site, entropy_per_site, heat_capacity_per_site, abs_magnetization,
        magnetization_squared, susceptibility, binder_cumulant, log_z, ess, pareto_k`, `correlation` (array over the
        distance) and the observables that were asked for.

    Raises:
        ValueError: for samples without log_q, or if samples or the values of an observable have a wrong shape; for a
            wanted error of an unknown quantity, or one that only years would reach where no limit is given.

    References:
        Nicoli et al., "Asymptotically unbiased estimation of physical observables with neural samplers",
        Phys. Rev. E 101 (2020) 023304, arXiv 1910.13496.
    """
    until = Until.of(error, n, minutes, report)
    with quiet():
        if until is None:
            options: dict[str, Any] = {"observables": observables, "exact": [exact], "processes": processes}
            drawn: Any = samples  # a model is refused with the remedy
            result = reweight(drawn, hamiltonian, [temperature], **options)[0]
        else:
            temperature = check_temperature(temperature)
            if isinstance(samples, AbstractModel):
                samples = samples.sample_batches(until.limits.largest, seed=seed, processes=processes)
            weighed = Reweighting(hamiltonian, [temperature], observables, [exact])
            parts = measurements(samples, hamiltonian, [temperature], weighed.request, processes=processes)
            reached = reach(parts, weighed, until.goals, until.limits, processes=processes, report=until.report)
            result = reached.results[0]
        found = asked_check(check, result, hamiltonian, observables)
    if found is not None:
        judge(result, found)
    if until is not None:
        state_precision(reached, until.limits)
    result.warn()
    return result


def reweight(
    samples: Samples | Iterable[Samples],
    hamiltonian: AbstractHamiltonian,
    temperatures: Sequence[float],
    *,
    observables: Observables | None = None,
    exact: Sequence[Exact] | Literal["auto"] | None = AUTO,
    processes: Processes = ALONE,
) -> list[Estimates]:
    """Estimates at several temperatures from one pass over one set of samples.

    Only `log_p = -beta E` depends on the temperature; the ESS at a temperature shows whether the samples are still
    sufficient there. Arguments and results are as in `estimate`, with one result for each temperature; `exact` is
    "auto", None, or a list with one entry for each temperature.
    """
    if not isinstance(temperatures, Iterable):
        raise ValueError(f"temperatures must be a list of temperatures, got {temperatures!r}")
    temperatures = [check_temperature(t) for t in temperatures]
    references = [exact] * len(temperatures) if exact is None or exact == AUTO else exact
    if len(references) != len(temperatures):
        raise ValueError(
            f"exact must have one entry for each of {len(temperatures)} temperatures, got {len(references)}"
        )
    request = Request.of(observables, hamiltonian)
    pairs = weighted_pairs(request, hamiltonian, len(temperatures), processes)
    weighed = Reweighting(hamiltonian, temperatures, request, references, pairs)
    samples = heard(samples, pairs, hamiltonian, temperatures)
    for part in measurements(samples, hamiltonian, temperatures, request, processes=processes):
        weighed.add(part)
    return weighed.results()
