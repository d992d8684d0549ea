"""Evaluation mode: no dropout in what is drawn or weighed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from torch import nn

__all__ = ["evaluated", "evaluating"]

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
