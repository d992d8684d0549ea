"""Conditions of configurations as a network takes them: class labels as one-hot vectors, numbers unchanged."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["encoded", "written_condition"]


def encoded(condition: np.ndarray, n_classes: int) -> Tensor:
    """Conditions as a model takes them, from the array that `read_condition` returns: float32 `(n, k)`.

    Args:
        condition: class labels, integers `(n,)`, each of which becomes a one-hot vector of length k = n_classes; or
            numbers `(n, k)`, which stay as they are.
        n_classes: number of classes K; 0 if the condition is not a class.

    Raises:
        ValueError: for labels if n_classes is 0, or for a label outside 0..K-1.

    Example:
        >>> encoded(np.array([2, 0]), n_classes=3)
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
    """
    if condition.ndim == 2:
        return torch.from_numpy(condition).float()
    if not n_classes:
        raise ValueError("condition holds class labels, but there are no classes: give floating-point numbers")
    if condition.max() >= n_classes or condition.min() < 0:
        raise ValueError(f"labels must be 0..{n_classes - 1}, got {condition.min()}..{condition.max()}")
    return F.one_hot(torch.from_numpy(condition), n_classes).float()


def written_condition(text: str, n_classes: int, n_condition: int) -> Tensor:
    """Parse a condition that a user writes: a class label, or numbers separated by commas: float32 `(k,)`.

    Args:
        text: `3`, a class label if there are classes, or `0.5,-1,0`.
        n_classes: number of classes K; 0 if the condition is not a class.
        n_condition: length k of the condition vector of the model; 0 if it takes none.

    Raises:
        ValueError: if the text is neither a label in 0..K-1 nor k finite numbers, or if the model takes no condition.
    """
    if not n_condition:
        raise ValueError(f"the model takes no condition, got {text!r}")
    parts = text.split(",")
    if n_classes and len(parts) == 1:
        if not (text.strip().isdecimal() and int(text) < n_classes):
            raise ValueError(f"condition must be a class 0..{n_classes - 1}, got {text!r}")
        return encoded(np.array([int(text)]), n_classes)[0]
    try:
        numbers = torch.tensor([float(part) for part in parts])
    except ValueError:
        numbers = torch.tensor([torch.nan])
    if len(numbers) != n_condition or not numbers.isfinite().all():
        either = f"a class 0..{n_classes - 1} or " if n_classes else ""
        raise ValueError(f"condition must be {either}{n_condition} finite numbers separated by commas, got {text!r}")
    return numbers
