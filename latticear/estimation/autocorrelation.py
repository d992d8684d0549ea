"""Errors of means over correlated series: the integrated autocorrelation time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.fft import irfft, next_fast_len, rfft

from latticear.arrays import Array

__all__ = ["TauInt", "integrated_autocorrelation_time", "mean_error"]


_S = 1.5  # Wolff's guess of tau_exp / tau_int, the value he recommends
_MIN_WINDOWS = 25


@dataclass(frozen=True)
class TauInt:
    """An integrated autocorrelation time in the convention `1/2 + sum_t rho(t)`, in steps of the series.

    Attributes:
        tau: the estimate; 0.5 for independent data, below it for anticorrelated data.
        error: one standard deviation of `tau`; 0 for a constant series.
        window: the lag W at which the sum was cut; 0 for a constant series.
        n_chains: number of chains, R.
        length: measurements in each chain, T.
        reliable: False if `tau`, and errors made from it, should not be trusted: see
            `integrated_autocorrelation_time`.
    """

    tau: float
    error: float
    window: int
    n_chains: int
    length: int
    reliable: bool


class _Sum(NamedTuple):
    """The autocovariance summed up to the window.

    Attributes:
        tau: integrated autocorrelation time.
        variance: of one measurement, bias corrected.
        found: False if `tau` is the fallback 0.5, that of white noise.
    """

    tau: float
    variance: float
    found: bool


def integrated_autocorrelation_time(series: ArrayLike) -> TauInt:
    """Integrated autocorrelation time `tau_int = 1/2 + sum_{t >= 1} rho(t)`: white noise gives 0.5.

    The error of a mean of N values is then `sqrt(2 tau_int var / N)`; emcee's time is twice this one.

    Chains count as replicas of one stationary process: the autocovariance is taken about the mean of all of
    them and averaged over them, so that chains which disagree show as a long time. The window is that of
    Wolff's Gamma method, S = 1.5, with two changes that make it hold for anticorrelated series as well: it
    is chosen on the sum of |rho|, and the last term counts one half, for then cutting an exponential at W
    changes tau by the fraction rho(W), whatever its sign.

    `reliable` asks for two things. The window must close within half a chain: a chain that never saw its
    correlation die out cannot know it. And all chains together must hold 25 windows (about 100 tau, or 50
    independent values), for then tau is known to 40 % or better. Length per chain and total length are so
    judged apart: many chains of ten or twenty tau each will do. A series that fails and seems anticorrelated
    gets tau 0.5, the safe side, and so do those that are constant or whose sum is negative.

    Args:
        series: `(T,)` or `(T, R)`, one column per chain, real.

    Raises:
        ValueError: for another number of dimensions, fewer than 2 steps, no chains, or values that are not
            finite real numbers.

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

    The error is one standard deviation of the mean, `sqrt(2 tau_int var / N)` with N = T R. Where
    `TauInt.reliable` is False it may be too small; for a constant series it is 0.

    Args:
        series: `(T,)` or `(T, R)`, one column per chain, real.

    Raises:
        ValueError: as `integrated_autocorrelation_time`.

    Example:
        >>> import numpy as np
        >>> mean, error, tau = mean_error(np.random.default_rng(0).normal(size=10_000))
        >>> abs(mean) < 4 * error
        True
    """
    return _analyse(_checked(series))


def _analyse(series: Array) -> tuple[float, float, TauInt]:
    length, n_chains = series.shape
    if series.min() == series.max():
        return float(series[0, 0]), 0.0, TauInt(0.5, 0.0, 0, n_chains, length, reliable=False)
    n = series.size
    deviations = series - series.mean()
    scale = float(np.abs(deviations).max())  # squares of tiny or huge numbers must neither vanish nor overflow
    gamma = _autocovariance(deviations / scale)
    window, closed = _window(gamma / gamma[0], n)
    enough = closed and n >= _MIN_WINDOWS * window
    result = _sum(gamma, window, enough, n)
    pairs = n_chains * (length - window)  # at the last lag; n of them in Wolff's eq. 42, for W far below T
    tau_error = 2 * result.tau * np.sqrt(max(window - 0.25 - result.tau, 0.25) / pairs)
    tau = TauInt(result.tau, float(tau_error), window, n_chains, length, enough and result.found)
    return float(series.mean()), scale * float(np.sqrt(2 * result.tau * result.variance / n)), tau


def _autocovariance(deviations: Array) -> Array:
    """Autocovariance at lags 0..T // 2, averaged over chains."""
    length, n_chains = deviations.shape
    padded = next_fast_len(2 * length, real=True)  # zeros, so that the end does not meet the beginning
    spectrum = (np.abs(rfft(deviations, padded, axis=0)) ** 2).sum(axis=1)
    lags = np.arange(length // 2 + 1)
    return irfft(spectrum, padded)[lags] / (n_chains * (length - lags))


def _window(rho: Array, n: int) -> tuple[int, bool]:
    """The lag that balances the errors of cutting and of summing noise; (W, whether it was found in time).

    It is the first W >= 1 with `exp(-W / tau_exp) < tau_exp / sqrt(W N)`.
    """
    lags = np.arange(1, len(rho))
    # The sum of |rho| sees the decay of an alternating correlation, whose plain sum is small at any lag.
    size = np.maximum(0.5 + np.cumsum(np.abs(rho[1:])), 0.5 + 1e-9)
    tau_exp = _S / np.log((2 * size + 1) / (2 * size - 1))
    closes = np.exp(-lags / tau_exp) < tau_exp / np.sqrt(lags * n)
    if closes.any():
        return int(lags[closes.argmax()]), True
    return len(lags), False


def _sum(gamma: Array, window: int, enough: bool, n: int) -> _Sum:
    """The time and the variance up to the window, corrected for the mean of the same data (eq. 49)."""
    total = _integral(gamma, window)
    if total <= (0 if enough else gamma[0]):  # too few data to claim errors below those of white noise
        return _Sum(0.5, float(gamma[0] * (1 + 1 / n)), found=False)
    corrected = gamma + total / n
    tau = _integral(corrected, window) / (2 * corrected[0])
    return _Sum(float(tau), float(corrected[0]), found=True)


def _integral(gamma: Array, window: int) -> float:
    """`gamma(0) + 2 sum_t gamma(t)` up to the window, the last term with half its weight."""
    return float(gamma[0] + 2 * gamma[1:window].sum() + gamma[window])


def _checked(series: ArrayLike) -> Array:
    values = np.asarray(series)
    if values.ndim not in (1, 2):
        raise ValueError(f"series must have shape (T,) or (T, n_chains), got {values.shape}")
    if np.iscomplexobj(values):
        raise ValueError("series must be real, got complex values; analyse real and imaginary part apart")
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
