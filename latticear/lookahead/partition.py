"""ln Z from the sum over all rows below the first one."""

from __future__ import annotations

import torch
from torch import Tensor

from latticear.lookahead.environments import Environments

__all__ = ["log_z"]


def log_z(environments: Environments) -> Tensor:
    """Logarithm of the sum of the weights of all configurations: float64 `(I,)`; nan where cuts left no positive sum.

    The first row is summed with the sum over all rows below it, from left to right. The error is that of the cuts.
    """
    weights, log_scale = environments.weights, environments.weights.log_scale + environments.log_scale
    matrices = [
        matrix[:, 0] * weights.site[:, 0, x, :, None, None] for x, matrix in enumerate(environments.matrices(0))
    ]
    rest = matrices[0].transpose(1, 2)  # (i, f, s, b), where the columns are closed f is the token of the first one
    if weights.closed:
        rest = torch.diag_embed(rest[:, 0].mT).permute(0, 2, 3, 1)
    for x in range(1, len(matrices)):
        rest = torch.einsum("ifsa,isp,ipab->ifpb", rest, weights.right[:, 0, x - 1], matrices[x])
        size = rest.abs().amax((1, 2, 3), keepdim=True)
        rest, log_scale = rest / size, log_scale + size.flatten().log()
    total = torch.einsum("ifsb,isf->i", rest, weights.right[:, 0, -1]) if weights.closed else rest.flatten(1).sum(1)
    return log_scale + total.log()
