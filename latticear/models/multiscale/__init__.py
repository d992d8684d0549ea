"""The multiscale network: sites drawn scale by scale, in O(log L) phases, and what follows from the energy alone."""

from latticear.models.multiscale.network import MultiscalePixelCNN

__all__ = ["MultiscalePixelCNN"]
