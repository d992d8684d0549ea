"""The ways from a model to estimates, by the names that `latticear estimate --method` takes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from latticear.estimation.blocks import block_mcmc
from latticear.estimation.chains import neural_mcmc
from latticear.estimation.estimates import Estimates
from latticear.estimation.importance import estimate
from latticear.estimation.smc import sequential_monte_carlo
from latticear.exact import ExactResult
from latticear.hamiltonians import AbstractHamiltonian
from latticear.models import AbstractModel
from latticear.models.steps import DrawsInSteps
from latticear.samples import Samples

__all__ = ["METHODS", "Method"]


class Method(NamedTuple):
    """A way from a model to estimates, or two, of which a model that draws in steps takes the second.

    Attributes:
        of_samples: of independent samples: `(samples, hamiltonian, temperature, *, exact)`, the samples in batches.
        of_steps: draws by itself, in steps: `(model, hamiltonian, temperature, *, n, seed, condition, exact, report)`.
    """

    of_samples: Callable[..., Estimates] | None = None
    of_steps: Callable[..., Estimates] | None = None

    def __call__(
        self,
        model: AbstractModel,
        samples: Iterable[Samples],
        hamiltonian: AbstractHamiltonian,
        temperature: float,
        *,
        exact: ExactResult | None = None,
        **of_draws: Any,
    ) -> Estimates:
        """Estimates by the way that suits the model.

        Args:
            model: which draws the samples.
            samples: of the model; they are not asked for where it draws in steps.
            hamiltonian, temperature, exact: as in `estimate`.
            of_draws: n, seed, condition and report, for `of_steps`.
        """
        if self.of_steps is not None and (self.of_samples is None or isinstance(model, DrawsInSteps)):
            return self.of_steps(model, hamiltonian, temperature, exact=exact, **of_draws)
        assert self.of_samples is not None
        return self.of_samples(samples, hamiltonian, temperature, exact=exact)


def _metropolis(
    samples: Iterable[Samples], hamiltonian: AbstractHamiltonian, temperature: float, *, exact: ExactResult | None
) -> Estimates:
    """`neural_mcmc`, which accepts with the seed of its proposals."""
    batches = iter(samples)
    first = next(batches)
    return neural_mcmc(itertools.chain([first], batches), hamiltonian, temperature, seed=first.seed, exact=exact)


METHODS = {
    "is": Method(estimate),
    "smc": Method(of_steps=sequential_monte_carlo),
    "mcmc": Method(_metropolis, block_mcmc),
}
"""Importance sampling, sequential Monte Carlo, and Markov chains."""
