"""The compiled kernels (`latticear/kernels`, C), built when the package is installed, where there is a compiler."""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch  # noqa: F401  # first: the kernels then share its threads

__all__ = ["instruction_sets", "library"]

INTERFACE = 8
"""Of kernels/program.h: what is declared here and in `latticear.sampling.lowering` fits these sources only."""

_INTEGER, _REAL, _POINTER = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "latticear_interface": (_INTEGER,),
    "latticear_instruction_sets": (_INTEGER,),
    "latticear_instruction_set": (ctypes.c_char_p, _INTEGER),
    "latticear_size_of_work": (_INTEGER, _POINTER, _INTEGER, _INTEGER),
    "latticear_draw": (None, _POINTER, _POINTER, *(_INTEGER,) * 4, _POINTER),
    "latticear_patches_size": (_INTEGER, _POINTER, *(_INTEGER,) * 2),
    "latticear_patches_draw": (None, *(_POINTER,) * 2, *(_INTEGER,) * 3, _POINTER),
    "latticear_patches_learn": (None, _POINTER, _INTEGER, *(_POINTER,) * 4, *(_INTEGER,) * 3, _POINTER),
    "latticear_uniforms": (None, *(ctypes.c_uint64,) * 3, _INTEGER, _INTEGER, _POINTER),
    "latticear_swendsen_wang": (None, *(_INTEGER,) * 3, *(_POINTER,) * 8),
    "latticear_wolff": (_INTEGER, *(_INTEGER,) * 3, _REAL, *(_POINTER,) * 8),
}
"""Of the result and the arguments, as in the sources."""


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
        raise RuntimeError(f"{found.origin} was built from another version of latticear; install latticear again")
    for name, (result, *arguments) in _SIGNATURES.items():
        function = getattr(kernels, name)
        function.restype, function.argtypes = result, arguments
    return kernels


def instruction_sets() -> list[str]:
    """Those that the compiled kernels can use on this machine, the fastest last; none if they were not built."""
    kernels = library()
    if kernels is None:
        return []
    return [kernels.latticear_instruction_set(k).decode() for k in range(kernels.latticear_instruction_sets())]
