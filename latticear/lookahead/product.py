"""Matrix products over the columns of a lattice, and their cut to a smaller bond dimension.

A matrix product over W columns is a list of W tensors `(I, a, s, t, b)`: instance, bond to the left, token of the upper
row, token of the lower row, bond to the right. The letters of the formulae are those of `transfer`: l and m for the
bonds of an operator, a and b for those of a product, k for those of the result.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Cut", "Legs", "apply_and_cut"]

ROUNDING = 1e-15
"""Weights below this fraction of the largest one are rounding errors of the Gram matrices."""

PRECISE = 1e-8
"""If no bond has a smallest kept weight above this fraction of its largest one, rounding matters as much as the cut."""


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
        precise: bool `(I,)`, where rounding in Gram matrices would matter, so that square roots of them were taken.
    """

    tensors: list[Tensor]
    lost: Tensor
    log_scale: Tensor
    precise: Tensor


def apply_and_cut(
    operator: list[Tensor],
    product: list[Tensor],
    upper: list[Legs],
    lower: list[Legs],
    bond_dimension: int,
    precise: Tensor | None = None,
) -> Cut:
    """Apply an operator to a matrix product, and cut the result to a bond dimension with the smallest error.

    At each bond the parts on its left side are told apart by their weights in the full product: by the eigenvectors of
    a density matrix, from the Gram matrix of the parts on the right side. Weights near 1e-15 of the largest one are
    lost in these squares. Where such weights decide, as for glasses in the cold, all is done again with square roots of
    the Gram matrices, from QR decompositions, and with singular values, which takes longer.

    Args:
        operator: tensors `(I, l, s, c, m)`, from `transfer`.
        product: tensors `(I, a, c, t, b)`.
        upper, lower: for each column, the metric of the upper and the lower row in which the error is measured.
        bond_dimension: largest bond dimension of the result.
        precise: bool `(I,)`, which instances begin with the square roots; None for none. What is found for an instance
            does not depend on the others.
    """
    operator_in = [torch.einsum("ius,ilscm->ilucm", legs.into, k) for legs, k in zip(upper, operator, strict=True)]
    product_in = [torch.einsum("ivt,iactb->iacvb", legs.into, a) for legs, a in zip(lower, product, strict=True)]
    careful = operator[0].new_zeros(len(operator[0]), dtype=torch.bool) if precise is None else precise.clone()
    quick, cut = ~careful, None
    if bool(quick.any()):
        cut = _cut(_some(operator_in, quick), _some(product_in, quick), bond_dimension, precise=False)
        careful[quick] = cut.precise
    if cut is None or bool(careful.any()):
        fine = _cut(_some(operator_in, careful), _some(product_in, careful), bond_dimension, precise=True)
        cut = fine if cut is None or bool(careful.all()) else _joined(cut, ~careful[quick], fine, careful)
    tensors = [
        torch.einsum("isu,ikuvj,itv->ikstj", up.back, tensor, low.back)
        for up, tensor, low in zip(upper, cut.tensors, lower, strict=True)
    ]
    return cut._replace(tensors=tensors)


def _cut(operator: list[Tensor], product: list[Tensor], bond_dimension: int, *, precise: bool) -> Cut:
    """The result in the metric; its `precise` tells whether it needs the square roots."""
    right_parts = (_roots if precise else _grams)(operator, product)
    n, width = len(product[0]), len(product)
    rest = product[0].new_ones(n, 1, 1, 1)  # (i, k, l, a)
    lost, log_scale = product[0].new_zeros(2, n)
    least: Tensor | None = None  # (i,), of the smallest weights kept at the bonds that were cut, the largest
    tensors = []
    for x, (k, a) in enumerate(zip(operator, product, strict=True)):
        theta = torch.einsum("iklcvb,ilucm->ikuvmb", torch.einsum("ikla,iacvb->iklcvb", rest, a), k)
        if x == width - 1:
            tensors.append(theta.flatten(4))
            break
        rows = theta.flatten(4).flatten(1, 3)  # (i, k u v, m b)
        weights, vectors = (_singular if precise else _eigen)(rows, right_parts[x + 1])
        rounding = torch.finfo(rows.dtype).eps ** 2 if precise else ROUNDING
        significant = weights > rounding * weights[:, :1]
        kept = min(bond_dimension, int(significant.sum(1).max()))
        lost = torch.maximum(lost, weights[:, kept:].clamp(min=0).sum(1))
        if weights.shape[1] > bond_dimension:
            smallest = weights[:, bond_dimension - 1] / weights[:, 0]
            least = smallest if least is None else torch.maximum(least, smallest)
        basis = vectors[..., :kept] * significant[:, None, :kept]
        tensors.append(basis.unflatten(1, theta.shape[1:4]))
        rest = (basis.mT @ rows).unflatten(2, theta.shape[4:])
        size = rest.abs().amax((1, 2, 3), keepdim=True)
        rest, log_scale = rest / size, log_scale + size.flatten().log()
    return Cut(tensors, lost, log_scale, torch.ones_like(lost) < 0 if least is None else least < PRECISE)


def _some(tensors: list[Tensor], which: Tensor) -> list[Tensor]:
    return tensors if bool(which.all()) else [tensor[which] for tensor in tensors]


def _joined(coarse: Cut, kept: Tensor, fine: Cut, careful: Tensor) -> Cut:
    """The results of those of `coarse` that are kept and, where instances are `careful`, those of `fine`."""

    def joined(a: Tensor, b: Tensor) -> Tensor:
        size = [max(pair) for pair in zip(a.shape[1:], b.shape[1:], strict=True)]
        both = a.new_zeros(len(careful), *size)
        for part, which in ((a[kept], ~careful), (b, careful)):
            padding = [n for k in range(1, part.ndim) for n in (0, size[-k] - part.shape[-k])]
            both[which] = F.pad(part, padding)
        return both

    tensors = [joined(a, b) for a, b in zip(coarse.tensors, fine.tensors, strict=True)]
    return Cut(tensors, *(joined(a, b) for a, b in zip(coarse[1:], fine[1:], strict=True)))


def _eigen(rows: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
    """Weights `(I, r)`, the largest first, with sum 1, and orthonormal left parts `(I, k u v, r)`."""
    density = rows @ gram.flatten(3).flatten(1, 2) @ rows.mT
    density = (density + density.mT) / 2
    values, vectors = torch.linalg.eigh(density / density.diagonal(dim1=1, dim2=2).sum(1)[:, None, None])
    return values.flip(1), vectors.flip(2)


def _singular(rows: Tensor, root: Tensor) -> tuple[Tensor, Tensor]:
    """As `_eigen`."""
    left, values, _ = torch.linalg.svd(rows @ root.mT, full_matrices=False)
    return (values / values.norm(dim=1, keepdim=True)) ** 2, left


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


def _roots(operator: list[Tensor], product: list[Tensor]) -> list[Tensor]:
    """For each column, a matrix `(I, r, l a)` whose square is the Gram matrix of `_grams`."""
    root = product[0].new_ones(len(product[0]), 1, 1)
    roots = [root]
    for k, a in zip(reversed(operator[1:]), reversed(product[1:]), strict=True):
        half = torch.einsum("iacvb,irmb->iacvrm", a, root.unflatten(2, (k.shape[4], a.shape[4])))
        parts = torch.einsum("ilucm,iacvrm->iruvla", k, half).flatten(4).flatten(1, 3)
        root = torch.linalg.qr(parts, mode="r").R
        root = root / root.flatten(1).abs().amax(1)[:, None, None]
        roots.append(root)
    return [root, *reversed(roots)]
