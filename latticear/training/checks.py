"""Whether the arguments of a training fit together."""

from __future__ import annotations

import difflib

from torch import Tensor

from latticear.arguments import check_seed
from latticear.hamiltonians import (
    AbstractHamiltonian,
    EdwardsAndersonDisorder,
    TemperatureRange,
    temperature_or_range,
)
from latticear.models import AbstractModel
from latticear.spaces import ConfigurationSpace

__all__ = ["OBJECTIVES", "SCHEDULES", "check_condition", "check_fit", "check_optimizer", "check_target"]

OBJECTIVES = ("reverse-kl", "forward-kl", "forward-reverse-kl")
SCHEDULES = ("cosine", "constant")


def check_target(
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


def check_condition(
    model: AbstractModel,
    energy: AbstractHamiltonian | None,
    served: float | TemperatureRange | None,
    objective: str,
    condition: Tensor | None,
) -> None:
    """Whether what comes with configurations is what the model takes."""
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


def check_fit(
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
    """Whether model and target fit, and the numbers are in their ranges."""
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


def check_optimizer(learning_rate: float, warmup: int, clip_norm: float, evaluate_every: int) -> None:
    """Whether the numbers of the optimiser are in their ranges."""
    if not 0 < learning_rate <= 1e30:
        raise ValueError(f"learning_rate must be positive and finite, got {learning_rate}")
    if not clip_norm >= 0:
        raise ValueError(f"clip_norm must not be negative (0 for no clipping), got {clip_norm}")
    if warmup < 0 or evaluate_every < 1:
        raise ValueError(
            f"warmup must not be negative and evaluate_every be at least 1, got {warmup} and {evaluate_every}"
        )
