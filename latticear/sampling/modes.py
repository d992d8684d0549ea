"""Modes of what is drawn or weighed: no dropout, and all bits of float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

__all__ = ["evaluated", "evaluating", "full_precision"]

Batch = TypeVar("Batch")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode while it lasts; afterwards every module is in the mode in which it was.

    A model whose own flag says evaluation is left alone: its modules are not looked through at every draw.
    """
    if not model.training:
        yield
        return
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def evaluated(model: nn.Module, batches: Iterator[Batch]) -> Iterator[Batch]:
    """Batches that are made in evaluation mode; while the caller has one, the model is in the mode in which it was."""
    while True:
        with evaluating(model):
            try:
                batch = next(batches)
            except StopIteration:
                return
        yield batch


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """A context in which convolutions on a GPU have the 24 bits of float32.

    PyTorch computes them with 11 bits (TF32) where the GPU can, which is too few for a log-probability: that of a
    configuration would differ from the one with which it was drawn.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
