"""Every engine that serves a network, for tests that hold one against the other."""

import torch

from latticear.kernels.library import instruction_sets
from latticear.models import AbstractModel
from latticear.sampling.choice import _engine
from latticear.sampling.native import NativeEngine
from latticear.sampling.reference import Drawer, Drawn, Given
from latticear.sampling.schedule import schedule_of
from latticear.sampling.torch_engine import Engine

__all__ = ["draw_by_all", "engines"]


def engines(model: AbstractModel, n: int) -> list[Drawer]:
    """PyTorch's engine for blocks of n, and the compiled one where it was built and knows the network."""
    chosen = _engine(model)
    assert isinstance(chosen, Engine | NativeEngine)
    portable = Engine(model, schedule_of(model), n, next(model.parameters()))
    return [portable, chosen] if isinstance(chosen, NativeEngine) else [portable]


def draw_by_all(
    model: AbstractModel,
    u: torch.Tensor,
    given: Given | None = None,
    native: bool = True,
    condition: torch.Tensor | None = None,
) -> Drawn:
    """The draw that all engines agree on, token for token; `native`: the compiled one is among them."""
    found = engines(model, len(u))
    assert not native or not instruction_sets() or len(found) == 2
    first, *others = [engine.draw(u, condition, given) for engine in found]
    for other in others:
        assert torch.equal(other.tokens, first.tokens)
        assert (other.log_q - first.log_q).abs().max() < 1e-10
        assert (other.log_q_given - first.log_q_given).abs().max() < 1e-10
    return first
