"""Where a result comes from: command, machine, versions, weights."""

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
    """What environment.json records when a run begins, as JSON values."""
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
    """A name for these weights: 16 hexadecimal digits, others for other weights."""
    return fingerprint_of(*model.state_dict().values())


def command() -> str:
    """The command line of this process."""
    return shlex.join(sys.argv)


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _commit() -> str | None:
    """The commit of a source checkout; None for an installed package."""
    source = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=source, capture_output=True, text=True, timeout=5, check=False
        )
    except OSError:
        return None
    return found.stdout.strip() or None
