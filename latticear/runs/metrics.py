"""The file metrics.jsonl of a run: a line of JSON for each logged step.

The file grows while the checkpoints are written; the list of digests of each checkpoint has that of the rows before it.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from latticear.checksums import ChangedFileWarning, DamagedError, Prefix

__all__ = ["METRICS", "Metrics"]

METRICS = "metrics.jsonl"
"""Name of the file."""

Row = dict[str, Any]


class Metrics:
    """The rows of a run.

    Args:
        path: the file.
        checkpoints: for each checkpoint, oldest first, the digest of the rows before it; None where there is none.
    """

    def __init__(self, path: Path, checkpoints: dict[Path, Prefix | None]) -> None:
        self.path, self._checkpoints = path, checkpoints

    def rows(self) -> list[Row]:
        """All rows; what follows an incomplete line, left by a killed process, is ignored.

        A file that is missing is told by a warning, since the weights do not depend on it.

        Raises:
            DamagedError: if rows before the newest checkpoint are lost or have changed.
        """
        return [json.loads(line) for line in self._lines()]

    def until(self, step: int) -> bytes:
        """The file without the rows after a step."""
        lines = [line for line in self._lines() if json.loads(line)["step"] <= step]
        return b"".join(line + b"\n" for line in lines)

    @property
    def is_lost(self) -> bool:
        """Whether the file is missing although rows were written before a checkpoint."""
        return not self.path.exists() and any(prefix and prefix.size for prefix in self._checkpoints.values())

    def problem(self) -> str:
        """What is wrong with the rows before the newest checkpoint; empty if nothing is known to be."""
        content = self.path.read_bytes() if self.path.exists() else b""
        return self._problem_at(next(reversed(self._checkpoints), None), content)

    def has_checksum(self) -> bool:
        """Whether the rows before the newest checkpoint have a digest."""
        return bool(self._checkpoints) and list(self._checkpoints.values())[-1] is not None

    def _lines(self) -> list[bytes]:
        if self.is_lost:
            message = f"{self.path} is missing: the metrics of the steps before the newest checkpoint are lost"
            warnings.warn(message, ChangedFileWarning, stacklevel=3)
        if not self.path.exists():
            return []
        content = self.path.read_bytes()
        if problem := self._problem_at(next(reversed(self._checkpoints), None), content):
            raise DamagedError(f"{self.path} is damaged: {problem}; {self._way_on(content)}")
        return _readable(content)

    def _problem_at(self, checkpoint: Path | None, content: bytes) -> str:
        """What is wrong with the rows before a checkpoint."""
        if checkpoint is None:
            return ""
        prefix = self._checkpoints[checkpoint]
        if prefix is not None and not prefix.fits(content):
            return f"rows before {checkpoint.name} are lost or have changed since they were written"
        lines = _readable(content)
        last = json.loads(lines[-1])["step"] if lines else 0
        if lines and last < int(checkpoint.name.removeprefix("step-")):
            return f"the rows that can be read end at step {last}, before {checkpoint.name}"
        return ""

    def _way_on(self, content: bytes) -> str:
        """What still stands, and how to go on."""
        good = next((c for c in reversed(self._checkpoints) if not self._problem_at(c, content)), None)
        later = [c.name for c in self._checkpoints if good and _number(c) > _number(good)]
        if good is None:
            return f"the weights stand: remove {self.path.name} to go on without these rows"
        return (
            f"the weights stand, and the rows up to {good.name}: remove checkpoints/{', '.join(later)} to train on "
            f"from there, or {self.path.name} to go on without these rows"
        )


def _readable(content: bytes) -> list[bytes]:
    """The lines up to the first that is no row."""
    lines = content.removesuffix(b"\n").split(b"\n")
    return lines[: next((k for k, line in enumerate(lines) if not _is_row(line)), len(lines))]


def _is_row(line: bytes) -> bool:
    try:
        row = json.loads(line)
    except ValueError:
        return False
    return isinstance(row, dict) and isinstance(row.get("step"), int)


def _number(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))
