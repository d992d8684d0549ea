"""Training: its objectives, and one loop that reads like its description.

Nothing random is stored: the draws of a step are functions of (seed, step), so a resumed run continues bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from latticear.hamiltonians import AbstractHamiltonian, EdwardsAndersonDisorder
from latticear.models import AbstractModel
from latticear.montecarlo.simulation import monte_carlo_data
from latticear.spaces import ConfigurationSpace
from latticear.training.checks import check_condition, check_fit, check_optimizer, check_target
from latticear.training.dataset import Dataset
from latticear.training.objectives import Metrics, batch_metrics, forward_kl, reverse_kl
from latticear.training.state import MovingAverage, TrainingState
from latticear.training.targets import Targets

__all__ = ["Step", "TrainingError", "fit", "learning_rate_factor"]


class TrainingError(RuntimeError):
    """The loss or its gradient stopped being a number; the model holds the weights from before that step."""


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
    served = check_target(energy, temperature, objective)
    check_condition(model, energy, served, objective, condition)
    fractions = {"anneal": anneal, "forward_share": forward_share, "data_share": data_share}
    fractions |= {"held_out": held_out, "ema_decay": ema_decay}
    check_fit(model, hamiltonian, objective, schedule, steps, batch_size, n_monte_carlo, fractions, seed)
    check_optimizer(learning_rate, warmup, clip_norm, evaluate_every)
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
    average = MovingAverage(model, ema_decay) if ema_decay else None
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
