"""The compiled kernels (`latticear/kernels`, C), built when the package is installed, where there is a compiler."""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch  # noqa: F401  # first: the kernels then share its threads

from latticear.kernels.structures import FUNCTIONS, INTERFACE, STRUCTURES

__all__ = ["instruction_sets", "library"]


@cache
def library() -> Any:
    """The compiled kernels, or None where they were not built.

    Raises:
        RuntimeError: if they were built from other sources than those installed.
    """
    found = find_spec("latticear._native")
    if found is None or found.origin is None:
        return None
    kernels = ctypes.CDLL(found.origin)
    interface = getattr(kernels, "latticear_interface", None)
    if interface is None or interface() != INTERFACE:
        raise _foreign(found.origin)
    for name, (result, *arguments) in FUNCTIONS.items():
        function = getattr(kernels, name)
        function.restype, function.argtypes = result, arguments
    for mirror in STRUCTURES:
        size, built = ctypes.sizeof(mirror), kernels.latticear_size_of(mirror.__name__.encode())
        if built != size:
            raise _foreign(found.origin, f": its {mirror.__name__} has {built} bytes, that of this version {size}")
    return kernels


def _foreign(path: str, why: str = "") -> RuntimeError:
    return RuntimeError(f"{path} was built from another version of latticear; install latticear again{why}")


def instruction_sets() -> list[str]:
    """Those that the compiled kernels can use on this machine, the fastest last; none if they were not built."""
    kernels = library()
    if kernels is None:
        return []
    return [kernels.latticear_instruction_set(k).decode() for k in range(kernels.latticear_instruction_sets())]
