"""Corrections to scaling: what finite sizes add to the leading power, of unknown exponent and amplitude."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from latticear.arrays import Array

__all__ = ["ALLOWED", "Allowance", "Correction", "allowance_of"]

POWERS = (0.8, 1.75)
"""Exponents omega of the corrections that are allowed for: slow and fast ones, between and around which others lie."""

OF_HEIGHT = 0.1
"""How large they may be at the smallest size: standard deviation of their amplitudes, relative to the quantity and
to its change with the scaling variable."""


class Allowance(NamedTuple):
    """Corrections `sum_k a_k (L / L_min)^-omega_k`, relative to the quantity, whose amplitudes are not known.

    Attributes:
        powers: omega of each.
        size: standard deviation of the amplitudes around zero, before the data are known; infinite if nothing is
            known of them.
    """

    powers: tuple[float, ...]
    size: float

    def columns(self, size: Array, smallest: float) -> Array:
        """`(n, n_powers)`: the corrections of amplitude one at these sizes."""
        return np.asarray((size / smallest)[:, None] ** -np.array(self.powers), dtype=np.float64)

    @property
    def weight(self) -> float:
        """What an amplitude is multiplied by in a sum of squares: one over its standard deviation."""
        return 1 / self.size

    @property
    def is_known(self) -> bool:
        """Whether there are corrections, of a size that is known beforehand."""
        return bool(self.powers) and bool(np.isfinite(self.size))

    @property
    def n_free(self) -> int:
        """Number of amplitudes about which nothing is known."""
        return len(self.powers) if np.isinf(self.size) else 0


ALLOWED = "allowed"
Correction = float | str | None
"""Omega of a correction; "allowed" for corrections of unknown exponent and natural size; None for none."""


def allowance_of(correction: Correction, size: float) -> Allowance:
    """The corrections of a fit.

    Args:
        correction: `Correction`; one of given exponent has an amplitude about which nothing is known.
        size: natural size of corrections of unknown exponent.

    Raises:
        ValueError: for anything else.
    """
    if correction is None:
        return Allowance((), 1.0)
    if correction == ALLOWED:
        return Allowance(POWERS, size)
    if isinstance(correction, str) or not 0 < correction < np.inf:
        raise ValueError(f"correction must be {ALLOWED!r}, None, or an exponent above zero, got {correction!r}")
    return Allowance((float(correction),), np.inf)
