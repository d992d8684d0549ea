"""Training: its objectives, and one loop that reads like its description.

Nothing random is stored: the draws of a step are functions of (seed, step), so a resumed run continues bit for bit.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from latticear.dataset import Dataset
from latticear.hamiltonians import (
    AbstractHamiltonian,
    EdwardsAndersonDisorder,
    TemperatureRange,
    temperature_or_range,
)
from latticear.models import AbstractModel
from latticear.montecarlo import monte_carlo_data
from latticear.objectives import Metrics, batch_metrics, forward_kl, reverse_kl
from latticear.philox import check_seed
from latticear.space import ConfigurationSpace
from latticear.targets import Targets

__all__ = [
    "OBJECTIVES",
    "Step",
    "TrainingError",
    "TrainingState",
    "fit",
    "forward_kl",
    "learning_rate_factor",
    "reverse_kl",
]

OBJECTIVES = ("reverse-kl", "forward-kl", "forward-reverse-kl")
SCHEDULES = ("cosine", "constant")


class TrainingError(RuntimeError):
    """The loss or its gradient stopped being a number; the model holds the weights from before that step."""


@dataclass
class TrainingState:
    """Everything that a resumed run needs.

    Attributes:
        model: the network that is trained, with the weights of the last step.
        optimizer: Adam and its moments.
        average: exponential moving average of the weights, or None.
        step: completed steps.
    """

    model: AbstractModel
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None
    step: int = 0

    def weights(self) -> dict[str, Tensor]:
        """The weights to sample with: the averaged ones where there is an average."""
        best = self.model if self.average is None else self.average.module
        return best.state_dict()

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.step = int(state["step"])


class Step(NamedTuple):
    """What `fit` yields after each optimiser step.

    Attributes:
        step: completed steps, from 1.
        loss: nats per site.
        metrics: by name; free energies and energies per site, in units of the coupling; `ess` of the batch; of a grid
            `nll_held_out` alone, in nats per site.
        state: for checkpoints; it changes as training goes on.
    """

    step: int
    loss: float
    metrics: Metrics
    state: TrainingState


def fit(
    model: AbstractModel,
    hamiltonian: ConfigurationSpace,
    *,
    temperature: float | tuple[float, float] | None = None,
    objective: str = "reverse-kl",
    steps: int = 1000,
    batch_size: int = 256,
    seed: int = 0,
    learning_rate: float = 3e-3,
    schedule: str = "cosine",
    warmup: int = 20,
    clip_norm: float = 1.0,
    ema_decay: float = 0.99,
    anneal: float = 0.3,
    forward_share: float = 0.3,
    data_share: float = 0.5,
    n_monte_carlo: int = 20_000,
    held_out: float = 0.1,
    augment: bool = True,
    evaluate_every: int = 50,
    compile: bool = False,
    data: Tensor | None = None,
    condition: Tensor | None = None,
    resume: dict[str, Any] | None = None,
) -> Iterator[Step]:
    """Train a model on a Hamiltonian at a temperature, or on a grid; a generator that yields after every step.

    When the generator ends, or is closed, the model holds the weights to sample with (the averaged ones if
    `ema_decay` > 0).

    Args:
        model: trained in place, on the device it is on.
        hamiltonian: the target; or a `Grid`, which has no energy and is learned from `data` by forward-kl.
        temperature: T > 0, in units of the coupling; None for a grid. Or `(low, high)`: reverse-kl only, for a model
            whose condition is the temperature (`n_condition=1`). Each step then draws groups of 16
            configurations, each group at a temperature of its own, spread evenly, and the layers see the range as -1
            to 1. An `EdwardsAndersonDisorder` has such groups too, each with couplings of its own: reverse-kl at one
            temperature, for a model with `n_condition_maps=2`.
        objective: "reverse-kl" (variational free energy; needs no data), "forward-kl" (maximum likelihood on `data`),
            or "forward-reverse-kl": the first steps by maximum likelihood, which finds all that there is, then the
            variational free energy, whose gradient loses its noise as the model gets better, beside the log-variance
            on the data, whose gradient does so too and which keeps what was found.
        steps: optimiser steps of the whole run, on which the schedules count.
        batch_size: configurations a step, at least 2.
        seed: of the training's draws; samples drawn later with the same seed are independent of them.
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
        evaluate_every: maximum likelihood, a range of temperatures or disorder: steps between evaluations, on the
            held-out data and, but for a grid, on fresh samples, those of a range at its middle, those of a disorder at
            its first instance, which is not trained on.
        compile: run the passes of the network through `torch.compile`: it wants a compiler, and pays for large networks
            only (benchmarks/training_step.py --compile).
        data: tokens `(n, H, W)`, or `(n, C, H, W)` where a site has C components, to maximise the likelihood of; None
            for those of Monte Carlo.
        condition: `(n, k)`, what each configuration of a grid comes with, for a model with n_condition = k.
        resume: what `Step.state.state_dict()` gave; goes on from there as if never stopped.

    Raises:
        ValueError: for a shape, token count or option that does not fit, before the first step.
        TrainingError: when the loss or the gradient is not finite.
    """
    energy = hamiltonian if isinstance(hamiltonian, AbstractHamiltonian) else None
    served = _check_target(energy, temperature, objective)
    _check_condition(model, energy, served, objective, condition)
    fractions = {"anneal": anneal, "forward_share": forward_share, "data_share": data_share}
    fractions |= {"held_out": held_out, "ema_decay": ema_decay}
    _check_fit(model, hamiltonian, objective, schedule, steps, batch_size, n_monte_carlo, fractions, seed)
    _check_optimizer(learning_rate, warmup, clip_norm, evaluate_every)
    if data is not None and objective == "reverse-kl":
        raise ValueError("data is for maximum likelihood; objective is 'reverse-kl', which uses none")
    if data is None and energy is None:
        raise ValueError("data must be given: a Grid has no energy to draw configurations with")
    device = model.rank.device
    n_data = round(data_share * batch_size) if objective == "forward-reverse-kl" else 0
    n_data = min(max(n_data, 2), batch_size - 2) if n_data else 0  # both kinds want a variance
    disorder = energy if isinstance(energy, EdwardsAndersonDisorder) else None
    targets = None if served is None else Targets(model, served, batch_size, seed, disorder)
    # elsewhere PyTorch knows best; on the CPU it would take a network of many small tensors one by one
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True if device.type == "cpu" else None)
    average = _MovingAverage(model, ema_decay) if ema_decay else None
    state = TrainingState(model, optimizer, average)
    if resume is not None:
        state.load_state_dict(resume)
    if condition is not None:
        condition = condition.to(next(model.parameters()).dtype)
    n_forward = {"reverse-kl": 0, "forward-kl": steps}.get(objective, round(forward_share * steps))
    network: Any = torch.compile(model) if compile else model
    batches: Dataset | None = None
    if state.step < n_forward or n_data:
        if data is None:
            assert energy is not None
            assert targets is not None
            data = monte_carlo_data(energy, targets.judged, n_monte_carlo, seed, "training")
        batches = Dataset(data, hamiltonian, held_out, augment, seed, device, condition)

    def objective_of(step: int) -> tuple[Tensor, Metrics]:
        forward = step < n_forward
        if model.training != forward:
            model.train(forward)  # dropout would make the network that is scored another than the one that drew
        evaluates = (step + 1) % evaluate_every == 0 or step + 1 == steps
        if not forward:
            assert energy is not None
            assert targets is not None
            share = min(1.0, (step + 1) / (anneal * steps)) if anneal and objective == "reverse-kl" else 1.0
            data_here = batches.draw(n_data, step).tokens if batches is not None and n_data else None
            samples, beta = targets.draw(step, data_here)
            loss, metrics = reverse_kl(network, energy, share * beta, samples, n_groups=targets.n_groups, n_data=n_data)
            metrics |= {"beta": share * float(beta.mean())}
            if not targets.in_groups:
                return loss, metrics | batch_metrics(samples[: batch_size - n_data], energy, targets.judged)
        else:
            assert batches is not None
            loss, metrics = forward_kl(network, *batches.draw(batch_size, step))
            if evaluates:
                metrics |= batches.evaluate(model, batch_size)
        if evaluates and energy is not None and targets is not None:
            metrics |= batch_metrics(targets.draw_judged(step), energy, targets.judged)
        return loss, metrics

    return _loop(
        state,
        objective_of,
        steps,
        lambda s: learning_rate * learning_rate_factor(s, steps, warmup, schedule),
        clip_norm,
    )


def _loop(state: TrainingState, objective_of: Any, steps: int, rate_of: Any, clip_norm: float) -> Iterator[Step]:
    model, optimizer = state.model, state.optimizer
    weights = list(model.parameters())
    try:
        while state.step < steps:
            rate = rate_of(state.step)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss, metrics = objective_of(state.step)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(weights, clip_norm or math.inf)
            if not (math.isfinite(loss.item()) and math.isfinite(norm.item())):
                raise TrainingError(
                    f"the loss stopped being finite at step {state.step + 1} (loss {loss.item()}, gradient norm "
                    f"{norm.item()}); lower the learning rate or clip_norm"
                )
            optimizer.step()
            if state.average is not None:
                state.average.update_parameters(model)
            state.step += 1
            if model.training:
                model.eval()
            yield Step(
                state.step,
                loss.item(),
                metrics | {"learning_rate": rate, "gradient_norm": norm.item()},
                state,
            )
    finally:
        model.eval()
        model.load_state_dict(state.weights())


def learning_rate_factor(step: int, steps: int, warmup: int, schedule: str) -> float:
    """Fraction of the learning rate at a step counted from 0: linear warm-up, then constant or a cosine to 0.01."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if schedule == "constant":
        return 1.0
    progress = (step - warmup) / max(1, steps - warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))


