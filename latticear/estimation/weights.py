"""Importance weights: their sum, their effective number, and whether their tail has a variance."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from latticear.arrays import Array

__all__ = [
    "Divergence",
    "WeightDiagnostics",
    "balance_reasons",
    "diagnose",
    "divergence",
    "effective_sample_size",
    "imbalance_of",
    "log_mean_exp",
    "pareto_k",
]


KHAT_LIMIT = 0.7
MIN_EFFECTIVE = 100
MAX_SHARE = 0.05
MAX_IMBALANCE = 4.5
ROUNDING = 1e-5
"""Of log_q, where the network computes in single precision: weights that differ by less are equal."""


def log_mean_exp(log_w: Array) -> float:
    """`ln of the mean of exp(log_w)`, without overflow."""
    return float(logsumexp(log_w) - math.log(len(log_w)))


def effective_sample_size(log_w: Array) -> float:
    """`(sum w)^2 / (n sum w^2)`, in [1/n, 1]: the fraction of n that unweighted samples would need (Kong 1992).

    Tensors: `latticear.montecarlo.resampling.effective_fraction`, equal but for the last digit.
    """
    return float(np.exp(2 * logsumexp(log_w) - logsumexp(2 * log_w)) / len(log_w))


def pareto_k(log_w: Array) -> float:
    """Shape k-hat of a generalised Pareto distribution fitted to the largest weights.

    The weights have a variance if k < 1/2; above 0.7 importance sampling is not to be trusted at any practical n. The
    tail is the `min(n / 5, 3 sqrt n)` largest weights, without those equal to its cut-off: a small lattice has few
    configurations, so few weights, and rounding alone would tell equal ones apart. 0 where there is no tail to fit (all
    weights equal, n < 25).

    Args:
        log_w: float64 `(n,)`.

    References:
        Vehtari, Simpson, Gelman, Yao, Gabry, "Pareto smoothed importance sampling", JMLR 25 (2024) 72, section 2 and
        appendix; the fit: Zhang and Stephens, Technometrics 51 (2009) 316.
    """
    n = len(log_w)
    n_tail = math.ceil(min(n / 5, 3 * math.sqrt(n)))
    if n_tail < 5:
        return 0.0
    top = np.sort(np.partition(log_w, n - n_tail - 1)[n - n_tail - 1 :])
    cutoff, tail = top[0], top[1:]
    excess = np.exp(tail - tail[-1]) - math.exp(cutoff - tail[-1])  # in units of the largest weight
    excess = excess[(excess > 0) & (tail > cutoff + ROUNDING)]
    return _generalised_pareto_shape(excess) if len(excess) >= 5 else 0.0


def _generalised_pareto_shape(x: Array) -> float:
    """Posterior mean of k for ordered exceedances x > 0, by the profile likelihood over a grid of b = -k / sigma."""
    m = len(x)
    n_grid = 30 + int(math.sqrt(m))
    quartile = x[int(m / 4 + 0.5) - 1]
    b = 1 / x[-1] + (1 - np.sqrt(n_grid / (np.arange(n_grid) + 0.5))) / (3 * quartile)
    b = np.where(np.abs(b * x[-1]) < 1e-8, 1e-8 / x[-1], b)  # at b = 0 the likelihood has a limit, 0 / 0 in numbers
    k = np.log1p(-b[:, None] * x).mean(1)
    log_likelihood = m * (np.log(-b / k) - k - 1)
    posterior = np.exp(log_likelihood - logsumexp(log_likelihood))
    shape = np.log1p(-(b @ posterior) * x).mean()
    return float((m * shape + 10 * 0.5) / (m + 10))  # the weak prior of Vehtari et al., worth ten points at 1/2


@dataclass(frozen=True)
class WeightDiagnostics:
    """What the weights say of the error bars.

    Attributes:
        n: number of weights.
        ess: effective fraction.
        ess_half: the same from the first half alone; a fraction that falls with n has not converged.
        pareto_k: shape of the tail.
        max_share: the largest weight's share of the sum.
        kl: KL(q || p) in nats, `ln Z - <log_w>`.
        half_variance: `var(log_w) / 2`; equals kl when log_w is normal.
    """

    n: int
    ess: float
    ess_half: float
    pareto_k: float
    max_share: float
    kl: float
    half_variance: float

    def to_dict(self) -> dict[str, float]:
        return asdict(self)

    @property
    def reasons(self) -> list[str]:
        """Why the error bars cannot be trusted; empty when nothing speaks against them."""
        found = []
        if self.n * self.ess < MIN_EFFECTIVE:
            found.append(f"only {self.n * self.ess:.0f} effective samples (ESS {self.ess:.2g} of n = {self.n})")
        if self.pareto_k > KHAT_LIMIT:
            found.append(f"the weights have a heavy tail (Pareto k-hat {self.pareto_k:.2f} > {KHAT_LIMIT})")
        if self.max_share > MAX_SHARE:
            found.append(f"one sample carries {self.max_share:.0%} of the weight")
        if not 0.75 < self.ess_half / self.ess < 1.33:
            found.append(f"ESS changes with n ({self.ess_half:.2g} at n/2, {self.ess:.2g} at n)")
        if abs(self.kl - self.half_variance) > 0.1 + min(self.kl, self.half_variance):
            found.append(
                f"KL(q||p) = {self.kl:.2g} and var(log w)/2 = {self.half_variance:.2g} disagree: tails are missed"
            )
        return found


def diagnose(log_w: Array) -> WeightDiagnostics:
    """All diagnostics of log importance weights `(n,)`, in the order they were drawn."""
    log_z = log_mean_exp(log_w)
    return WeightDiagnostics(
        n=len(log_w),
        ess=effective_sample_size(log_w),
        ess_half=effective_sample_size(log_w[: max(1, len(log_w) // 2)]),
        pareto_k=pareto_k(log_w),
        max_share=float(np.exp(log_w.max() - log_z) / len(log_w)),
        kl=log_z - float(log_w.mean()),
        half_variance=float(log_w.var() / 2),
    )


class Divergence(NamedTuple):
    """KL(q || p) in nats with its standard deviation; `exact` says whether ln Z was known."""

    value: float
    error: float
    exact: bool


def divergence(log_w: Array, log_z: float | None = None) -> Divergence:
    """`ln Z - <log w>` over independent samples: a plain average, and without bias, where ln Z is known.

    Args:
        log_w: float64 `(n,)`.
        log_z: ln Z of the target; None for the estimate `ln <w>` in its place, with the error of both together by the
            delta method. It is too low as long as n is too small to find the large weights.
    """
    if log_z is not None:
        return Divergence(log_z - float(log_w.mean()), _standard_error(log_w), True)
    estimate = log_mean_exp(log_w)
    return Divergence(estimate - float(log_w.mean()), _standard_error(np.exp(log_w - estimate) - log_w), False)


def _standard_error(values: Array) -> float:
    return float(values.std() / math.sqrt(len(values)))


def imbalance_of(moved: float, error: float, n_sites: int) -> float:
    """By how many errors the average change of the energy in a heat-bath step differs from zero.

    Samples that lack what the target has (single flips of a ground state, say) all weigh the same and look perfect; a
    heat bath would create what they lack, and so gives them away.

    Args:
        moved: average change of the energy, summed over a step at every site.
        error: its standard deviation; zero if nothing fluctuates, which makes any change count.
        n_sites: N; changes below rounding do not count.
    """
    if abs(moved) <= 1e-12 * n_sites:
        return 0.0
    return float(np.clip(moved / max(error, 1e-300), -1e6, 1e6))


def balance_reasons(imbalance: float) -> list[str]:
    """A reason for distrust if a heat bath would change the energy."""
    if abs(imbalance) <= MAX_IMBALANCE:
        return []
    return [
        f"a heat bath would change the energy by {abs(imbalance):.3g} of its errors: the samples miss part of the "
        f"distribution"
    ]
