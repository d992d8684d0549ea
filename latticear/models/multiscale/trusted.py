"""The compiled kernels of a network, held by the network itself."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from latticear.models.multiscale.compiled import CompiledPhases
from latticear.models.multiscale.snapshot import Snapshot
from latticear.random_numbers import log_softmax
from latticear.sampling.probe import TOLERANCE, random_probe

if TYPE_CHECKING:
    from latticear.models.multiscale.network import MultiscalePixelCNN

__all__ = ["TrustedKernels"]


class TrustedKernels:
    """Kernels that are built when they are first asked for, and anew when more than the weights has changed.

    They are trusted if on a copy with random weights they do what its logits state. A copy of the network, or one that
    is loaded, has none of them, and builds its own.
    """

    def __init__(self) -> None:
        self._held: _Held | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return TrustedKernels, ()

    def of(self, model: MultiscalePixelCNN) -> CompiledPhases | None:
        """Those that serve the model which holds this, as it is now; None if none can be trusted to."""
        held = self._held
        if held is None or not held.snapshot.shows(model):
            held = self._held = self._built(model)
        if held is None or not held.kernels.fit():
            return None
        if held.trusted is None:
            held.trusted = _agree(model)
        return held.kernels if held.trusted else None

    def _built(self, model: MultiscalePixelCNN) -> _Held | None:
        if (kernels := model.compiled()) is None:
            return None
        parts = [part for part in model.modules() if part is not model and not isinstance(part, nn.Linear)]
        return _Held(kernels, Snapshot(model, parts, but=self))


class _Held:
    """Kernels, what they were built from, and whether they are trusted; None before they are first needed."""

    def __init__(self, kernels: CompiledPhases, snapshot: Snapshot) -> None:
        self.kernels, self.snapshot = kernels, snapshot
        self.trusted: bool | None = None


def _agree(model: MultiscalePixelCNN) -> bool:
    """Whether kernels do on a copy with random weights what its logits state; warns if not."""
    with torch.inference_mode(False):
        worst = _disagreement(random_probe(model))
    if worst > TOLERANCE:
        warnings.warn(
            f"{type(model).__name__} is drawn and trained by PyTorch, slowly: its kernels are off by {worst:.1e}",
            stacklevel=2,
        )
    return worst <= TOLERANCE


@torch.enable_grad()
def _disagreement(probe: MultiscalePixelCNN) -> float:
    """How far log_q and gradients of a few configurations are from those of the logits, relative to them."""
    kernels = probe.compiled()
    assert kernels is not None
    u = torch.rand(4, math.prod(probe.shape), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    probe.requires_grad_()
    drawn = kernels.draw(u)
    log_p = log_softmax(probe.logits(drawn.tokens).movedim(1, -1))
    stated = log_p.gather(-1, drawn.tokens[..., None]).flatten(1).sum(1)
    weights = stated.detach()
    pairs = [(drawn.log_q, weights), (kernels.log_prob(drawn.tokens.flatten(1)), weights)]
    expected = torch.autograd.grad(stated, kernels.parameters, weights)
    pairs += zip(kernels.gradients(drawn.tokens.flatten(1), weights), expected, strict=True)
    error = torch.stack([(a - b).abs().max() / (1 + b.abs().max()) for a, b in pairs]).max().item()
    return math.inf if math.isnan(error) else error
