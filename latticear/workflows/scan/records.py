"""The JSON files of a scan: its settings, and the results of its points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from latticear.checksums import DamagedError, json_bytes, read_json
from latticear.estimation.estimates import Estimates
from latticear.runs.config import brought_up_to_date
from latticear.runs.directory import write_atomically
from latticear.runs.trees import Tree
from latticear.workflows.scan.table import row_of

__all__ = ["SETTINGS", "fault_of", "read_point", "read_record", "stored_settings", "write_record"]

SETTINGS = "scan.json"
"""Name of the file with the settings of a scan; the folder of a scan is one that has it."""

ROW = ("shape", "temperature", "steps", "seconds", "estimates", "monte_carlo")
"""Keys of the results of a point."""


def stored_settings(folder: Path) -> Tree:
    """The settings of a scan, `Plan.settings`, which an earlier version may have written; empty if there is no scan.

    Raises:
        ValueError: if the file is damaged.
        OSError: if the file cannot be read.
    """
    if not (folder / SETTINGS).exists():
        return {}
    n = len(list((folder / "points").glob("*.json")))
    remedy = f"name another --out; the results of {n} points stand in {folder / 'points'}"
    settings = read_record(folder / SETTINGS, ("configs",), remedy)
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
        content = read_json(path)[0]
    except DamagedError as error:
        raise DamagedError(f"{error}; {remedy}") from error
    if missing := sorted(set(keys) - content.keys()):
        raise DamagedError(f"{path} is damaged (it lacks {', '.join(missing)}); {remedy}")
    return content


def read_point(path: Path) -> Tree:
    """Read the results of a point of a scan.

    Raises:
        DamagedError: if the file is damaged; says how many other points stand.
        OSError: if the file cannot be read.
    """
    try:
        return _point(path)
    except DamagedError as error:
        others = [other for other in path.parent.glob("*.json") if other != path]
        good = sum(map(_stands, others))
        raise DamagedError(
            f"{error}; remove it and continue with --resume, which computes this point again; {good} of the "
            f"{len(others)} other points stand"
        ) from error


def _point(path: Path) -> Tree:
    content = read_json(path)[0]
    if missing := sorted(set(ROW) - content.keys()):
        raise DamagedError(f"{path} is damaged (it lacks {', '.join(missing)})")
    try:
        row_of(content)
        height, width = map(int, content["shape"])
        for part in filter(None, (content["estimates"], content["monte_carlo"])):
            Estimates.from_dict(part, height * width)
            if lost := [name for name, entry in part.items() if _lacks_its_value(entry)]:
                raise KeyError(lost[0])
        _ = float(content["temperature"]), content["estimates"]["warnings"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedError(f"{path} is damaged (it lacks, or has no number for, {error})") from error
    return content


def _lacks_its_value(entry: Any) -> bool:
    return isinstance(entry, dict) and "value" not in entry and bool({"error", "exact"} & entry.keys())


def _stands(path: Path) -> bool:
    try:
        _point(path)
    except (DamagedError, OSError):
        return False
    return True


def fault_of(entry: Mapping[str, Any]) -> str:
    """Why the estimate of a point cannot be one of a curve; empty if it can."""
    value, error = entry.get("value"), entry.get("error")
    if value is None or not math.isfinite(value):
        return "no value"
    if error is None or not math.isfinite(error):
        return "no error bar"
    return "" if error > 0 else "no error bar, since nothing varied"


def write_record(path: Path, content: Tree) -> None:
    """Write a JSON object to a file, which is complete whenever it exists."""
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, json_bytes(content))
