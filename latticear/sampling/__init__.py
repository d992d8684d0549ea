"""What draws configurations from a network: the compiled wavefront, the one in PyTorch, and the plain reference."""

from latticear import deprecated
from latticear.sampling.choice import BLOCK, METHODS, Drawer, Reference, drawer, kernels_of
from latticear.sampling.native import NativeEngine
from latticear.sampling.torch_engine import Engine

__all__ = ["BLOCK", "METHODS", "Drawer", "Engine", "NativeEngine", "Reference", "drawer", "kernels_of"]

deprecated.keep_names(__name__)
