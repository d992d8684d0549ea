"""Whether samples are as symmetric as the energy: no average changes under a flip of all spins."""

from __future__ import annotations

from typing import Any

import numpy as np

from latticear.estimation.quantity import Estimate

__all__ = ["with_asymmetry"]

LIMIT = 4.5
"""Deviation of an average difference from zero, in errors, from which samples are called asymmetric."""


def with_asymmetry(estimate: Estimate, difference: Any, error: Any) -> Estimate:
    """An estimate with an objection if its average differs from that of the flipped samples.

    If chains have seen one phase of two, an observable that tells them apart has a wrong average with a small error,
    and averages that do not tell them apart show nothing of it.

    Args:
        estimate: the estimate of an observable.
        difference: average of the observable minus that after a flip of all spins, a scalar or an array.
        error: its error.
    """
    difference, error = np.ravel(np.abs(difference)), np.ravel(error)
    scale = 1e-9 * np.maximum(np.ravel(np.abs(estimate.value)), difference.max())
    size = float((difference / np.maximum(np.maximum(error, scale / LIMIT), 1e-300)).max())
    if size <= LIMIT:
        return estimate
    how = f"by {size:.3g} errors" if size < 1e6 else "in all samples alike"
    return estimate.object_to([f"it changes {how} under a flip of all spins, which leaves the energy as it is"])
