"""What configurations come with, as a network takes it: class labels as one-hot vectors, numbers as they are."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["encoded", "written_condition"]


def encoded(condition: np.ndarray, n_classes: int) -> Tensor:
    """What a model with a condition takes, of what `read_condition` read: float32 `(n, k)`.

    Args:
        condition: labels, integers `(n,)`: each becomes a vector of k = n_classes zeros but for a one at its place; or
            numbers `(n, k)`, which stay as they are.
        n_classes: K; 0 where there are no classes.

    Raises:
        ValueError: for labels where there are no classes, or a label of K or more.

    Example:
        >>> encoded(np.array([2, 0]), n_classes=3)
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
    """
    if condition.ndim == 2:
        return torch.from_numpy(condition).float()
    if not n_classes:
        raise ValueError("condition holds labels, but there are no classes: give numbers (floating point)")
    if condition.max() >= n_classes or condition.min() < 0:
        raise ValueError(f"labels must be 0..{n_classes - 1}, got {condition.min()}..{condition.max()}")
    return F.one_hot(torch.from_numpy(condition), n_classes).float()


def written_condition(text: str, n_classes: int, n_condition: int) -> Tensor:
    """The condition that a user writes: a class label where there are classes, or numbers with commas: float32 `(k,)`.

    Args:
        text: `3`, or `0.5,-1,0`.
        n_classes: K; 0 where there are no classes.
        n_condition: k, what the model takes.

    Raises:
        ValueError: for anything else, another number of numbers, or a model without a condition.
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
        raise ValueError(f"condition must be {either}{n_condition} finite numbers with commas, got {text!r}")
    return numbers
