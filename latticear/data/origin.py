"""Checks that a file holds configurations of the system at hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from latticear.data.format import FORMAT_VERSION, decode_attributes, short_repr
from latticear.spaces import ConfigurationSpace

__all__ = ["check_format", "check_origin", "check_states", "is_ours"]


def check_origin(path: Path, stored: Mapping[str, Any], space: ConfigurationSpace) -> None:
    """Check which Hamiltonian or grid the attributes of a file state; a file that states none passes.

    A grid accepts images and configurations of any Hamiltonian, as long as every value is one of its own.

    Raises:
        ValueError: if the file is for another Hamiltonian or grid.
    """
    if is_ours(stored):
        check_format(path, stored)
    declared, given = stored.get(space.kind), decode_attributes({"": space.to_dict()})[""]
    if isinstance(declared, dict) and declared != given:
        what = "grid" if space.kind == "grid" else "Hamiltonian"
        raise ValueError(f"{path} holds configurations of another {what}: {_differences(declared, given)}")


def is_ours(stored: Mapping[str, Any]) -> bool:
    """Whether the attributes are those of a file that latticear wrote."""
    return "format_version" in stored and ("hamiltonian" in stored or "grid" in stored)


def check_format(path: Path, stored: Mapping[str, Any]) -> None:
    """Check that this version of latticear can read a file that latticear wrote.

    Raises:
        ValueError: if latticear did not write the file, or a later version did.
    """
    version = stored.get("format_version")
    if version is None:
        raise ValueError(f"{path} was not written by latticear; load_configurations reads any file of configurations")
    if isinstance(version, bool) or not isinstance(version, int | float) or version % 1:
        raise ValueError(f"{path}: the attribute format_version must be a whole number, got {version!r}")
    if version > FORMAT_VERSION:
        raise ValueError(f"{path} has format {version:g}, this latticear reads up to {FORMAT_VERSION}: update it")


def check_states(path: Path, states: Any, space: ConfigurationSpace) -> None:
    """Raise ValueError if the tokens of a file stand for other values than those of a system; None passes."""
    if states is not None and not np.array_equal(states[()], space.states.cpu()):
        raise ValueError(
            f"{path} has the states {states[()].tolist()}, {type(space).__name__} has {space.states.tolist()}"
        )


def _differences(stored: dict[str, Any], given: dict[str, Any]) -> str:
    names = [name for name in {**given, **stored} if stored.get(name) != given.get(name)]
    return ", ".join(
        f"{name} {short_repr(stored.get(name))} instead of {short_repr(given.get(name))}" for name in names
    )
