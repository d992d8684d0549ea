"""Loads the compiled kernels, C sources in `latticear/kernels` that are built at installation if a compiler exists."""

from __future__ import annotations

import ctypes
import sys
import warnings
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch  # before the kernels, which then use the same thread pool

from latticear.kernels.structures import FUNCTIONS, INTERFACE, STRUCTURES

__all__ = ["KernelsWarning", "instruction_sets", "library", "library_for"]


AGAIN = "pip install --force-reinstall --no-deps --no-binary latticear latticear"
"""What compiles the kernels of an installed package; in a checkout, `pip install .` does."""


class KernelsWarning(UserWarning):
    """The compiled kernels are missing: PyTorch and NumPy do their work."""


@cache
def library() -> Any:
    """The compiled kernels as a ctypes library, or None if they were not built or cannot be loaded.

    Raises:
        RuntimeError: if they were built from another version of the sources than the one installed.
    """
    path = _path()
    if path is None or isinstance(kernels := _open(path), str):
        return None
    interface = getattr(kernels, "latticear_interface", None)
    if interface is None or interface() != INTERFACE:
        raise _foreign(path)
    for name, (result, *arguments) in FUNCTIONS.items():
        function = getattr(kernels, name)
        function.restype, function.argtypes = result, arguments
    for mirror in STRUCTURES:
        size, built = ctypes.sizeof(mirror), kernels.latticear_size_of(mirror.__name__.encode())
        if built != size:
            raise _foreign(path, f": its {mirror.__name__} has {built} bytes, that of this version {size}")
    return kernels


def library_for(device: torch.device) -> Any:
    """The compiled kernels for work on a device, or None: it is no CPU, or they are missing, which is said once."""
    if device.type != "cpu":
        return None
    if library() is None:
        _say_missing()
    return library()


@cache
def _say_missing() -> None:
    path = _path()
    why = "there was no C compiler when it was installed" if path is None else f"they cannot be loaded: {_open(path)}"
    remedy = f"install gcc or clang, and then latticear again: {AGAIN}"
    if sys.platform == "win32":
        why, remedy = "there are none for Windows", "use the Windows Subsystem for Linux"
    warnings.warn(
        f"latticear has no compiled kernels ({why}): sampling on the CPU is slower; to make it fast, {remedy}",
        KernelsWarning,
        stacklevel=4,
    )


def _path() -> str | None:
    spec = find_spec("latticear.kernels._native")
    return None if spec is None else spec.origin


@cache
def _open(path: str) -> ctypes.CDLL | str:
    """The library at a path, or why it cannot be loaded."""
    with suppress(OSError):
        return ctypes.CDLL(path)  # with the threads of PyTorch
    with suppress(OSError):
        ctypes.CDLL("libgomp.so.1", ctypes.RTLD_GLOBAL)
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        return str(error)


def _foreign(path: str, why: str = "") -> RuntimeError:
    return RuntimeError(f"{path} was built from another version of latticear; install latticear again{why}")


def instruction_sets() -> list[str]:
    """Names of the instruction sets that the kernels can use on this machine, fastest last; empty without kernels."""
    kernels = library()
    if kernels is None:
        return []
    return [kernels.latticear_instruction_set(k).decode() for k in range(kernels.latticear_instruction_sets())]
