"""Configurations of population annealing for a file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from latticear.data.exports import writer_for
from latticear.estimation.annealing import estimate_population
from latticear.estimation.estimates import Estimates, quiet
from latticear.estimation.named.request import Request
from latticear.exact import exact_result
from latticear.hamiltonians import AbstractHamiltonian
from latticear.montecarlo.population import MAX_ISLANDS, NAME as ANNEALING, annealed_population, equally_weighted
from latticear.processes import Processes
from latticear.runs.provenance import command
from latticear.runs.signals import StopSignals
from latticear.workflows.draw import say_what_is_left_out
from latticear.workflows.limits import check_memory
from latticear.workflows.trained import Report

__all__ = ["annealed_run"]


def annealed_run(
    out: Path,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    n: int,
    *,
    seed: int,
    device: str,
    processes: Processes,
    request: Request,
    report: Report,
    say: Callable[[str], None],
) -> Estimates | None:
    """Run population annealing and write its configurations to a file; as `monte_carlo_run`."""
    check_memory(n, "replicas", "give a smaller -n", hamiltonian.n_sites)
    n_replicas = max(100, n + MAX_ISLANDS)  # population_annealing rounds this number; at least n replicas remain
    weights = (
        "equal: islands, which are independent populations, were resampled in proportion to their estimates of Z; "
        "replicas with a common ancestor are not independent"
    )
    provenance = {"method": ANNEALING, "n_replicas": n_replicas, "weights": weights, "command": command()}
    attributes = {"seed": seed, "temperature": temperature, "provenance": provenance}
    exact = exact_result(hamiltonian, temperature) if processes.is_first else None
    with ExitStack() as stack:
        stack.enter_context(quiet())
        stop = stack.enter_context(StopSignals())
        writer = None
        if processes.is_first:
            writer = stack.enter_context(writer_for(out, hamiltonian, attributes=attributes, has_log_q=False))

        def raise_if_stopped() -> None:
            if processes.any(stop.requested):
                raise KeyboardInterrupt(f"{out} keeps the configurations written so far")

        def cooled(done: int, total: int) -> None:
            report(n * done // total, n, f"temperature {done} of {total}")
            raise_if_stopped()

        options: dict[str, Any] = {"n": n_replicas, "seed": seed, "device": device, "processes": processes}
        population = annealed_population(hamiltonian, temperature, report=cooled, **options)
        if writer is None:
            raise_if_stopped()
            return None
        estimates = estimate_population(population, hamiltonian, temperature, observables=request, exact=exact)
        batch = equally_weighted(population)[:n]
        writer.write(batch, hamiltonian.token_energy(batch.tokens))
        report(n, n, "")
        raise_if_stopped()
    say_what_is_left_out(writer, out, say)
    return estimates
