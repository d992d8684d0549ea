"""How a model is trained, apart from what for."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from latticear.arguments import did_you_mean

__all__ = ["OBJECTIVES", "SCHEDULES", "TrainingOptions", "options_of", "takes_options"]

OBJECTIVES = ("reverse-kl", "forward-kl", "forward-reverse-kl")
SCHEDULES = ("cosine", "constant")

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class TrainingOptions:
    """How a model is trained, apart from what for: the options of `fit`, and of `[training]` in a config.

    Args:
        objective: "reverse-kl" (variational free energy; needs no data), "forward-kl" (maximum likelihood on data), or
            "forward-reverse-kl": the first steps by maximum likelihood, which finds every phase that is in the data,
            then the variational free energy, whose gradient loses its noise as the model gets better, beside the
            log-variance on the data, whose gradient does so too and which keeps the phases that were found.
        steps: optimiser steps of the whole run, on which the schedules count.
        batch_size: configurations a step, at least 2.
        learning_rate: of Adam, at the top of the schedule.
        schedule: "cosine" (down to a hundredth) or "constant".
        warmup: steps of linear increase of the learning rate.
        clip_norm: largest norm of the gradient; 0 for no clipping.
        ema_decay: decay of the exponential moving average of the weights, which takes out the noise of the last
            gradients; it warms up as (1 + k) / (10 + k) at step k. 0 for none.
        anneal: reverse-kl only: fraction of the steps in which beta grows linearly from 0 to 1/T. Starting where the
            uniform distribution is exact keeps the model from falling into one phase.
        forward_share: forward-reverse-kl only: fraction of the steps that maximise the likelihood.
        data_share: forward-reverse-kl only: fraction of the configurations of each later step that are data.
        n_monte_carlo: configurations that are drawn by Monte Carlo where maximum likelihood has no data.
        held_out: maximum likelihood only: fraction of the data, its end, that is not trained on.
        augment: maximum likelihood only: apply random symmetries of the lattice, and the spin flip, where the
            Hamiltonian has them; a grid has none.
        evaluate_every: steps between evaluations, of maximum likelihood, a range of temperatures or a disorder: on the
            held-out data and, but for a grid, on fresh samples at one setting of the target.
        compile: run the passes of the network through `torch.compile`: it wants a compiler, and pays for large networks
            only (benchmarks/training_step.py --compile).

    Raises:
        ValueError: for an option out of its range.
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
    n_monte_carlo: int = 20_000
    held_out: float = 0.1
    augment: bool = True
    evaluate_every: int = 50
    compile: bool = False

    def __post_init__(self) -> None:
        for name, known in (("objective", OBJECTIVES), ("schedule", SCHEDULES)):
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"{name} must be one of {list(known)}, got {value!r}{did_you_mean(value, known)}")
        if self.objective == "forward-reverse-kl" and self.data_share and self.batch_size < 4:
            raise ValueError(
                f"batch_size must be at least 4, two of them data, got {self.batch_size}; or set data_share to 0"
            )
        if self.steps < 1 or self.batch_size < 2:
            raise ValueError(
                f"steps must be at least 1 and batch_size at least 2, got {self.steps} and {self.batch_size}"
            )
        for name in ("anneal", "forward_share", "data_share", "held_out", "ema_decay"):
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

    @property
    def n_forward(self) -> int:
        """The first so many steps maximise the likelihood."""
        every = {"reverse-kl": 0, "forward-kl": self.steps}
        return every.get(self.objective, round(self.forward_share * self.steps))

    @property
    def n_data(self) -> int:
        """Configurations of each later step that are data."""
        n = round(self.data_share * self.batch_size) if self.objective == "forward-reverse-kl" else 0
        return min(max(n, 2), self.batch_size - 2) if n else 0  # both kinds want a variance

    def is_evaluated(self, step: int) -> bool:
        """Whether a step, counted from 0, ends with an evaluation."""
        return (step + 1) % self.evaluate_every == 0 or step + 1 == self.steps

    def beta_share(self, step: int) -> float:
        """Fraction of the target's beta at a step counted from 0."""
        if not self.anneal or self.objective != "reverse-kl":
            return 1.0
        return min(1.0, (step + 1) / (self.anneal * self.steps))


def takes_options(function: F) -> F:
    """Have the signature of a function say which options its `**options` are."""
    signature = inspect.signature(function)
    *own, _ = signature.parameters.values()
    options = inspect.signature(TrainingOptions).parameters.values()
    parameters = [*own, *(option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options)]
    function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return function


def options_of(given: dict[str, Any]) -> TrainingOptions:
    """The options that are given, the others at their defaults.

    Raises:
        TypeError: for one that there is not; names the nearest.
        ValueError: for one out of its range.
    """
    known = [field.name for field in dataclasses.fields(TrainingOptions)]
    for name in given:
        if name not in known:
            raise TypeError(f"fit has no option {name!r}{did_you_mean(name, known)}")
    return TrainingOptions(**given)
