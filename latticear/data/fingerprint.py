"""Short hashes of tensors, by which data, weights and sites held fixed are recognised."""

from __future__ import annotations

import hashlib

from torch import Tensor

__all__ = ["fingerprint_of"]


def fingerprint_of(*tensors: Tensor | None) -> str:
    """A hash of the numbers in these tensors, 16 hexadecimal digits; tensors that are None are left out."""
    content = hashlib.sha256()
    for tensor in tensors:
        if tensor is not None:
            content.update(tensor.cpu().numpy().tobytes())
    return content.hexdigest()[:16]
