"""Small checkpoints for tests of run directories."""

from functools import cache
from pathlib import Path

import torch

import latticear as la
from latticear.runs.directory import RunDirectory

__all__ = ["CPU", "save_step", "small_model"]

CPU = torch.device("cpu")


def small_model(seed: int = 0, shape: tuple[int, int] = (3, 4), width: int = 4) -> la.PixelCNN:
    return la.PixelCNN(shape, width=width, depth=1, bias=la.Ising(shape).bias(2.0), seed=seed)


@cache
def _of_step(step: int) -> la.PixelCNN:
    return small_model(step)


def save_step(run: RunDirectory, step: int) -> Path:
    model = _of_step(step)
    return run.save_checkpoint(model, model.state_dict(), {"step": step, "moments": torch.full((3,), step)})
