"""The choice of the sampler of a network: its own, the compiled engine, the PyTorch engine, or the plain reference."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from latticear.sampling.lowering import lower
from latticear.sampling.modes import evaluating
from latticear.sampling.native import NativeEngine
from latticear.sampling.probe import TOLERANCE, random_condition, random_probe
from latticear.sampling.reference import Autoregressive, Drawer, Drawn, Given, draw_reference
from latticear.sampling.schedule import Schedule, raster_rank, schedule_of
from latticear.sampling.torch_engine import Engine

__all__ = ["BLOCK", "SAMPLING_METHODS", "InBlocks", "Reference", "drawer"]

BLOCK = {"cpu": 256, "cuda": 4096}
"""Largest number of configurations that PyTorch draws together, by device type."""

SHARE = 8
"""The buffers of the engine may take up to 1/SHARE of the memory of a CUDA device."""

SAMPLING_METHODS = ("wavefront", "reference")
"""Names of the sampling methods; both give the same tokens for the same uniform numbers."""

_engines: WeakKeyDictionary[Any, tuple[Any, Drawer | None]] = WeakKeyDictionary()


class InBlocks:
    """A sampler in PyTorch that draws blocks of one size, the last one padded, since rounding depends on the size.

    Args:
        draw: a function that draws one block from uniform numbers `(B, C H W)`, conditions or None, and sites held
            fixed or None.
        block: number B of configurations in a block.
    """

    padded = True

    def __init__(self, draw: Callable[[Tensor, Tensor | None, Given | None], Drawn], block: int) -> None:
        self._draw, self.block = draw, block

    def draw(self, u: Tensor, condition: Tensor | None = None, given: Given | None = None) -> Drawn:
        return self._draw(u, condition, given)


class Reference(InBlocks):
    """The plain reference sampler: one pass of the whole network for each rank."""

    def __init__(self, model: Autoregressive) -> None:
        super().__init__(partial(draw_reference, model), BLOCK[model.rank.device.type])


def drawer(model: Autoregressive, method: str = "wavefront") -> Drawer:
    """The sampler of a model for a method of `SAMPLING_METHODS`.

    A network may have a sampler of its own. The reference draws networks that no engine supports, because they cannot
    be traced or their order is not that of the raster. An engine is used only if, for a copy of the network with random
    weights, its log_q agrees with `log_prob`; it is built anew when anything but the weights of the network has
    changed.

    Raises:
        ValueError: for a network whose layers read tokens of their own or later sites.
    """
    if method == "reference":
        return Reference(model)
    if (own := model.own_drawer()) is not None:
        return own
    if not isinstance(model, nn.Module) or next(model.parameters(), None) is None:
        return Reference(model)
    key, cached = _signature(model), _engines.get(model)
    if cached is None or cached[0] != key:
        with torch.inference_mode(False), torch.no_grad(), evaluating(model):
            cached = _engines[model] = (key, _engine(model))
    return cached[1] or Reference(model)


def _signature(model: nn.Module) -> Any:
    """Everything that tracing depends on except the weights: modules, their attributes, buffers and hooks."""
    first = next(model.parameters())
    parts: list[Any] = [first.device, first.dtype]
    modules: list[nn.Module] = [model]
    while modules:  # several times as fast as model.modules(), which matters since this runs at every draw
        module = modules.pop()
        modules += (child for child in module._modules.values() if child is not None)
        plain = [(name, _trace_of(value)) for name, value in vars(module).items() if name not in _OF_TORCH]
        buffers = [
            (b.data_ptr(), 0 if b.is_inference() else b._version) for b in module._buffers.values() if b is not None
        ]
        hooks = len(module._forward_hooks) + len(module._forward_pre_hooks)
        parts.append((id(module), *plain, *buffers, hooks))
    return tuple(parts)


_OF_TORCH = frozenset(vars(nn.Module()))
"""Attributes of every module, which are not compared as plain values: parameters, buffers, children and the mode."""

_PLAIN = (int, float, str, bool, tuple, list, dict, type(None))


def _trace_of(value: Any) -> Any:
    """A key that changes with a value: its repr if it is plain, else its identity and its own plain attributes."""
    if isinstance(value, _PLAIN):
        return repr(value)
    within = {} if isinstance(value, nn.Module | Tensor) else getattr(value, "__dict__", {})
    return id(value), *((name, repr(v)) for name, v in within.items() if isinstance(v, _PLAIN))


def _engine(model: Any) -> Drawer | None:
    schedule = schedule_of(model)
    if schedule is None:
        return None
    if not schedule.in_time:
        if any(node.is_incremental for node in schedule.graph.nodes):
            return None
        raise ValueError(
            f"{type(model).__name__} is not autoregressive: its layers read the token of their own site or of later "
            f"ones; la.check_autoregressive(model) names the sites"
        )
    if not torch.equal(model.rank.cpu(), raster_rank(model.shape, schedule.slope)):
        return None
    try:
        probe = random_probe(model)
        worst = max(_error(engine, probe) for engine in _built(probe, schedule_of(probe), 4))
    except Exception as error:  # a network from outside the package may fail, or may have been traced wrongly
        worst, reason = math.inf, f"an engine raised {type(error).__name__}: {error}"
    else:
        reason = f"an engine's log_q is off by {worst:.1e}"
    if worst > TOLERANCE:
        warnings.warn(
            f"{type(model).__name__} is drawn by the reference, slowly: {reason}. See 'Add a model' in CONTRIBUTING.md",
            stacklevel=2,
        )
        return None
    return _built(model, schedule, None)[0]


def _error(engine: Drawer, probe: Any) -> float:
    """The largest difference, over four configurations, of the engine's log_q from `log_prob`, relative to it."""
    generator = torch.Generator().manual_seed(1)
    u = torch.rand(4, probe.n_components * math.prod(probe.shape), generator=generator, dtype=torch.float64)
    condition = random_condition(probe, 4, generator)
    drawn = engine.draw(u, condition)
    stated = probe.log_prob(drawn.tokens, condition)
    error = ((drawn.log_q - stated) / (1 + stated.abs())).abs().max().item()
    return math.inf if math.isnan(error) else error


def _built(model: Any, schedule: Schedule | None, block: int | None) -> list[Drawer]:
    """The engines that support a model of this schedule, the fastest first.

    `block` is the number of configurations that the engine in PyTorch draws together; None for the usual number.
    """
    assert schedule is not None
    like = next(model.parameters())
    bias = model.bias  # of the kernels: for one token at each site, and free composition
    unsupported = bias is not None and (bias.n_components > 1 or bias.in_raster_order)
    unsupported |= model.composition is not None
    nodes = None if unsupported else lower(schedule, like)
    native: list[Drawer] = [] if nodes is None else [NativeEngine(model, schedule, nodes)]
    if native and block is None:
        return native
    if block is None:
        block = BLOCK[like.device.type]
        if like.device.type == "cuda":
            room = torch.cuda.get_device_properties(like.device).total_memory // SHARE
            block = min(block, 2 ** int(math.log2(max(1, room // Engine(model, schedule, 1, like).memory))))
    return [*native, Engine(model, schedule, block, like)]
