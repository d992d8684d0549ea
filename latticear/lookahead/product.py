"""Matrix products over the columns of a lattice, and their cut to a smaller bond dimension.

A matrix product over W columns is a list of W tensors `(I, a, s, t, b)`: instance, bond to the left, token of the upper
row, token of the lower row, bond to the right. The letters of the formulae are those of `transfer`: l and m for the
bonds of an operator, a and b for those of a product, k for those of the result.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Cut", "Legs", "apply_and_cut"]

ROUNDING = 1e-15
"""Weights below this fraction of the largest one are rounding errors of the Gram matrices."""


class Legs(NamedTuple):
    """The metric in which a product is cut, as matrices on the tokens of a column.

    Attributes:
        into: `(I, q, q)`, from the tokens to the metric.
        back: `(I, q, q)`, its inverse.
    """

    into: Tensor
    back: Tensor


class Cut(NamedTuple):
    """A matrix product that approximates another one.

    Attributes:
        tensors: one for each column, up to a common factor.
        lost: `(I,)`, largest share of the squared norm that was cut at one bond.
        log_scale: `(I,)`, logarithm of the common factor.
    """

    tensors: list[Tensor]
    lost: Tensor
    log_scale: Tensor


def apply_and_cut(
    operator: list[Tensor], product: list[Tensor], upper: list[Legs], lower: list[Legs], bond_dimension: int
) -> Cut:
    """Apply an operator to a matrix product, and cut the result to a bond dimension with the smallest error.

    The parts on both sides of a bond are told apart by the eigenvectors of a Gram matrix (density-matrix algorithm), so
    that the full product, whose bond dimension is that of the operator times that of the product, is never decomposed.

    Args:
        operator: tensors `(I, l, s, c, m)`, from `transfer`.
        product: tensors `(I, a, c, t, b)`.
        upper, lower: for each column, the metric of the upper and the lower row in which the error is measured.
        bond_dimension: largest bond dimension of the result.
    """
    operator = [torch.einsum("ius,ilscm->ilucm", legs.into, k) for legs, k in zip(upper, operator, strict=True)]
    product = [torch.einsum("ivt,iactb->iacvb", legs.into, a) for legs, a in zip(lower, product, strict=True)]
    grams = _grams(operator, product)
    n, width = len(product[0]), len(product)
    rest = product[0].new_ones(n, 1, 1, 1)  # (i, k, l, a)
    lost, log_scale = product[0].new_zeros(2, n)
    tensors = []
    for x, (k, a) in enumerate(zip(operator, product, strict=True)):
        theta = torch.einsum("iklcvb,ilucm->ikuvmb", torch.einsum("ikla,iacvb->iklcvb", rest, a), k)
        if x == width - 1:
            tensors.append(theta.flatten(4))
            break
        rows = theta.flatten(4).flatten(1, 3)  # (i, k u v, m b)
        density = rows @ grams[x + 1].flatten(3).flatten(1, 2) @ rows.mT
        density = (density + density.mT) / 2
        values, vectors = torch.linalg.eigh(density / density.diagonal(dim1=1, dim2=2).sum(1)[:, None, None])
        kept = min(bond_dimension, int((values > ROUNDING * values[:, -1:]).sum(1).max()))
        lost = torch.maximum(lost, values[:, :-kept].clamp(min=0).sum(1))
        basis = vectors[..., -kept:]
        tensors.append(basis.unflatten(1, theta.shape[1:4]))
        rest = (basis.mT @ rows).unflatten(2, theta.shape[4:])
        size = rest.abs().amax((1, 2, 3), keepdim=True)
        rest, log_scale = rest / size, log_scale + size.flatten().log()
    tensors = [
        torch.einsum("isu,ikuvj,itv->ikstj", up.back, tensor, low.back)
        for up, tensor, low in zip(upper, tensors, lower, strict=True)
    ]
    return Cut(tensors, lost, log_scale)


def _grams(operator: list[Tensor], product: list[Tensor]) -> list[Tensor]:
    """For each column, scalar products of the parts from that column on: `(I, l, a, l', a')`, up to a factor."""
    gram = product[0].new_ones(len(product[0]), 1, 1, 1, 1)
    grams = [gram]
    for k, a in zip(reversed(operator[1:]), reversed(product[1:]), strict=True):
        half = torch.einsum("iacvb,imbMB->iacvmMB", a, gram)
        half = torch.einsum("ilucm,iacvmMB->iluavMB", k, half)
        half = torch.einsum("iluavMB,iACvB->iluaMAC", half, a)
        gram = torch.einsum("iluaMAC,iLuCM->ilaLA", half, k)
        gram = gram / gram.flatten(1).abs().amax(1)[:, None, None, None, None]
        grams.append(gram)
    return [gram, *reversed(grams)]
