"""Measured samples of a run, kept on the disk so that an estimate can go on where it was.

    RUN/measured/DIGEST.safetensors    the numbers of each sample, sums of the others, and the plan, as JSON

The name is a digest of all that decides which samples these are: network, system, temperatures, observables and seed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from latticear.arrays import Array
from latticear.checksums import DamagedError, digest
from latticear.estimation.precision import Plan
from latticear.estimation.replicates import source_of
from latticear.estimation.reweighting import Reweighting
from latticear.files import write_atomically
from latticear.runs.pretrained import is_shipped

__all__ = ["FOLDER", "Kept"]

FOLDER = "measured"
"""Folder of a run."""

KEEP_EVERY, KEEP_SHARE = 2.0, 0.02
"""Shortest time in seconds between two writings, and largest share of the time for them."""

WORDS = {"seed": "seed {}", "temperatures": "T = {}", "system": "another system", "setting": "another setting"}
"""What a line says of another file, by the part of the key in which it differs."""


class _Content(NamedTuple):
    """What a file holds besides the arrays.

    Attributes:
        n: number of samples, with those of the pilot.
        key: all that decides which samples these are.
        plan: the plan for them.
        values: the part of the state of the sums that is no array.
        digest: checksum of the arrays.
    """

    n: int
    key: dict[str, Any]
    plan: dict[str, Any]
    values: dict[str, Any]
    digest: str


class Kept:
    """The measured samples of one key in the folder of a run.

    For a run that the package ships nothing is kept.

    Args:
        run: the run directory.
        key: all that decides which samples these are, as JSON values.
    """

    def __init__(self, run: Path, key: Mapping[str, Any]) -> None:
        self.key: dict[str, Any] = json.loads(json.dumps(key))
        self.path = run / FOLDER / f"{digest(json.dumps(self.key, sort_keys=True).encode())[:16]}.safetensors"
        self._due, self._cost = time.monotonic() + KEEP_EVERY, 0.0
        self._keeps = not is_shipped(run)

    def load(self, weighed: Reweighting) -> Plan | None:
        """Restore the sums that are kept; returns the plan, or None if there are none.

        Raises:
            DamagedError: if the file is not as it was written.
        """
        if not self.path.exists():
            return None
        try:
            content, arrays = _read(self.path)
            if content.digest != _digest_of(arrays) or content.key != self.key:
                raise ValueError("its checksum differs: it has changed since it was written")
            weighed.restore(arrays, content.values)
            return Plan(**content.plan)
        except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
            raise DamagedError(
                f"{self.path} is damaged ({error}): remove it, to measure these samples again"
            ) from error

    def save(self, weighed: Reweighting, plan: Plan) -> None:
        """Replace what is kept.

        Raises:
            OSError: if the disk is full; what was kept before stays.
        """
        if not self._keeps:
            return
        t_start = time.monotonic()
        arrays, values = weighed.state()
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        content = _Content(plan.left_out + len(weighed), self.key, vars(plan), values, _digest_of(arrays))
        self.path.parent.mkdir(exist_ok=True)
        write_atomically(self.path, save(arrays, {"content": json.dumps(content)}))
        self._cost = time.monotonic() - t_start
        self._due = time.monotonic() + max(KEEP_EVERY, self._cost / KEEP_SHARE)

    def what_stays(self, n: int) -> str:
        """What is left of n samples after an interruption, in words."""
        if not self._keeps:
            return f"nothing of the {n:,} samples is kept, since the run belongs to the package: copy it to go on later"
        return f"{n:,} samples are kept in {self.path}; the same command goes on"

    def save_if_due(self, weighed: Reweighting, plan: Plan) -> None:
        """Replace what is kept, if that was not done just now."""
        if time.monotonic() >= self._due:
            self.save(weighed, plan)

    def others(self) -> Iterator[str]:
        """A line for each file of other samples: what they differ in. Those of another network are removed."""
        for path in sorted(self.path.parent.glob("*.safetensors")):
            try:
                content = _content(path)
            except (SafetensorError, KeyError, TypeError, ValueError, OSError):
                continue
            if path == self.path:
                continue
            if content.key.get("network") != self.key["network"]:
                path.unlink()
                yield f"the network has changed: what was measured before, {path}, is removed"
                continue
            off = [name for name in self.key if content.key.get(name) != self.key[name]]
            what = " and ".join(WORDS.get(name, f"other {name}").format(_plain(content.key.get(name))) for name in off)
            yield f"note: {path.parent} has {content.n:,} samples of {what} too; these begin anew, and those stay"


def _plain(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    return ", ".join(each if isinstance(each, str) else f"{each:g}" for each in value)


def _read(path: Path) -> tuple[_Content, dict[str, Array]]:
    with safe_open(path, "numpy") as file:
        content = _Content(*json.loads(file.metadata()["content"]))
        return content, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _content(path: Path) -> _Content:
    with safe_open(path, "numpy") as file:
        return _Content(*json.loads(file.metadata()["content"]))


def _digest_of(arrays: Mapping[str, Array]) -> str:
    return source_of(*(np.atleast_1d(arrays[name]) for name in sorted(arrays))).hex()
