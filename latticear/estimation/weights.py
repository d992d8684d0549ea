"""Importance weights: their mean, the effective sample size, and whether their variance is finite."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import lambertw, logsumexp

from latticear.arrays import Array

__all__ = [
    "ROUNDING",
    "Divergence",
    "Imbalance",
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
FEWEST = 30
"""Smallest number of effective samples for which agreement with something independent means anything."""
EVEN = 0.9
"""ESS above which the samples themselves carry most of the weight, and a heavy tail is no more than a doubt."""
MAX_IMBALANCE = 4.5
ROUNDING = 1e-5
"""Rounding error of log_q of a network in single precision: log weights that differ by less count as equal."""


def log_mean_exp(log_w: Array) -> float:
    """Logarithm of the mean of `exp(log_w)`, without overflow."""
    return float(logsumexp(log_w) - math.log(len(log_w)))


def effective_sample_size(log_w: Array) -> float:
    """ESS as a fraction of n, `(sum w)^2 / (n sum w^2)` in [1/n, 1] (Kong 1992).

    About this fraction of n unweighted samples would give the same error. The function for tensors is
    `latticear.montecarlo.resampling.effective_fraction`; it agrees up to rounding.
    """
    return float(np.exp(2 * logsumexp(log_w) - logsumexp(2 * log_w)) / len(log_w))


def pareto_k(log_w: Array) -> float:
    """Shape k-hat of a generalised Pareto distribution fitted to the largest weights.

    The variance of the weights is finite if k < 1/2; above 0.7 importance sampling cannot be trusted at any practical
    n. The tail consists of the `min(n / 5, 3 sqrt n)` largest weights, without those equal up to `ROUNDING` to the next
    smaller weight: on a small lattice many samples are the same configuration, whose weights differ by rounding alone.
    The result is 0 if there is no tail to fit (all weights equal, or n < 25).

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
    b = np.where(np.abs(b * x[-1]) < 1e-8, 1e-8 / x[-1], b)  # at b = 0 the likelihood below would be 0 / 0
    k = np.log1p(-b[:, None] * x).mean(1)
    log_likelihood = m * (np.log(-b / k) - k - 1)
    posterior = np.exp(log_likelihood - logsumexp(log_likelihood))
    shape = np.log1p(-(b @ posterior) * x).mean()
    return float((m * shape + 10 * 0.5) / (m + 10))  # the weak prior of Vehtari et al.: ten observations of k = 1/2


@dataclass(frozen=True)
class WeightDiagnostics:
    """Diagnostics of importance weights, which show whether error bars can be trusted.

    Attributes:
        n: number of weights.
        ess: effective sample size as a fraction of n.
        ess_half: effective sample size of the first half of the weights, as a fraction of their number; `ess` has not
            converged if the two differ much.
        pareto_k: shape k-hat of the tail.
        max_share: the largest weight as a fraction of the sum of weights.
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
        """Reasons why the error bars cannot be trusted; empty if there are none."""
        reasons = []
        if self.n * self.ess < MIN_EFFECTIVE and not self.is_even:
            reasons.append(f"only {self.n * self.ess:.0f} effective samples (ESS {self.ess:.2g} of n = {self.n})")
        if self.pareto_k > KHAT_LIMIT and not self.is_even:
            reasons.append(f"the weights have a heavy tail (Pareto k-hat {self.pareto_k:.2f} > {KHAT_LIMIT})")
        if self.max_share > MAX_SHARE and not self.is_even:
            reasons.append(f"one sample carries {self.max_share:.0%} of the weight")
        if not 0.75 < self.ess_half / self.ess < 1.33:
            reasons.append(f"ESS changes with n ({self.ess_half:.2g} at n/2, {self.ess:.2g} at n)")
        if abs(self.kl - self.half_variance) > 0.1 + min(self.kl, self.half_variance) and not self.is_even:
            reasons.append(
                f"KL(q||p) = {self.kl:.2g} and var(log w)/2 = {self.half_variance:.2g} disagree: the samples may miss "
                f"the tails of the weights"
            )
        return reasons

    @property
    def doubts(self) -> list[str]:
        """Reasons why agreement with something independent does not count; empty if there are none."""
        return [f"only {self.n * self.ess:.0f} effective samples"] if self.n * self.ess < FEWEST else []

    @property
    def is_even(self) -> bool:
        """Whether the weights are so even that the tail seen changes an average by less than its error."""
        return self.ess > EVEN


def diagnose(log_w: Array) -> WeightDiagnostics:
    """All diagnostics of log importance weights `(n,)`, given in the order in which the samples were drawn."""
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
    """KL(q || p) in nats with its standard deviation; `exact` is True if it was computed with the exact ln Z."""

    value: float
    error: float
    exact: bool


def divergence(log_w: Array, log_z: float | None = None) -> Divergence:
    """KL divergence `ln Z - <log w>` from independent samples; unbiased if ln Z is given.

    Args:
        log_w: float64 `(n,)`.
        log_z: exact ln Z of the target. None uses the estimate `ln <w>` instead; the error then includes that of ln Z,
            by the delta method, and the divergence is too low if n is too small to sample the large weights.
    """
    if log_z is not None:
        return Divergence(log_z - float(log_w.mean()), _standard_error(log_w), True)
    estimate = log_mean_exp(log_w)
    return Divergence(estimate - float(log_w.mean()), _standard_error(np.exp(log_w - estimate) - log_w), False)


def _standard_error(values: Array) -> float:
    return float(values.std() / math.sqrt(len(values)))


class Imbalance(NamedTuple):
    """What a heat bath would change in a set of configurations.

    Attributes:
        size: average energy change in a heat-bath step, in units of its error; zero for samples of the target.
        reasons: reasons for distrust that follow from it.
    """

    size: float
    reasons: list[str]


def imbalance_of(moved: float, error: float, n_sites: int, temperature: float, n: float) -> Imbalance:
    """Whether a heat bath would change the energy of the samples.

    If samples miss part of the target (for example single spin flips of a ground state) their weights may all be equal,
    so that diagnostics of the weights detect nothing. A heat bath would create the missing configurations and so change
    the energy.

    The error that is seen does not know of excitations that the samples happen to lack. The heat bath would make
    excitations of a certain energy d, found from the change at one site of two levels, `d exp(-d/T)`; in equilibrium as
    many configurations have one as it would make, and their number among n varies by its square root. This error is
    added to the one seen; where nothing varied, it is the only one.

    Args:
        moved: average energy change of a heat-bath step, summed over all sites.
        error: standard deviation of `moved`, as the samples show it.
        n_sites: N; changes below the rounding error of N terms count as zero.
        temperature: T.
        n: number of independent configurations.
    """
    if abs(moved) <= 1e-12 * n_sites:
        return Imbalance(0.0, [])
    share = min(abs(moved) / n_sites / temperature, math.exp(-1))
    excitation = -temperature * float(lambertw(-share, -1).real)
    size = moved / math.hypot(error, math.sqrt(abs(moved) * excitation / n))
    return Imbalance(size, balance_reasons(size))


def balance_reasons(imbalance: float) -> list[str]:
    """A reason for distrust if a heat bath would change the energy significantly; see `imbalance_of`."""
    if abs(imbalance) <= MAX_IMBALANCE:
        return []
    return [
        f"a heat bath would change the average energy by {abs(imbalance):.3g} standard errors: the samples miss part "
        f"of the distribution"
    ]
