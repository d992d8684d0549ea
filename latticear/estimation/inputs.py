"""Checks of what an estimator is given."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from typing import Any

from latticear.arguments import described
from latticear.hamiltonians import AbstractHamiltonian, check_is_hamiltonian, same_temperature
from latticear.models import AbstractModel
from latticear.samples import Samples, check_log_q

__all__ = ["MIN_SAMPLES", "batches_of", "check_made_at"]

MIN_SAMPLES = 10
"""Smallest number of samples from which an error bar is computed."""

WANTED = "samples must be la.Samples, as model.sample and la.monte_carlo return them, or an iterator of them"

A_CHAIN = ", or judge a Markov chain by la.estimate_chain(array_or_file, hamiltonian, temperature)"
"""The right call for configurations without probabilities."""


def batches_of(
    samples: Samples | Iterable[Samples], hamiltonian: AbstractHamiltonian, made_at: float | None = None
) -> Iterator[Samples]:
    """The batches of samples of a system, each checked before it is yielded.

    Args:
        samples: one batch of samples or many.
        hamiltonian: the system.
        made_at: temperature at which samples must have been made if they state one; None if any will do.

    Raises:
        ValueError: for other objects than samples and a Hamiltonian, samples with another shape, other tokens or
            another composition than the Hamiltonian's, or a log_q that is not the logarithm of a probability.
    """
    if isinstance(samples, AbstractHamiltonian):
        raise ValueError(
            f"{WANTED}, got the Hamiltonian {type(samples).__name__}: samples come first, then the Hamiltonian"
        )
    check_is_hamiltonian(hamiltonian)
    if isinstance(samples, Samples):
        return _checked([samples], hamiltonian, made_at)
    hint = ""
    if isinstance(samples, AbstractModel):
        hint = ": draw them first, model.sample(10_000)"
    elif hasattr(samples, "shape"):
        hint = ": tokens alone have no log_q to weigh them with; give the Samples that they are part of" + A_CHAIN
    elif isinstance(samples, str | os.PathLike):
        hint = A_CHAIN
    if hint or isinstance(samples, str | bytes | dict) or not hasattr(samples, "__iter__"):
        raise ValueError(f"{WANTED}, got {described(samples)}{hint}")
    return _checked(samples, hamiltonian, made_at)


def _checked(batches: Iterable[Any], hamiltonian: AbstractHamiltonian, made_at: float | None) -> Iterator[Samples]:
    first = 0
    for batch in batches:
        if not isinstance(batch, Samples):
            raise ValueError(f"{WANTED}, got an iterator of {described(batch)}{A_CHAIN}")
        if tuple(batch.tokens.shape[1:]) != hamiltonian.size:
            raise ValueError(f"samples have shape {tuple(batch.tokens.shape[1:])}, the Hamiltonian {hamiltonian.size}")
        if len(batch) and int(batch.tokens.max()) >= hamiltonian.n_tokens:
            raise ValueError(
                f"samples hold token {int(batch.tokens.max())}, the Hamiltonian has {hamiltonian.n_tokens}"
            )
        hamiltonian.check_allowed(batch.tokens, "samples")
        if hamiltonian.composition is None and "composition" in batch.provenance:
            kept = tuple(batch.provenance["composition"])
            raise ValueError(
                f"these samples were drawn at the fixed composition {kept}, which the Hamiltonian leaves free: give "
                f"la.FixedComposition(hamiltonian, {kept})"
            )
        if made_at is not None:
            check_made_at(batch, made_at)
        if batch.log_q is not None:
            check_log_q("log_q", batch.log_q, math.prod(hamiltonian.size), row="sample", first=first)
        first += len(batch)
        yield batch


def check_made_at(samples: Samples, temperature: float) -> None:
    """Raise ValueError if samples state that they were made at another temperature."""
    made_at = samples.provenance.get("temperature")
    if made_at is not None and not same_temperature(made_at, temperature):
        raise ValueError(f"these samples were made at temperature {made_at:g}, got {temperature:g}")
