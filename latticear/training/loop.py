"""The training loop.

No random state is stored: the random draws of a step are functions of (seed, step), so that a resumed training
continues bit for bit as if it had not been interrupted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from hashlib import sha256
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from latticear.data.configurations import Configurations
from latticear.estimation.data_check import examine_for
from latticear.models import AbstractModel, check_is_model
from latticear.processes import Processes, current
from latticear.random_numbers import generator
from latticear.spaces import ConfigurationSpace
from latticear.targets import AbstractTarget, for_a_network, target_of
from latticear.threads import thread_count, useful_threads, wait_passively
from latticear.training.checks import check_fit, check_processes
from latticear.training.objectives import Metrics
from latticear.training.options import TrainingOptions, options_of, takes_options
from latticear.training.state import MovingAverage, ResumeError, TrainingState
from latticear.training.steps import Objective
from latticear.training.suited import suited_options

__all__ = ["Step", "TrainingError", "fit", "learning_rate_factor"]


class TrainingError(RuntimeError):
    """The loss or its gradient is not finite; the model keeps the weights that it had before this step."""


class Step(NamedTuple):
    """What `fit` yields after each optimiser step.

    Attributes:
        step: number of completed steps, from 1.
        loss: loss of this step, in nats per site.
        metrics: estimates by name: `free_energy_per_site` and `energy_per_site`, in units of the coupling, and `ess`,
            from one batch; `nll_held_out`, in nats per site, for training on data; and others.
        state: state of the training, for checkpoints; the next step changes it in place.
    """

    step: int
    loss: float
    metrics: Metrics
    state: TrainingState

    def __repr__(self) -> str:
        metrics = "".join(f", {name}={value:.5g}" for name, value in self.metrics.items())
        return f"Step(step={self.step}, loss={self.loss:.5g}{metrics})"

    def to_dict(self) -> dict[str, float]:
        """Number, loss and metrics, as a line of metrics.jsonl has them."""
        return {"step": self.step, "loss": self.loss, **self.metrics}


@takes_options
def fit(
    model: AbstractModel,
    hamiltonian: ConfigurationSpace | AbstractTarget,
    *,
    temperature: float | tuple[float, float] | None = None,
    seed: int = 0,
    data: Any = None,
    condition: Any = None,
    resume: dict[str, Any] | None = None,
    check_data: bool = True,
    **options: Any,
) -> Iterator[Step]:
    """Train a model for a Hamiltonian at a temperature, or on data of a grid; yields after every step.

    When the generator ends, or is closed, the model holds the weights to sample with (the averaged weights if
    `ema_decay` > 0).

    If `torch.distributed` has joined several processes, they train one model together: each calls `fit` with the same
    arguments, a model with the same weights and the same data, and takes every step. Losses, metrics and weights are
    then those of a single process, but for the order in which numbers are added.

    Args:
        model: the model; it is trained in place, on the device of its parameters.
        hamiltonian: the Hamiltonian; or a `Grid`, which has no energy and needs `data` and the objective forward-kl; or
            any target of `latticear.targets`.
        temperature: T > 0, in units of the coupling; None for a grid. For a range of temperatures `(low, high)`, the
            condition of the model must be the temperature (`n_condition=1`), which its layers are given rescaled to
            -1 .. 1. The objective is forward-kl with data at many temperatures, else reverse-kl: each step then draws
            groups of 16 configurations, each group at its own temperature, with temperatures spread evenly over the
            range. An `EdwardsAndersonDisorder`
            also draws groups of 16, each group with its own couplings; it needs reverse-kl, one temperature, and a
            model with `n_condition_maps=2`. Such a model is fine-tuned to one `EdwardsAnderson` by any objective.
        seed: seed of all random draws of the training; samples drawn later with the same seed are independent of them.
        data: the configurations to maximise the likelihood of, an array or a file: all that `load_configurations`
            takes, such as tokens or spins `(n, H, W)`; None to draw them by Monte Carlo, if the objective needs data.
        condition: `(n, k)`, the condition of each configuration of a grid, for a model with n_condition = k; for a
            range of temperatures the temperature of each configuration, `(n,)`, unless a file states it.
        check_data: whether to examine if the data fit the Hamiltonian at the temperature; a `MisfitWarning` says if
            they do not, and what would.
        resume: the result of `Step.state.state_dict()`; training continues from that state as if it had not been
            interrupted.
        options: the fields of `TrainingOptions`: `objective`, `steps`, `batch_size`, `learning_rate` and others. Those
            not given have the values that suit the model and the target (`training_defaults` of the class of the
            model), and otherwise the defaults of `TrainingOptions`.

    Raises:
        ValueError: before the first step, for a shape, number of tokens, symmetry, known-neighbour term or option that
            does not fit, or a state to resume from that is one of another training.
        TypeError: for an unknown option.
        TrainingError: when the loss or the gradient is not finite.
    """
    check_is_model(model)
    target = for_a_network(target_of(hamiltonian, temperature=temperature), model.n_condition_maps)
    shares_weights = getattr(model, "translation_invariant", True)
    has_data = data is not None
    objective_of = target.suited_objective(has_data)
    suited = suited_options(
        type(model),
        objective_of,
        shares_weights=shares_weights,
        has_data=has_data,
        system=target.only,
        looks_ahead=model.bias is not None and model.bias.in_raster_order,
    )
    chosen = options_of(suited | options)
    check_fit(model, target, chosen, seed, data, condition)
    tokens = None
    if data is not None:
        read = target.read_data(data, condition)
        found = examine_for(target, read) if check_data else None
        if found is not None:
            found.warn()
        tokens, condition = _in_random_order(read, seed) if target.covers_range else (read.tokens, read.condition)
    processes = current()
    check_processes(processes, chosen)
    objective = Objective(model, target, chosen, seed, tokens, condition, processes)
    target.prepare(model)
    state = _fresh(model, chosen)
    state.of = _described(target, chosen, seed)
    if resume is not None:
        try:
            state.load_state_dict(resume)
        except ResumeError as error:
            raise ResumeError(f"resume is the state of another training: {error}") from error
    objective.prepare(state.step)
    return _loop(state, objective, chosen, processes)


def work_of(model: AbstractModel, batch_size: int) -> int:
    """About the number of multiply-adds of a pass of a model over a batch."""
    return batch_size * model.n_products


def _in_random_order(data: Configurations, seed: int) -> tuple[Tensor, Tensor | None]:
    """Configurations and conditions of data that may be sorted by temperature, of which the last are held out."""
    rows = torch.from_numpy(generator(seed, "order of data").permutation(len(data.tokens)))
    return data.tokens[rows], None if data.condition is None else data.condition[rows]


def _described(target: AbstractTarget, options: TrainingOptions, seed: int) -> dict[str, Any]:
    """What a training is, as JSON values; of the system a hash, since it may have thousands of couplings."""
    system = json.dumps(target.space.to_dict(), sort_keys=True, default=str)
    described = {"seed": seed, **asdict(options), **target.place, "system": sha256(system.encode()).hexdigest()[:16]}
    return json.loads(json.dumps(described, default=float))


def _fresh(model: AbstractModel, options: TrainingOptions) -> TrainingState:
    # the fused update is not PyTorch's default on the CPU, where it is faster for a network of many small tensors
    fused = True if model.rank.device.type == "cpu" else None
    groups = [{"params": list(model.parameters())}]  # a list of weights must not be empty, the weights of a group may
    optimizer = torch.optim.Adam(groups, lr=options.learning_rate, fused=fused)
    return TrainingState(model, optimizer, MovingAverage(model, options.ema_decay) if options.ema_decay else None)


def _loop(state: TrainingState, objective: Objective, options: TrainingOptions, processes: Processes) -> Iterator[Step]:
    model, work = state.model, work_of(state.model, options.batch_size // processes.size)
    try:
        while state.step < options.steps:
            wait_passively()
            with thread_count(useful_threads(work)):  # not while the caller has the turn
                step = _step(state, objective, options, processes)
            yield step
    finally:
        model.eval()
        state.end()


def _step(state: TrainingState, objective: Objective, options: TrainingOptions, processes: Processes) -> Step:
    model, optimizer = state.model, state.optimizer
    factor = learning_rate_factor(state.step, options.steps, options.warmup, options.schedule)
    rate = options.learning_rate * factor
    for group in optimizer.param_groups:
        group["lr"] = rate
    loss, metrics = objective(state.step)
    optimizer.zero_grad(set_to_none=True)
    if loss.requires_grad:  # not for a model without weights
        loss.backward()
    loss = loss.detach()
    _add_up(processes, model, loss)
    norm = nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], options.clip_norm or math.inf)
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
    return Step(
        state.step,
        loss.item(),
        metrics | {"learning_rate": rate, "gradient_norm": norm.item()},
        state,
    )


def _add_up(processes: Processes, model: AbstractModel, loss: Tensor) -> None:
    """Replace the loss and the gradients of this process by their sums over all processes, in two messages."""
    if processes.size == 1:
        return
    gradients = [weights.grad for weights in model.parameters() if weights.grad is not None]
    if not gradients:  # a model without weights
        processes.add(loss)
        return
    message = torch.cat([gradient.flatten() for gradient in gradients])
    processes.add(message, loss)
    pieces = message.split([gradient.numel() for gradient in gradients])
    torch._foreach_copy_(gradients, [p.view_as(g) for p, g in zip(pieces, gradients, strict=True)])


def learning_rate_factor(step: int, steps: int, warmup: int, schedule: str) -> float:
    """Factor on the learning rate at a step counted from 0: linear warm-up, then constant or a cosine down to 0.01."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if schedule == "constant":
        return 1.0
    progress = (step - warmup) / max(1, steps - warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))
