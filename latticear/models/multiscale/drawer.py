"""What draws from a multiscale network: its kernels wherever they serve it, else PyTorch, phase by phase."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from latticear.sampling.reference import Drawn, Given

if TYPE_CHECKING:
    from latticear.models.multiscale.network import MultiscalePixelCNN

__all__ = ["PhaseDrawer"]


class PhaseDrawer:
    """Asks the network at every block whether its kernels serve it as it is then."""

    def __init__(self, model: MultiscalePixelCNN) -> None:
        self._model = model

    @property
    def block(self) -> int:
        """How many are drawn in one call, at most."""
        own, kernels = self._model.block[self._model.rank.device.type], self._model.kernels()
        return own if kernels is None else max(own, kernels.block)

    @property
    def padded(self) -> bool:
        """True without kernels: the rounding of PyTorch depends on how many are drawn."""
        return self._model.kernels() is None

    def draw(self, u: Tensor, condition: Tensor | None = None, given: Given | None = None) -> Drawn:
        """Draw from uniform numbers, float64 `(B, H W)`, but for the sites held fixed."""
        kernels = self._model.kernels()
        return self._model.draw_block(u, condition, given) if kernels is None else kernels.draw(u, condition, given)
