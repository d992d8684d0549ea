"""What draws configurations from a network: the compiled wavefront, the one in PyTorch, and the plain reference."""

from latticear.engines.choice import BLOCK, METHODS, Drawer, Reference, drawer, kernels_of
from latticear.engines.native import NativeEngine
from latticear.engines.portable import Engine

__all__ = ["BLOCK", "METHODS", "Drawer", "Engine", "NativeEngine", "Reference", "drawer", "kernels_of"]
