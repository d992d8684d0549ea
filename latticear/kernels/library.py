"""Loads the compiled kernels, C sources in `latticear/kernels` that are built at installation if a compiler exists."""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch  # noqa: F401  # before the kernels, which then use the same thread pool

from latticear.kernels.structures import FUNCTIONS, INTERFACE, STRUCTURES

__all__ = ["instruction_sets", "library"]


@cache
def library() -> Any:
    """The compiled kernels as a ctypes library, or None if they were not built.

    Raises:
        RuntimeError: if they were built from another version of the sources than the one installed.
    """
    spec = find_spec("latticear._native")
    if spec is None or spec.origin is None:
        return None
    kernels = ctypes.CDLL(spec.origin)
    interface = getattr(kernels, "latticear_interface", None)
    if interface is None or interface() != INTERFACE:
        raise _foreign(spec.origin)
    for name, (result, *arguments) in FUNCTIONS.items():
        function = getattr(kernels, name)
        function.restype, function.argtypes = result, arguments
    for mirror in STRUCTURES:
        size, built = ctypes.sizeof(mirror), kernels.latticear_size_of(mirror.__name__.encode())
        if built != size:
            raise _foreign(spec.origin, f": its {mirror.__name__} has {built} bytes, that of this version {size}")
    return kernels


def _foreign(path: str, why: str = "") -> RuntimeError:
    return RuntimeError(f"{path} was built from another version of latticear; install latticear again{why}")


def instruction_sets() -> list[str]:
    """Names of the instruction sets that the kernels can use on this machine, fastest last; empty without kernels."""
    kernels = library()
    if kernels is None:
        return []
    return [kernels.latticear_instruction_set(k).decode() for k in range(kernels.latticear_instruction_sets())]
