"""Unchecked configs as nested dictionaries, merged from TOML files, command-line options and overrides."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from latticear.checksums import NO_TEXT

__all__ = ["DIGEST", "Tree", "config_tree", "differences"]

Tree = dict[str, Any]

DIGEST = "couplings_digest"
"""The key of `[hamiltonian]` with the digest of the couplings in the file that the key `couplings` names."""


def config_tree(
    path: str | Path | None, overrides: Iterable[str] = (), values: Tree | None = None, base: Tree | None = None
) -> Tree:
    """Merge a TOML file, `values` and `overrides` into one unchecked config; the later ones take precedence.

    Args:
        path: path of the TOML file; None for no file.
        overrides: texts `section.key=value`, as `--set` takes them; the value is TOML, or a string without quotes.
        values: nested dictionary, such as command-line options.
        base: nested dictionary that is used in place of the file if there is no file.

    Raises:
        ValueError: for unreadable TOML or a malformed override.
        OSError: if the file cannot be read.
    """
    tree: Tree = copy.deepcopy(base or {})
    if path is not None:
        try:
            tree = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not valid TOML: {NO_TEXT}") from error
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path} is not valid TOML: {error}") from error
        _locate_couplings(tree, Path(path).parent)
    given = copy.deepcopy(values or {})
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"--set takes section.key=value, got {override!r}")
        branch: Any = _toml_value(text)
        for part in reversed(key.strip().split(".")):
            branch = {part: branch}
        if not isinstance(branch, dict):
            raise ValueError(f"--set takes section.key=value, got {override!r}")
        _merge(given, branch)
    _forget_couplings(tree, given)
    _merge(tree, given)
    return tree


def differences(requested: Tree, stored: Tree, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Keys whose requested value differs from the stored one: {dotted key: (requested, stored)}.

    Keys that are not requested are ignored.

    Example:
        >>> differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3, "d": 4}})
        {'a.c': (2, 3)}
    """
    changed: dict[str, tuple[Any, Any]] = {}
    for key, value in requested.items():
        if isinstance(value, dict) and isinstance(stored.get(key), dict):
            changed |= differences(value, stored[key], f"{prefix}{key}.")
        elif value != stored.get(key):
            changed[prefix + key] = value, stored.get(key)
    return changed


def _locate_couplings(tree: Tree, folder: Path) -> None:
    """Complete the path of a file of couplings in a config: it lies beside the config, or in the present folder."""
    section = tree.get("hamiltonian")
    name = section.get("couplings") if isinstance(section, dict) else None
    if isinstance(section, dict) and isinstance(name, str) and ((folder / name).exists() or not Path(name).exists()):
        section["couplings"] = str(folder / name)


def _forget_couplings(tree: Tree, given: Tree) -> None:
    """Remove the digest and the index of the couplings of a config, if others are given."""
    section, new = tree.get("hamiltonian"), given.get("hamiltonian")
    if isinstance(section, dict) and isinstance(new, dict) and "couplings" in new:
        for key in (DIGEST, "index"):
            section.pop(key, None)


def _merge(tree: Tree, branch: Tree) -> None:
    for key, value in branch.items():
        if isinstance(value, dict):
            if not isinstance(tree.get(key), dict):
                tree[key] = {}
            _merge(tree[key], value)
        else:
            tree[key] = value


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
