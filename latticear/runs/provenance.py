"""Provenance of results: command line, machine, versions of software, identity of weights."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from latticear.data.fingerprint import fingerprint_of
from latticear.kernels.library import instruction_sets
from latticear.models import AbstractModel

__all__ = ["command", "environment", "fingerprint", "now"]


def environment(device: torch.device) -> dict[str, Any]:
    """The content of environment.json at the start of a run, as JSON values."""
    return {
        "command": command(),
        "started": now(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "kernels": next(reversed(instruction_sets()), None),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "commit": _commit(),
        "versions": {name: version(name) for name in ("latticear", "torch", "numpy", "scipy", "h5py")},
    }


def fingerprint(model: AbstractModel) -> str:
    """A hash of the weights of a model: 16 hexadecimal digits."""
    return fingerprint_of(*model.state_dict().values())


def command() -> str:
    """The command line of this process."""
    return shlex.join(sys.argv)


def now() -> str:
    """The present time, UTC, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _commit() -> str | None:
    """The git commit of the source tree; None for an installed package."""
    source = Path(__file__).parent
    try:
        result = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=source, capture_output=True, encoding="utf-8", timeout=5, check=False
        )
    except OSError:
        return None
    return result.stdout.strip() or None
