"""The run directory: what a run was asked, what it did, and checkpoints that survive a kill at any moment.

    run.toml  environment.json  metrics.jsonl  estimates.json  figures/
    checkpoints/step-N/{model.safetensors, trainer.pt}

Everything is written beside and renamed, so a name that exists is complete.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from latticear.models import AbstractModel, model_from_dict

__all__ = ["RunDirectory", "load_model", "write_atomically"]

KEEP = 2
"""Checkpoints kept: the last one, and one before it."""


class RunDirectory:
    """A run on disk.

    Args:
        path: an existing run directory.

    Raises:
        FileNotFoundError: if there is no run there.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / "run.toml").is_file():
            raise FileNotFoundError(f"{self.path} is not a run directory (it has no run.toml); train makes one")

    @classmethod
    def create(cls, path: str | Path, run_toml: str, environment: dict[str, Any]) -> RunDirectory:
        """Make a new run directory, all at once.

        Raises:
            FileExistsError: if the path exists.
        """
        path = Path(path)
        if path.exists():
            raise FileExistsError(f"{path} already exists; continue it with --resume or name another --out")
        beside = path.with_name(f".{path.name}.new")
        shutil.rmtree(beside, ignore_errors=True)
        (beside / "checkpoints").mkdir(parents=True)
        (beside / "run.toml").write_text(run_toml)
        (beside / "environment.json").write_text(json.dumps(environment, indent=2) + "\n")
        (beside / "metrics.jsonl").touch()
        beside.rename(path)
        return cls(path)

    @property
    def config_path(self) -> Path:
        return self.path / "run.toml"

    @property
    def figures(self) -> Path:
        """The folder of figures, made when asked for."""
        folder = self.path / "figures"
        folder.mkdir(exist_ok=True)
        return folder

    def environment(self) -> dict[str, Any]:
        return json.loads((self.path / "environment.json").read_text())

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        write_atomically(self.path / name, json.dumps(content, indent=2) + "\n")

    def checkpoints(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        found = (self.path / "checkpoints").glob("step-*")
        return sorted((p for p in found if re.fullmatch(r"step-\d+", p.name)), key=_step_of)

    def latest(self) -> Path | None:
        """The newest checkpoint, or None before the first."""
        return max(self.checkpoints(), key=_step_of, default=None)

    def save_checkpoint(self, model: AbstractModel, weights: dict[str, Tensor], trainer: dict[str, Any]) -> Path:
        """Write `checkpoints/step-N` and remove the ones no longer needed; N is `trainer["step"]`.

        Args:
            model: which network it is.
            weights: the weights to sample with.
            trainer: state for resuming.

        Raises:
            OSError: if the disk is full; the checkpoints that were there stay.
        """
        target = self.path / "checkpoints" / f"step-{trainer['step']}"
        if target.exists():
            return target
        beside = target.with_name(f".{target.name}.new")
        try:
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(parents=True)
            tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
            save_file(tensors, beside / "model.safetensors", metadata={"model": json.dumps(model.to_dict())})
            torch.save(trainer, beside / "trainer.pt")
            for file in beside.iterdir():
                _sync(file)
            beside.rename(target)
            _sync(target.parent)
        except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors wrap a full disk
            shutil.rmtree(beside, ignore_errors=True)
            last = self.latest()
            kept = f"the last good checkpoint is {last}" if last else "there is no earlier checkpoint"
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).split("\n")[0]
            raise OSError(
                f"cannot write checkpoint {target} ({reason}); {kept}; free space and continue with --resume"
            ) from error
        for old in self.checkpoints()[:-KEEP]:
            shutil.rmtree(old)
        return target

    def load_trainer(self, checkpoint: Path, device: torch.device) -> dict[str, Any]:
        """State for resuming; nothing in the file is executed.

        Raises:
            ValueError: if the file is damaged.
        """
        try:
            return torch.load(checkpoint / "trainer.pt", map_location=device, weights_only=True)
        except Exception as error:
            raise ValueError(
                f"{checkpoint / 'trainer.pt'} cannot be read ({_first_line(error)}); remove {checkpoint} to "
                f"resume from an earlier checkpoint"
            ) from error

    def metrics(self) -> list[dict[str, Any]]:
        """One dictionary for each logged step; a last line cut off by a kill is left out."""
        rows = []
        for line in (self.path / "metrics.jsonl").read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return rows

    def truncate_metrics(self, step: int) -> None:
        """Forget what was logged after a step: a resumed run logs it again."""
        rows = [json.dumps(row) + "\n" for row in self.metrics() if row["step"] <= step]
        write_atomically(self.path / "metrics.jsonl", "".join(rows))


def load_model(path: str | Path, device: torch.device | str = "cpu") -> AbstractModel:
    """The network of a run, with the weights of its newest checkpoint, or of the checkpoint folder given.

    Nothing in the files is executed.

    Args:
        path: a run directory or a `checkpoints/step-N` in it.
        device: where to put it.

    Raises:
        FileNotFoundError: if there is no run or no checkpoint.
        ValueError: if the file is damaged, or its weights are of another shape than the network it describes.
    """
    checkpoint = Path(path)
    if not (checkpoint / "model.safetensors").is_file():
        latest = RunDirectory(path).latest()
        if latest is None:
            raise FileNotFoundError(f"{path} has no checkpoint yet; continue it with train --resume")
        checkpoint = latest
    file = checkpoint / "model.safetensors"
    try:
        with safe_open(file, "pt") as content:
            description = json.loads((content.metadata() or {})["model"])
        weights = load_file(file, device=str(device))
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise ValueError(f"{file} is not a readable checkpoint ({_first_line(error)})") from error
    model = model_from_dict(description)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"the weights in {file} do not fit the {description['name']} they describe: {_last_line(error)}"
        ) from error
    return model.to(device).eval()


def write_atomically(path: Path, text: str) -> None:
    """Write a small file beside and rename it: it is never there half."""
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_text(text)
        _sync(beside)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]


def _last_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[-1].strip()
