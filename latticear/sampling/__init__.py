"""Samplers that draw configurations from a network: the wavefront in C or in PyTorch, and a plain reference loop."""

from latticear import deprecated
from latticear.sampling.choice import BLOCK, SAMPLING_METHODS, InBlocks, Reference, drawer
from latticear.sampling.native import NativeEngine
from latticear.sampling.reference import Drawer
from latticear.sampling.torch_engine import Engine

__all__ = ["BLOCK", "SAMPLING_METHODS", "Drawer", "Engine", "InBlocks", "NativeEngine", "Reference", "drawer"]

deprecated.keep_names(__name__)
