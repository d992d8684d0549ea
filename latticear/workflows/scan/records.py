"""The JSON files of a scan: its settings, and the results of its points."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from latticear.runs.config import brought_up_to_date
from latticear.runs.directory import write_atomically
from latticear.runs.trees import Tree

__all__ = ["SETTINGS", "read_record", "stored_settings", "write_record"]

SETTINGS = "scan.json"
"""Name of the file with the settings of a scan; the folder of a scan is one that has it."""


def stored_settings(folder: Path) -> Tree:
    """The settings of a scan, `Plan.settings`, which an earlier version may have written; empty if there is no scan.

    Raises:
        ValueError: if the file is damaged.
        OSError: if the file cannot be read.
    """
    if not (folder / SETTINGS).exists():
        return {}
    settings = read_record(folder / SETTINGS, ("configs",), "name another --out")
    return settings | {"configs": {size: brought_up_to_date(tree) for size, tree in settings["configs"].items()}}


def read_record(path: Path, keys: Iterable[str] = (), remedy: str = "remove it and continue with --resume") -> Tree:
    """Read a JSON object with certain keys from a file.

    Args:
        path: the file.
        keys: keys that the object must have.
        remedy: what a user can do if the file is damaged.

    Raises:
        ValueError: if the file does not hold such an object.
        OSError: if the file cannot be read.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"it must hold a JSON object, got {type(content).__name__}")
        if missing := sorted(set(keys) - content.keys()):
            raise ValueError(f"it lacks {', '.join(missing)}")
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); {remedy}") from error
    return content


def write_record(path: Path, content: Tree) -> None:
    """Write a JSON object to a file, which is complete whenever it exists."""
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())
