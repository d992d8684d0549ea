"""The compiled kernels of a network, checked against its logits and kept by the network itself."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from latticear.models.multiscale.compiled import CompiledPhases
from latticear.models.multiscale.snapshot import Snapshot
from latticear.random_numbers import log_softmax
from latticear.sampling.probe import TOLERANCE, random_condition, random_probe

if TYPE_CHECKING:
    from latticear.models.multiscale.network import MultiscalePixelCNN

__all__ = ["TrustedKernels"]


class TrustedKernels:
    """Kernels that are built when first needed, and anew when anything but the weights of the network has changed.

    They are used only if, for a copy of the network with random weights, their results agree with its logits. Copying
    or loading a network does not copy the kernels: the new network builds its own.
    """

    def __init__(self) -> None:
        self._latest: _Checked | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return TrustedKernels, ()

    def of(self, model: MultiscalePixelCNN) -> CompiledPhases | None:
        """The kernels for the current state of the model that owns this object; None if PyTorch must compute it."""
        latest = self._latest
        if latest is None or not latest.snapshot.matches(model):
            latest = self._latest = self._built(model)
        if latest is None or not latest.kernels.fit():
            return None
        if latest.trusted is None:
            latest.trusted = _agree(model)
        return latest.kernels if latest.trusted else None

    def _built(self, model: MultiscalePixelCNN) -> _Checked | None:
        if (kernels := model.compiled()) is None:
            return None
        parts = [part for part in model.modules() if part is not model and not isinstance(part, nn.Linear)]
        return _Checked(kernels, Snapshot(model, parts, but=self))


class _Checked:
    """Kernels, a snapshot of the network they were built from, and whether they agree with it (None: not yet known)."""

    def __init__(self, kernels: CompiledPhases, snapshot: Snapshot) -> None:
        self.kernels, self.snapshot = kernels, snapshot
        self.trusted: bool | None = None


def _agree(model: MultiscalePixelCNN) -> bool:
    """Whether, on a copy with random weights, the results of the kernels agree with the logits; warns if not."""
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
    """The largest relative difference of log_q and its gradients between the kernels and the logits."""
    kernels = probe.compiled()
    assert kernels is not None
    generator = torch.Generator().manual_seed(1)
    u = torch.rand(4, math.prod(probe.shape), generator=generator, dtype=torch.float64)
    condition = _of_both_signs(probe, random_condition(probe, len(u), generator))
    probe.requires_grad_()
    drawn = kernels.draw(u, condition)
    log_p = log_softmax(probe.logits(drawn.tokens, condition).movedim(1, -1))
    stated = log_p.gather(-1, drawn.tokens[..., None]).flatten(1).sum(1)
    weights, tokens = stated.detach(), drawn.tokens.flatten(1)
    pairs = [(drawn.log_q, weights), (kernels.log_prob(tokens, None, condition), weights)]
    expected = torch.autograd.grad(stated, kernels.parameters, weights)
    pairs += zip(kernels.gradients(tokens, weights, condition), expected, strict=True)
    error = torch.stack([(a - b).abs().max() / (1 + b.abs().max()) for a, b in pairs]).max().item()
    return math.inf if math.isnan(error) else error


def _of_both_signs(probe: MultiscalePixelCNN, condition: Tensor | None) -> Tensor | None:
    """Conditions whose maps, like couplings, have both signs; a condition vector remains positive."""
    if condition is not None:
        condition[:, probe.n_condition :: 3] *= -1
    return condition
