"""The options of training."""

from __future__ import annotations

import dataclasses
import inspect
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from latticear.arguments import did_you_mean

__all__ = ["MONTE_CARLO", "OBJECTIVES", "SCHEDULES", "TrainingOptions", "options_of", "takes_options"]

OBJECTIVES = ("reverse-kl", "forward-kl", "forward-reverse-kl")
"""Names of what a training minimises."""
SCHEDULES = ("cosine", "constant")
MONTE_CARLO = ("default", "tempering")

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class TrainingOptions:
    """The options of `fit` and of the section `[training]` of a config, except for the target and the data.

    Args:
        objective: "reverse-kl" minimises the variational free energy and needs no data. "forward-kl" maximises the
            likelihood of data. "forward-reverse-kl" first maximises the likelihood, so that the model learns every
            phase that occurs in the data; the later steps minimise the variational free energy together with the
            log-variance on the data, which keeps the model from losing phases. The gradients of both have less and less
            noise as the model improves.
        steps: number of optimiser steps of the whole training; the schedules depend on it.
        batch_size: number of configurations in each step, at least 2.
        learning_rate: largest learning rate of Adam, reached after the warm-up.
        schedule: learning rate after the warm-up: "cosine" (decreasing to a hundredth) or "constant".
        warmup: number of steps in which the learning rate increases linearly.
        clip_norm: largest norm of the gradient; larger gradients are scaled down. 0 for no clipping.
        ema_decay: decay of the exponential moving average of the weights, which averages out the noise of the last
            gradients; at step k it is at most (1 + k) / (10 + k). 0 for no average.
        anneal: reverse-kl only: fraction of the steps in which beta grows linearly from 0 to 1/T. At beta = 0 the
            target is the uniform distribution; starting there keeps the model from collapsing into a single phase.
        forward_share: forward-reverse-kl only: fraction of the steps, the first ones, that maximise the likelihood.
        data_share: forward-reverse-kl only: in the later steps, fraction of the batch that consists of data.
        heated_share: forward-reverse-kl only: in the later steps, fraction of the data in the batch that have been
            heated (`latticear.training.drawn.heated`). They show the network where its probability is far too small
            although neither its samples nor the data ever come there.
        n_monte_carlo: number of configurations that Monte Carlo draws if the objective needs data and none are given.
        monte_carlo: how it draws them: "default" as `monte_carlo` does by default; "tempering" by clusters where they
            suit, otherwise by parallel tempering, which visits all phases with their right probabilities where single
            spins do not leave the phase in which they start. Its schedule is short: max(256, 4 L^2) sweeps before the
            first configuration, max(2, L^2 / 32) between two, with L the larger extent.
        held_out: maximum likelihood only: fraction of the data, its last configurations, that is not trained on.
        augment: maximum likelihood only: apply random lattice symmetries and spin flips of the Hamiltonian to the data;
            a grid has no symmetries.
        evaluate_every: number of steps between evaluations. Maximum likelihood is evaluated on the held-out data;
            maximum likelihood with a Hamiltonian, a range of temperatures and a disorder are evaluated on fresh
            samples, at one setting of the target.
        compile: call the network through `torch.compile`; this needs a compiler, and is faster for large networks only
            (benchmarks/training_step.py --compile).

    Raises:
        ValueError: for a value out of range.
    """

    objective: str = "reverse-kl"
    steps: int = 1000
    batch_size: int = 256
    learning_rate: float = 3e-3
    schedule: str = "cosine"
    warmup: int = 20
    clip_norm: float = 1.0
    ema_decay: float = 0.99
    anneal: float = 0.3
    forward_share: float = 0.3
    data_share: float = 0.5
    heated_share: float = 0.0
    n_monte_carlo: int = 20_000
    monte_carlo: str = "default"
    held_out: float = 0.1
    augment: bool = True
    evaluate_every: int = 50
    compile: bool = False

    def __post_init__(self) -> None:
        for name, valid in (("objective", OBJECTIVES), ("schedule", SCHEDULES), ("monte_carlo", MONTE_CARLO)):
            value = getattr(self, name)
            if value not in valid:
                raise ValueError(f"{name} must be one of {list(valid)}, got {value!r}{did_you_mean(value, valid)}")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type == "int" and (isinstance(value, bool) or not isinstance(value, numbers.Integral)):
                raise ValueError(f"{field.name} must be an integer, got {value!r}")
            if field.type == "float" and not isinstance(value, numbers.Real):
                raise ValueError(f"{field.name} must be a number, got {value!r}")
        if self.objective == "forward-reverse-kl" and self.data_share and self.batch_size < 4:
            raise ValueError(
                f"batch_size must be at least 4, two of them data, got {self.batch_size}; or set data_share to 0"
            )
        if self.steps < 1 or self.batch_size < 2:
            raise ValueError(
                f"steps must be at least 1 and batch_size at least 2, got {self.steps} and {self.batch_size}"
            )
        for name in ("anneal", "forward_share", "data_share", "heated_share", "held_out", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if self.n_monte_carlo < 2:
            raise ValueError(f"n_monte_carlo must be at least 2, got {self.n_monte_carlo}")
        if not 0 < self.learning_rate <= 1e30:
            raise ValueError(f"learning_rate must be positive and finite, got {self.learning_rate}")
        if not self.clip_norm >= 0:
            raise ValueError(f"clip_norm must not be negative (0 for no clipping), got {self.clip_norm}")
        if self.warmup < 0 or self.evaluate_every < 1:
            raise ValueError(
                f"warmup must not be negative and evaluate_every be at least 1, got {self.warmup} and "
                f"{self.evaluate_every}"
            )

    def __repr__(self) -> str:
        """The objective and the size of the training, and whatever differs from its default."""
        shown = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name in ("objective", "steps", "batch_size") or getattr(self, field.name) != field.default
        }
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def n_forward(self) -> int:
        """Number of steps, the first ones, that maximise the likelihood."""
        pure = {"reverse-kl": 0, "forward-kl": self.steps}
        return pure.get(self.objective, round(self.forward_share * self.steps))

    @property
    def n_data(self) -> int:
        """Number of data configurations in the batch of each later step, those that are heated included."""
        n = round(self.data_share * self.batch_size) if self.objective == "forward-reverse-kl" else 0
        return min(max(n, 2), self.batch_size - 2) if n else 0  # data and samples both need a variance

    @property
    def n_heated(self) -> int:
        """Number of heated configurations among the data of each later step."""
        return max(0, min(round(self.heated_share * self.n_data), self.n_data - 2))  # the variance of the other data

    def is_evaluated(self, step: int) -> bool:
        """Whether a step, counted from 0, ends with an evaluation."""
        return (step + 1) % self.evaluate_every == 0 or step + 1 == self.steps

    def beta_share(self, step: int) -> float:
        """Fraction of 1/T that beta has reached at a step counted from 0."""
        if not self.anneal or self.objective != "reverse-kl":
            return 1.0
        return min(1.0, (step + 1) / (self.anneal * self.steps))


def takes_options(function: F) -> F:
    """Decorate a function so that its signature lists the fields of `TrainingOptions` in place of `**options`."""
    signature = inspect.signature(function)
    *own, _ = signature.parameters.values()
    options = inspect.signature(TrainingOptions).parameters.values()
    parameters = [*own, *(option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options)]
    function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return function


def options_of(given: dict[str, Any]) -> TrainingOptions:
    """Training options from keyword arguments; options that are not given have their defaults.

    Raises:
        TypeError: for an unknown option; suggests the most similar one.
        ValueError: for a value out of range.
    """
    valid = [field.name for field in dataclasses.fields(TrainingOptions)]
    for name in given:
        if name not in valid:
            raise TypeError(f"fit has no option {name!r}{did_you_mean(name, valid)}")
    return TrainingOptions(**given)
