"""Checks of arguments, which raise ValueError with the name of the argument."""

from __future__ import annotations

import difflib
import inspect
import operator
from collections.abc import Iterable
from importlib import import_module
from typing import Any

__all__ = ["check_integer", "check_keywords", "check_seed", "described", "did_you_mean", "needed_package"]


def check_integer(name: str, value: int | None, *, least: int, default: int | None = None) -> int:
    """Return an argument (its default if it is None); raise ValueError unless it is an integer of at least `least`."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(default if value is None else value)  # type: ignore[arg-type]
    except TypeError as error:
        raise ValueError(f"{name} must be an integer, got {value!r}") from error
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number


def check_seed(seed: int) -> int:
    """A seed, of everything random; ValueError unless it is an integer in [0, 2^64)."""
    try:
        number = -1 if isinstance(seed, bool) else operator.index(seed)
    except TypeError:
        number = -1
    if not 0 <= number < 2**64:
        raise ValueError(f"seed must be an integer in [0, 2^64), got {seed!r}")
    return number


def did_you_mean(name: object, valid: Iterable[str]) -> str:
    """The end of a message about an unknown name: asks for the most similar valid one; empty if none is similar."""
    near = difflib.get_close_matches(str(name), list(valid), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def check_keywords(cls: type, given: Iterable[str], also: Iterable[str] = ()) -> None:
    """Raise TypeError if a class is built with keyword arguments that it does not take; suggests the most similar.

    Args:
        cls: the class.
        given: names of the keyword arguments.
        also: names that the class takes besides those in its signature.
    """
    parameters = [*inspect.signature(cls).parameters, *also]
    for name in given:
        if name not in parameters:
            hint = did_you_mean(name, parameters) or f"; it takes {', '.join(parameters)}"
            raise TypeError(f"{cls.__name__} has no argument {name!r}{hint}")


def described(value: object) -> str:
    """An object of the wrong kind, for a message: its type, and its shape or its repr if that is short."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"{type(value).__name__} of shape {tuple(shape)}"
    text = repr(value)
    return f"{type(value).__name__} {text}" if len(text) <= 60 and "<" not in text else f"{type(value).__name__}"


def needed_package(name: str, what: str) -> Any:
    """Import a package that latticear does not depend on.

    Raises:
        ImportError: if it is not installed; says how to install it.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError(f"{what} needs {name}, which is not installed: pip install {name}") from error
