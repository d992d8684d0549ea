"""Samplers that draw configurations from a network: the wavefront in C or in PyTorch, and a plain reference loop."""

from latticear.sampling.choice import BLOCK, METHODS, Drawer, Reference, drawer, kernels_of
from latticear.sampling.native import NativeEngine
from latticear.sampling.torch_engine import Engine

__all__ = ["BLOCK", "METHODS", "Drawer", "Engine", "NativeEngine", "Reference", "drawer", "kernels_of"]
