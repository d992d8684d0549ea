"""The integrated autocorrelation time, and from it errors of means of correlated series."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.fft import irfft, next_fast_len, rfft

from latticear.arrays import Array
from latticear.estimation.numbers import ROUNDING

__all__ = ["TauInt", "integrated_autocorrelation_time", "mean_error", "recurrences"]


_S = 1.5  # assumed ratio tau_exp / tau_int; the value that Wolff recommends
_MIN_WINDOWS = 25  # shortest total length of all chains, in windows, for which a result is reliable
_RECURS = 6.0  # deviation from zero, in standard deviations, of an autocorrelation that is no accident


@dataclass(frozen=True)
class TauInt:
    """An integrated autocorrelation time in the convention `1/2 + sum_t rho(t)`, in steps of the series.

    Attributes:
        tau: the estimate; 0.5 for independent data, below it for anticorrelated data.
        error: one standard deviation of `tau`; 0 for a series that is constant up to rounding.
        window: the lag W at which the sum was cut; 0 for such a series.
        n_chains: number of chains, R.
        length: measurements in each chain, T.
        reliable: False if `tau`, and errors computed from it, cannot be trusted; `integrated_autocorrelation_time`
            gives the criteria.
    """

    tau: float
    error: float
    window: int
    n_chains: int
    length: int
    reliable: bool

    @property
    def needed(self) -> int:
        """About how many values, of all chains together, would make this time reliable; more than there are.

        It is 25 windows; where the window did not close within half a chain, also as many values of each chain as two
        windows, for a window of twice that half or of 4 tau, since tau is then hardly known.
        """
        n, half = self.n_chains * self.length, self.length // 2
        if self.window < half:
            needed = _MIN_WINDOWS * self.window
        else:
            needed = max(2 * half, math.ceil(4 * self.tau)) * max(_MIN_WINDOWS, 2 * self.n_chains)
        return needed if needed > n else 2 * n


class _Sum(NamedTuple):
    """The autocovariance summed up to the window.

    Attributes:
        tau: integrated autocorrelation time.
        variance: variance of one measurement, corrected for bias.
        measured: False if the data do not determine `tau` and it was set to 0.5, the value of white noise.
    """

    tau: float
    variance: float
    measured: bool


def integrated_autocorrelation_time(series: ArrayLike) -> TauInt:
    """Integrated autocorrelation time `tau_int = 1/2 + sum_{t >= 1} rho(t)`: white noise gives 0.5.

    The error of a mean of N values is then `sqrt(2 tau_int var / N)`; emcee's time is twice this one.

    All chains are treated as realisations of one stationary process: the autocovariance is taken about the common
    mean of all chains and averaged over them, so that chains with different means give a long time. The window is that
    of Wolff's Gamma method, S = 1.5, with two changes that make the method valid for anticorrelated series as well: the
    window is chosen from the sum of |rho|, and the last term of the sum counts one half, because cutting an exponential
    at W then changes tau by the fraction rho(W), for either sign of rho.

    `reliable` is True under two conditions. The window must close within half a chain, because a shorter chain does
    not show the decay of its correlation. And all chains together must have the length of 25 windows (about 100 tau, or
    50 independent values), because tau is then known to 40 % or better. These are separate conditions on the length of
    each chain and on the total length: many chains of ten or twenty tau each are sufficient. A series that violates a
    condition and seems anticorrelated gets tau 0.5, which overestimates the error rather than underestimating it; so
    does a series that is constant up to rounding or whose sum is negative.

    Args:
        series: real numbers, `(T,)` or `(T, R)` with one column per chain.

    Raises:
        ValueError: if the series has another number of dimensions, fewer than 2 steps, no chains, or values that are
            not finite real numbers.

    References:
        U. Wolff, Comput. Phys. Commun. 156 (2004) 143, hep-lat/0306017: replicas, automatic
        window; eq. 42 (error of tau), eq. 49 (bias).
        N. Madras and A. D. Sokal, J. Stat. Phys. 50 (1988) 109.

    Example:
        >>> import numpy as np
        >>> white = np.random.default_rng(0).normal(size=(5000, 4))
        >>> result = integrated_autocorrelation_time(white)
        >>> abs(result.tau - 0.5) < 4 * result.error, result.reliable
        (True, True)
    """
    return _analyse(_checked(series))[2]


def mean_error(series: ArrayLike) -> tuple[float, float, TauInt]:
    """Mean of a correlated series with its error bar: (mean, error, TauInt).

    The error is one standard deviation of the mean, `sqrt(2 tau_int var / N)` with N = T R. The error may be too small
    if `TauInt.reliable` is False; it is 0 for a constant series.

    Args:
        series: real numbers, `(T,)` or `(T, R)` with one column per chain.

    Raises:
        ValueError: as `integrated_autocorrelation_time`.

    Example:
        >>> import numpy as np
        >>> mean, error, tau = mean_error(np.random.default_rng(0).normal(size=10_000))
        >>> abs(mean) < 4 * error
        True
    """
    return _analyse(_checked(series))


def recurrences(series: ArrayLike, tau: TauInt) -> list[tuple[int, float]]:
    """The lags beyond the window at which a series is correlated again, with its autocorrelation there.

    The measurements of R chains that follow each other in turn are correlated at the lags R, 2 R and so on alone, which
    no window reaches. Where few measurements differ from the others, two of them are some distance apart by accident:
    the limit is that of Bernstein's inequality, which counts such pairs, and for many it is six standard deviations.

    Args:
        series: as `mean_error` takes it.
        tau: what `mean_error` says of it.
    """
    values = _checked(series)
    deviations = values - values.mean()
    gamma = _autocovariance(deviations / (float(np.abs(deviations).max()) or 1.0))
    rho = gamma / (gamma[0] or 1.0)
    lags = np.arange(len(rho))
    pairs, exponent = values.shape[1] * (len(values) - lags), _RECURS**2 / 2
    single = exponent / 3  # the largest deviation is 1, and so is the largest product of two
    limit = single + np.sqrt(single**2 + 2 * exponent * pairs * gamma[0] ** 2 * max(2 * tau.tau, 1.0))
    found = np.flatnonzero((gamma * pairs > limit) & (lags > tau.window))
    return [(int(lag), float(rho[lag])) for lag in found]


def _analyse(series: Array) -> tuple[float, float, TauInt]:
    length, n_chains = series.shape
    low, high = series.min(), series.max()
    if high - low <= ROUNDING * max(abs(low), abs(high)):  # rounding errors have no autocorrelation that means anything
        mean = float(np.clip(series.mean(), low, high))
        return mean, 0.0, TauInt(0.5, 0.0, 0, n_chains, length, reliable=False)
    n = series.size
    deviations = series - series.mean()
    scale = float(np.abs(deviations).max())  # avoids underflow and overflow of the squares of tiny or huge numbers
    gamma = _autocovariance(deviations / scale)
    window, closed = _window(gamma / gamma[0], n)
    enough = closed and n >= _MIN_WINDOWS * window
    result = _sum(gamma, window, enough, n)
    pairs = n_chains * (length - window)  # number of pairs at lag W; Wolff's eq. 42 has n, which assumes W << T
    tau_error = 2 * result.tau * np.sqrt(max(window - 0.25 - result.tau, 0.25) / pairs)
    tau = TauInt(result.tau, float(tau_error), window, n_chains, length, enough and result.measured)
    return float(series.mean()), scale * float(np.sqrt(2 * result.tau * result.variance / n)), tau


def _autocovariance(deviations: Array) -> Array:
    """Autocovariance at lags 0..T // 2, averaged over chains."""
    length, n_chains = deviations.shape
    padded = next_fast_len(2 * length, real=True)  # padding with zeros removes the periodicity of the transform
    spectrum = (np.abs(rfft(deviations, padded, axis=0)) ** 2).sum(axis=1)
    lags = np.arange(length // 2 + 1)
    return irfft(spectrum, padded)[lags] / (n_chains * (length - lags))


def _window(rho: Array, n: int) -> tuple[int, bool]:
    """The lag W at which truncation error and statistical error of tau balance, and whether W is at most T // 2.

    W is the first lag >= 1 with `exp(-W / tau_exp) < tau_exp / sqrt(W N)`, or T // 2 if no lag satisfies this.
    """
    lags = np.arange(1, len(rho))
    # The sum of |rho| shows the decay of an alternating correlation; the sum of rho would be small at any lag.
    size = np.maximum(0.5 + np.cumsum(np.abs(rho[1:])), 0.5 + 1e-9)
    tau_exp = _S / np.log((2 * size + 1) / (2 * size - 1))
    closes = np.exp(-lags / tau_exp) < tau_exp / np.sqrt(lags * n)
    if closes.any():
        return int(lags[closes.argmax()]), True
    return len(lags), False


def _sum(gamma: Array, window: int, enough: bool, n: int) -> _Sum:
    """tau and the variance, corrected for the bias from subtracting the sample mean (Wolff's eq. 49)."""
    total = _integral(gamma, window)
    if total <= (0 if enough else gamma[0]):  # too few data to establish errors below those of white noise
        return _Sum(0.5, float(gamma[0] * (1 + 1 / n)), measured=False)
    corrected = gamma + total / n
    tau = _integral(corrected, window) / (2 * corrected[0])
    return _Sum(float(tau), float(corrected[0]), measured=True)


def _integral(gamma: Array, window: int) -> float:
    """`gamma(0) + 2 sum_t gamma(t)` for t up to the window, where the last term counts half."""
    return float(gamma[0] + 2 * gamma[1:window].sum() + gamma[window])


def _checked(series: ArrayLike) -> Array:
    values = np.asarray(series)
    if values.ndim not in (1, 2):
        raise ValueError(f"series must have shape (T,) or (T, n_chains), got {values.shape}")
    if np.iscomplexobj(values):
        raise ValueError("series must be real, got complex values; analyse real and imaginary parts separately")
    values = values.astype(np.float64).reshape(len(values), -1 if values.size else values.shape[-1])
    if len(values) < 2 or values.shape[1] < 1:
        raise ValueError(
            f"an autocorrelation time needs at least 2 steps (first axis) of at least one chain, "
            f"got shape {np.shape(series)}"
        )
    finite = np.isfinite(values)
    if not finite.all():
        raise ValueError(f"series must be finite, got {int((~finite).sum())} values that are NaN or infinite")
    return values
