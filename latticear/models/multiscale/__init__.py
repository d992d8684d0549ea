"""The multiscale network: it draws sites scale by scale, in O(log L) phases, with exact conditionals where it can."""

from latticear.models.multiscale.network import MultiscalePixelCNN

__all__ = ["MultiscalePixelCNN"]
