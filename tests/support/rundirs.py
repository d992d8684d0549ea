"""Small checkpoints for tests of run directories."""

from functools import cache
from pathlib import Path

import torch

import latticear as la
from latticear.checksums import SUMS
from latticear.runs.directory import RunDirectory

__all__ = ["CPU", "save_step", "small_model", "without_sums"]

CPU = torch.device("cpu")


def small_model(seed: int = 0, shape: tuple[int, int] = (3, 4), width: int = 4) -> la.PixelCNN:
    return la.PixelCNN(shape, width=width, depth=1, bias=la.Ising(shape).bias(2.0), seed=seed)


@cache
def _of_step(step: int) -> la.PixelCNN:
    return small_model(step)


def save_step(run: RunDirectory, step: int) -> Path:
    model = _of_step(step)
    return run.save_checkpoint(model, model.state_dict(), {"step": step, "moments": torch.full((3,), step)})


def without_sums(folder: Path) -> Path:
    """A checkpoint, or a run, with the digests of its checkpoints removed: what is then put into it has no checksum."""
    for file in folder.rglob(SUMS):
        file.unlink()
    return folder