class _MovingAverage(AveragedModel):
    """An exponential average that forgets the first, bad weights: a constant decay would keep them long."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model)
        self._decay = decay

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """All tensors in one call, which for many small ones is most of the work."""
        k = int(self.n_averaged)
        share = 1 - min(self._decay, (1 + k) / (10 + k)) if k else 1.0
        torch._foreach_lerp_(list(self.module.parameters()), list(model.parameters()), share)
        torch._foreach_copy_(list(self.module.buffers()), list(model.buffers()))
        self.n_averaged += 1


def _check_target(
    energy: AbstractHamiltonian | None, temperature: float | tuple[float, float] | None, objective: str
) -> float | TemperatureRange | None:
    """The temperature or the range of them; None for a grid, which has none."""
    if energy is not None:
        if temperature is None:
            raise ValueError(f"temperature must be given: the target is {energy} at a temperature")
        return temperature_or_range(temperature)
    if temperature is not None:
        raise ValueError(f"a Grid has no energy and so no temperature, got {temperature}; leave it out")
    if objective != "forward-kl":
        raise ValueError(
            f"objective {objective!r} needs an energy, which a Grid has not; use objective='forward-kl' and give data"
        )
    return None


def _check_condition(
    model: AbstractModel,
    energy: AbstractHamiltonian | None,
    served: float | TemperatureRange | None,
    objective: str,
    condition: Tensor | None,
) -> None:
    size = model.conditioning.size
    if served is None:
        if condition is not None and condition.shape[-1:] != (size,):
            raise ValueError(f"condition must have {size} entries for this model, got shape {tuple(condition.shape)}")
        if condition is None and size:
            raise ValueError(f"condition must be given: the model takes {size} numbers with each configuration")
        return
    if condition is not None:
        raise ValueError("condition goes with a Grid; that of a Hamiltonian is its temperature or its couplings")
    if isinstance(energy, EdwardsAndersonDisorder):
        _check_disorder(model, served, objective)
        return
    if not isinstance(served, TemperatureRange):
        if size:
            raise ValueError(
                f"the model has a condition of {size} entries; train it for a range of temperatures, "
                f"temperature=(low, high), or leave n_condition out"
            )
        return
    if objective != "reverse-kl":
        raise ValueError(f"a range of temperatures needs objective 'reverse-kl', got {objective!r}")
    if size != 1:
        raise ValueError(
            f"a range of temperatures needs a model whose condition is the temperature: n_condition=1 and no maps, got "
            f"{model.n_condition} and {model.n_condition_maps}"
        )
    fixed = None if model.bias is None else model.bias.temperature
    if fixed is not None:
        raise ValueError(f"the bias is for T = {fixed:g} alone; for a range of temperatures take hamiltonian.bias()")


def _check_disorder(model: AbstractModel, served: float | TemperatureRange, objective: str) -> None:
    if isinstance(served, TemperatureRange):
        raise ValueError(f"disorder is served at one temperature, got the range {served}")
    if objective != "reverse-kl":
        raise ValueError(f"disorder needs objective 'reverse-kl', got {objective!r}")
    if (model.n_condition, model.n_condition_maps) != (0, 2):
        raise ValueError(
            f"disorder needs a model whose condition are the couplings: n_condition_maps=2 and n_condition=0, got "
            f"{model.n_condition_maps} and {model.n_condition}"
        )


def _check_fit(
    model: AbstractModel,
    hamiltonian: ConfigurationSpace,
    objective: str,
    schedule: str,
    steps: int,
    batch_size: int,
    n_monte_carlo: int,
    fractions: dict[str, float],
    seed: int,
) -> None:
    check_seed(seed)
    for name, value, known in (("objective", objective, OBJECTIVES), ("schedule", schedule, SCHEDULES)):
        if value not in known:
            near = difflib.get_close_matches(str(value), known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{name} must be one of {list(known)}, got {value!r}{hint}")
    found, needed = _described(model), _described(hamiltonian)
    if found != needed:
        raise ValueError(f"the model is for {found}, the {hamiltonian.kind.capitalize()} for {needed}")
    if objective == "forward-reverse-kl" and fractions["data_share"] and batch_size < 4:
        raise ValueError(f"batch_size must be at least 4, two of them data, got {batch_size}; or set data_share to 0")
    if steps < 1 or batch_size < 2:
        raise ValueError(f"steps must be at least 1 and batch_size at least 2, got {steps} and {batch_size}")
    for name, fraction in fractions.items():
        if not 0 <= fraction < 1:
            raise ValueError(f"{name} must lie in [0, 1), got {fraction}")
    if n_monte_carlo < 2:
        raise ValueError(f"n_monte_carlo must be at least 2, got {n_monte_carlo}")


def _described(what: AbstractModel | ConfigurationSpace) -> str:
    components = f" and {what.n_components} components" if what.n_components > 1 else ""
    return f"shape {what.shape} with {what.n_tokens} tokens{components}"


def _check_optimizer(learning_rate: float, warmup: int, clip_norm: float, evaluate_every: int) -> None:
    if not 0 < learning_rate <= 1e30:
        raise ValueError(f"learning_rate must be positive and finite, got {learning_rate}")
    if not clip_norm >= 0:
        raise ValueError(f"clip_norm must not be negative (0 for no clipping), got {clip_norm}")
    if warmup < 0 or evaluate_every < 1:
        raise ValueError(
            f"warmup must not be negative and evaluate_every be at least 1, got {warmup} and {evaluate_every}"
        )
