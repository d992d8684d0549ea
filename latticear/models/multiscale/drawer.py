"""The sampler of a multiscale network: its compiled kernels where they support the network, otherwise PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from latticear.sampling.reference import Drawn, Given

if TYPE_CHECKING:
    from latticear.models.multiscale.network import MultiscalePixelCNN

__all__ = ["PhaseDrawer"]


class PhaseDrawer:
    """Draws phase by phase; checks at every block whether the kernels support the current state of the network."""

    def __init__(self, model: MultiscalePixelCNN) -> None:
        self._model = model

    @property
    def block(self) -> int:
        """The largest number of configurations drawn in one call."""
        own, kernels = self._model.block[self._model.rank.device.type], self._model.kernels()
        return own if kernels is None else max(own, kernels.block)

    @property
    def padded(self) -> bool:
        """Whether each block is padded to the full size, where PyTorch computes: its rounding depends on the size."""
        kernels = self._model.kernels()
        return kernels is None or kernels.depends_on_number

    def draw(self, u: Tensor, condition: Tensor | None = None, given: Given | None = None) -> Drawn:
        """Draw configurations from uniform numbers, float64 `(B, H W)`; sites held fixed keep their tokens."""
        kernels = self._model.kernels()
        return self._model.draw_block(u, condition, given) if kernels is None else kernels.draw(u, condition, given)
