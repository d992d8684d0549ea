"""Which drawer serves a network: the compiled engine, the one of PyTorch, or the plain reference."""

from __future__ import annotations

import math
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from latticear.ancestral import Autoregressive, Drawn, Given, draw_reference
from latticear.engines.lowering import lower
from latticear.engines.native import NativeEngine
from latticear.engines.portable import Engine
from latticear.wavefront import raster_rank, schedule_of

__all__ = ["BLOCK", "METHODS", "Drawer", "drawer"]

BLOCK = {"cpu": 256, "cuda": 4096}
"""Configurations that PyTorch draws together, at most, by device type."""

SHARE = 8
"""The rings take at most one part in so many of a CUDA device's memory."""

METHODS = ("wavefront", "reference")
"""Ways to draw, by name; all give the same tokens for the same uniform numbers."""

_engines: WeakKeyDictionary[Any, dict[Any, Drawer | None]] = WeakKeyDictionary()


class Drawer(Protocol):
    """Draws configurations, a block at a time."""

    @property
    def block(self) -> int:
        """How many are drawn in one call, at most."""

    @property
    def padded(self) -> bool:
        """True if the rounding depends on how many are drawn, so that a block must always be full."""

    def draw(self, u: Tensor, condition: Tensor | None = None, given: Given | None = None) -> Drawn:
        """Draw from uniform numbers, float64 `(B, C H W)`, but for the sites held fixed."""


class Reference:
    """One pass of the whole network for each rank."""

    padded = True

    def __init__(self, model: Autoregressive) -> None:
        self._model = model
        self.block = BLOCK[model.rank.device.type]

    def draw(self, u: Tensor, condition: Tensor | None = None, given: Given | None = None) -> Drawn:
        return draw_reference(self._model, u, condition, given)


def drawer(model: Autoregressive, method: str = "wavefront") -> Drawer:
    """What draws from a model by a method of `METHODS`.

    A network that no engine can serve (one that is not traced, components, an order of its own) is drawn
    by the reference.
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    first = next((weight for module in modules for weight in module.parameters(False)), None)
    if method == "reference" or first is None:
        return Reference(model)
    found = _engines.setdefault(model, {})
    key = (first.device, first.dtype, *map(id, modules))  # another module would be another network
    if key not in found:
        found[key] = _engine(model, first)
    return found[key] or Reference(model)


def _engine(model: Any, like: Tensor) -> Drawer | None:
    schedule = schedule_of(model) if model.n_components == 1 else None
    if schedule is None or not schedule.in_time:
        return None
    if not torch.equal(model.rank.cpu(), raster_rank(model.shape, schedule.slope)):
        return None
    nodes = lower(schedule, like)
    if nodes is not None:
        return NativeEngine(model, schedule, nodes)
    block = BLOCK[like.device.type]
    if like.device.type == "cuda":
        room = torch.cuda.get_device_properties(like.device).total_memory // SHARE
        block = min(block, 2 ** int(math.log2(max(1, room // Engine(model, schedule, 1, like).memory))))
    return Engine(model, schedule, block, like)
