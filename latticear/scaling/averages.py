"""Averages over fits: several models of the same data, weighted by how well they describe it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import gammaincc

from latticear.arrays import Array

__all__ = ["LEAST_P", "Model", "averaged", "p_value", "quality", "weights_of"]

LEAST_WEIGHT = 0.01
"""Weight, relative to that of the best, below which a model is left out: its parameters may be undetermined."""

LEAST_P = 0.01
"""Probability of a larger chi^2 below which a fit does not describe its data."""


class Model(NamedTuple):
    """One fit.

    Attributes:
        values: the parameters of interest.
        covariance: their covariance.
        chi2: sum of the squared deviations in units of their errors.
        n: number of values that are fitted.
        n_parameters: number of all parameters of the fit.
    """

    values: Array
    covariance: Array
    chi2: float
    n: int
    n_parameters: int

    @property
    def dof(self) -> int:
        """Degrees of freedom."""
        return self.n - self.n_parameters

    @property
    def criterion(self) -> float:
        """`chi^2 + 2 k - 2 n`: Akaike's criterion, in which each value that is left out costs two."""
        return self.chi2 + 2 * self.n_parameters - 2 * self.n


def averaged(models: Sequence[Model]) -> tuple[Array, Array, Model]:
    """Parameters and their covariance, averaged over models, and the model of largest weight.

    The weight of a model is `exp(-(chi^2 + 2 k - 2 n) / 2)`; the covariance is the weighted mean of those of the models
    and the scatter of their values. Models of less than a hundredth of the largest weight are left out. If even the
    best model does not describe its data, the errors are enlarged by `sqrt(chi^2 / dof)`.

    References:
        W. I. Jay and E. T. Neil, Phys. Rev. D 103 (2021) 114502, equations 50 to 52.
    """
    best = min(models, key=lambda model: model.criterion)
    poor = best.dof > 0 and p_value(best.chi2, best.dof) < LEAST_P
    scale = best.chi2 / best.dof if poor else 1.0
    weights = weights_of(np.array([model.criterion for model in models]), scale)
    values = np.array([model.values for model in models])
    mean = weights @ values
    within = np.einsum("m,mij->ij", weights, np.array([model.covariance for model in models]))
    scatter = np.einsum("m,mi,mj->ij", weights, values - mean, values - mean)
    return mean, scale * within + scatter, best


def weights_of(criteria: Array, scale: float = 1.0) -> Array:
    """Weights of models, which sum to 1.

    Args:
        criteria: `Model.criterion` of each.
        scale: chi^2 per degree of freedom of the best model, if it does not describe its data.
    """
    weights = np.exp(-(criteria - criteria.min()) / (2 * scale))
    weights[weights < LEAST_WEIGHT] = 0.0
    return weights / weights.sum()


def p_value(chi2: float, dof: int) -> float:
    """Probability of at least this chi^2; 1 without degrees of freedom."""
    return float(gammaincc(dof / 2, chi2 / 2)) if dof > 0 else 1.0


def quality(chi2: float, dof: int) -> str:
    """chi^2 per degree of freedom as text.

    Example:
        >>> quality(4.0, 5), quality(0.0, 0)
        ('chi^2/dof = 4/5', 'no degrees of freedom')
    """
    return f"chi^2/dof = {chi2:.2g}/{dof}" if dof > 0 else "no degrees of freedom"
