"""The methods that make estimates with a model, by the names that `latticear estimate --method` takes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from latticear.estimation.blocks import block_mcmc
from latticear.estimation.estimates import Estimates
from latticear.estimation.importance import estimate
from latticear.estimation.named.request import Observables
from latticear.estimation.neural_metropolis import neural_mcmc
from latticear.estimation.smc import sequential_monte_carlo
from latticear.exact import ExactResult
from latticear.hamiltonians import AbstractHamiltonian
from latticear.models import AbstractModel
from latticear.models.steps import DrawsInSteps
from latticear.samples import Samples

__all__ = ["METHODS", "Method"]


class Method(NamedTuple):
    """A method that makes estimates with a model; if it has both functions, models that draw in steps use `of_steps`.

    Attributes:
        of_samples: function that makes estimates from batches of independent samples; its arguments are `(samples,
            hamiltonian, temperature, *, exact)`.
        of_steps: function that makes estimates with a model that draws in steps, and draws the samples itself; its
            arguments are `(model, hamiltonian, temperature, *, n, seed, condition, exact, report)`.
    """

    of_samples: Callable[..., Estimates] | None = None
    of_steps: Callable[..., Estimates] | None = None

    def draws_itself(self, model: AbstractModel) -> bool:
        """Whether the method draws from a model by itself, rather than take samples of it."""
        return self.of_steps is not None and (self.of_samples is None or isinstance(model, DrawsInSteps))

    def __call__(
        self,
        model: AbstractModel,
        samples: Iterable[Samples],
        hamiltonian: AbstractHamiltonian,
        temperature: float,
        *,
        exact: ExactResult | None = None,
        observables: Observables | None = None,
        **of_draws: Any,
    ) -> Estimates:
        """Estimates by the function that suits the model.

        Args:
            model: the model.
            samples: batches of samples of the model; the iterator is not used if `of_steps` is called.
            hamiltonian, temperature, exact: as in `estimate`.
            observables: as in `estimate`; a method gets them if there are any.
            of_draws: the arguments n, seed, condition and report of `of_steps`.
        """
        more: dict[str, Any] = {"observables": observables} if observables else {}
        if self.of_steps is not None and self.draws_itself(model):
            return self.of_steps(model, hamiltonian, temperature, exact=exact, **more, **of_draws)
        assert self.of_samples is not None
        return self.of_samples(samples, hamiltonian, temperature, exact=exact, **more)


def _metropolis(
    samples: Iterable[Samples],
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    observables: Observables | None = None,
    exact: ExactResult | None,
) -> Estimates:
    """`neural_mcmc` with the seed with which its proposals were drawn."""
    batches = iter(samples)
    first = next(batches)
    more: dict[str, Any] = {"observables": observables, "exact": exact, "seed": first.seed}
    return neural_mcmc(itertools.chain([first], batches), hamiltonian, temperature, **more)


METHODS = {
    "is": Method(estimate),
    "smc": Method(of_steps=sequential_monte_carlo),
    "mcmc": Method(_metropolis, block_mcmc),
}
"""Importance sampling, sequential Monte Carlo, and Markov chains."""
