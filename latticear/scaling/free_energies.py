"""Free energies of several temperatures from the energies that were measured at them."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from latticear.arrays import Array

__all__ = ["free_energies", "overlaps"]

TOLERANCE, ACCEPTED = 1e-11, 1e-6
"""Relative deviation from the equations at which they count as solved, and that which is accepted after all steps."""

MAX_STEPS = 200


def free_energies(level: Array, count: Array, beta: Array, n: Array, start: Array | None = None) -> tuple[Array, Array]:
    """Solve the equations of `multiple_histograms`.

    They say that the gradient of the convex function `sum_m c_m ln sum_k n_k exp(f_k - beta_k E_m) - sum_k n_k f_k`
    vanishes. A Newton step that does not make the gradient smaller is replaced by one of the fixed-point iteration,
    which always converges.

    Args:
        level: `(M,)`, energies E_m.
        count: `(M,)`, number of configurations c_m with each, of all temperatures together.
        beta: `(K,)`, inverse temperatures.
        n: `(K,)`, number of configurations measured at each.
        start: `(K,)`, free energies to begin with.

    Returns:
        `f_k = -ln Z_k`, of which the first is arbitrary and zero, and `ln sum_k n_k exp(f_k - beta_k E_m)`.

    Raises:
        ArithmeticError: if the equations are not solved to a relative 1e-6 after 200 steps.
    """
    used = count > 0
    E, c = level[used], count[used]
    f = _begin(E, c, beta) if start is None else start - start[0]
    step_of = _state(E, c, beta, n, f)
    for _ in range(MAX_STEPS):
        gradient, hessian, fixed_point = step_of
        if np.abs(gradient / n).max() < TOLERANCE:
            break
        newton = f.copy()
        newton[1:] -= np.linalg.lstsq(hessian[1:, 1:], gradient[1:], rcond=None)[0]
        tried = _state(E, c, beta, n, newton)
        if np.isfinite(tried[0]).all() and np.abs(tried[0] / n).max() < np.abs(gradient / n).max():
            f, step_of = newton, tried
        else:
            f = fixed_point - fixed_point[0]
            step_of = _state(E, c, beta, n, f)
    if np.abs(step_of[0] / n).max() > ACCEPTED:
        raise ArithmeticError("the equations of the multiple histograms do not converge; add temperatures in between")
    return f, logsumexp(np.log(n) + f - beta * level[:, None], axis=1)


def overlaps(level: Array, count: Array, beta: Array, n: Array, f: Array, log_denominator: Array) -> Array:
    """`(K, K)`: the probability that a configuration of temperature k could as well have been measured at l.

    References:
        P. V. Klimovich, M. R. Shirts, D. L. Mobley, J. Comput. Aided Mol. Des. 29 (2015) 397.
    """
    weight = np.exp(f - beta * level[:, None] - log_denominator[:, None])  # (M, K), sums over configurations to 1
    return (count[:, None] * weight).T @ (n * weight)


def _begin(E: Array, c: Array, beta: Array) -> Array:
    """Free energies that are those of one common mean energy: between any two of them df/dbeta = <E>."""
    return (beta - beta[0]) * float(c @ E / c.sum())


def _state(E: Array, c: Array, beta: Array, n: Array, f: Array) -> tuple[Array, Array, Array]:
    """Gradient and Hessian of the convex function, and the next f of the fixed-point iteration."""
    log_weight = f - beta * E[:, None]
    log_denominator = logsumexp(log_weight + np.log(n), axis=1)
    share = n * np.exp(log_weight - log_denominator[:, None])  # (M, K), sums over k to 1
    total = c @ share
    hessian = np.diag(total) - (c[:, None] * share).T @ share
    fixed_point = f - np.log(np.maximum(total, 1e-300) / n)
    return total - n, hessian, fixed_point
