"""The step from one row of a lattice to the next as a matrix product operator."""

from __future__ import annotations

import torch
from torch import Tensor

from latticear.lookahead.weights import RowWeights

__all__ = ["transfer"]


def transfer(weights: RowWeights, row: int, *, bonds_only: bool = False) -> list[Tensor]:
    """The weights of the bonds from a row to the next one, and of all sites and bonds within the next row.

    The operator `K[s, c]`, for tokens s of this row and c of the next, is a product over the columns of tensors whose
    bonds carry the tokens that later columns need: the last token of the next row; with bonds down to the right the
    last token of this row; where the columns are closed the first token of the next row, and with bonds down to the
    left that of this row.

    Args:
        weights: the lattice.
        row: y; after the last row follows the first one.
        bonds_only: leave out the sites and bonds within the next row.

    Returns:
        For each column a tensor `(I, l, q, q, m)`: bond to the left, token of this row, token of the next row, bond to
        the right.
    """
    height, width = weights.shape
    below, eye = (row + 1) % height, torch.eye(weights.n_tokens, dtype=torch.float64, device=weights.site.device)
    left, right = weights.down_left, weights.down_right
    within = not bonds_only
    carried = {
        "last": within or left is not None,
        "last above": right is not None,
        "first": weights.closed and (within or right is not None),
        "first above": weights.closed and left is not None,
    }
    tensors = []
    for x in range(width):
        begins, ends = x == 0, x == width - 1
        factors: list[tuple[str, Tensor]] = [("isc", weights.down[:, row, x])]
        if within:
            factors += [("ic", weights.site[:, below, x])]
            factors += [] if begins else [("ipc", weights.right[:, below, x - 1])]
        if right is not None and not begins:
            factors += [("iuc", right[:, row, x - 1])]
        if left is not None and not begins:
            factors += [("isp", left[:, row, x])]
        if ends and weights.closed:
            factors += [("icf", weights.right[:, below, x])] if within else []
            factors += [] if right is None else [("isf", right[:, row, x])]
            factors += [] if left is None else [("igc", left[:, row, 0])]
        inner, outer = ("" if begins else _letters(carried, "pufg")), ("" if ends else _letters(carried, "PUFG"))
        passed = {"P": "c", "U": "s", "F": "c" if begins else "f", "G": "s" if begins else "g"}
        factors += [(passed[letter] + letter, eye) for letter in outer]
        subscripts = ",".join(letters for letters, _ in factors)
        tensor = torch.einsum(f"{subscripts}->i{inner}sc{outer}", *(factor for _, factor in factors))
        n, q = weights.n_instances, weights.n_tokens
        tensors.append(tensor.reshape(n, q ** len(inner), q, q, q ** len(outer)))
    return tensors


def _letters(carried: dict[str, bool], letters: str) -> str:
    return "".join(letter for letter, is_carried in zip(letters, carried.values(), strict=True) if is_carried)
