"""Random configurations, conditions and weights for the checks of a network, comparisons, and the error of a check."""

from __future__ import annotations

import math
from typing import NoReturn

import torch
from torch import Tensor

from latticear.exact import all_configurations
from latticear.lattice import configuration_size
from latticear.models import AbstractModel
from latticear.sampling.probe import probe_of, random_condition

__all__ = [
    "MAX_ENUMERATED",
    "TOLERANCE",
    "conditions_for",
    "difference",
    "every_configuration",
    "fail",
    "log_prob_of",
    "peaked",
    "random_tokens",
    "worst_pair",
]

MAX_ENUMERATED = 2**17
"""Largest number of configurations whose probabilities are summed."""

TOLERANCE = 1e-10
"""Largest accepted difference between two log-probabilities, relative to them if their size is above one."""

CHUNK = 8192
"""Number of configurations whose log-probabilities are computed in one call."""


def peaked(model: AbstractModel, scale: float = 1.0, seed: int = 0) -> AbstractModel:
    """A float64 copy with large random weights, in evaluation mode; the model itself is not changed."""
    generator = torch.Generator().manual_seed(seed)
    probe: AbstractModel = probe_of(model)
    with torch.no_grad():
        for weight in probe.parameters():
            if weight.is_floating_point():
                fan_in = weight[0].numel() if weight.ndim > 1 else 1
                weight.copy_(torch.randn(weight.shape, generator=generator) * scale * (2 / fan_in) ** 0.5)
    return probe


def every_configuration(model: AbstractModel, most: int = MAX_ENUMERATED) -> Tensor | None:
    """All configurations of a model, components included; None if there are more than `most`."""
    size = configuration_size(model.shape, model.n_components)
    if model.n_tokens > 256 or model.n_tokens ** math.prod(size) > most:
        return None
    height, width = model.shape
    return all_configurations((model.n_components * height, width), model.n_tokens).view(-1, *size)


def random_tokens(model: AbstractModel, n: int, seed: int = 0) -> Tensor:
    """n configurations, all that the model may draw equally probable: int64 `(n, H, W)`, or `(n, C, H, W)`."""
    size = configuration_size(model.shape, model.n_components)
    if model.composition is not None:
        counts = torch.tensor(model.composition)
        places = torch.rand(n, math.prod(size), generator=torch.Generator().manual_seed(seed)).argsort(1)
        return torch.repeat_interleave(torch.arange(model.n_tokens), counts)[places].view(n, *size)
    return torch.randint(model.n_tokens, (n, *size), generator=torch.Generator().manual_seed(seed))


def conditions_for(model: AbstractModel, n: int, seed: int = 0) -> Tensor | None:
    """A random condition for each of n configurations; None for a model that takes no condition."""
    return random_condition(model, n, torch.Generator().manual_seed(seed))


@torch.no_grad()
def log_prob_of(model: AbstractModel, tokens: Tensor, condition: Tensor | None) -> Tensor:
    """The model's log-probability of each configuration, `(n,)`; a single condition row holds for all of them."""
    return torch.cat(
        [
            model.log_prob(part, condition if condition is None or len(condition) == 1 else condition[begin:][:CHUNK])
            for begin, part in zip(range(0, len(tokens), CHUNK), tokens.split(CHUNK), strict=True)
        ]
    )


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest `|found - expected| / (1 + |expected|)`; infinite if some number is nan."""
    off = ((found - expected).abs() / (1 + expected.abs())).nan_to_num(math.inf, math.inf)
    return float(torch.where(found == expected, 0, off).max())


def worst_pair(found: Tensor, expected: Tensor) -> str:
    """A text with the two numbers that differ most."""
    off = torch.where(found == expected, 0, (found - expected).abs().nan_to_num(math.inf, math.inf))
    k = int(off.argmax())
    return f"{found[k]:.10g} instead of {expected[k]:.10g}"


def fail(model: AbstractModel, text: str, cause: BaseException | None = None) -> NoReturn:
    """Raise an AssertionError that begins with the class name of the model."""
    raise AssertionError(f"{type(model).__name__}: {text}") from cause
