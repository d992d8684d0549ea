"""Multiple-histogram reweighting: all chains of one size together give every temperature between theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from latticear.arguments import check_integer, check_seed
from latticear.arrays import Array
from latticear.estimation.autocorrelation import integrated_autocorrelation_time
from latticear.scaling.blocks import Blocks
from latticear.scaling.free_energies import free_energies, overlaps
from latticear.scaling.peaks import Peak

__all__ = ["Reweighting", "multiple_histograms"]

LEAST_OVERLAP = 0.03
"""Overlap of neighbouring temperatures below which their weights rest on few configurations."""

LEAST_BLOCKS = 20
"""Number of independent blocks of the chains of a temperature below which an error is hardly known."""


@dataclass(frozen=True, eq=False)
class Reweighting:
    """Quantities of one system on a grid of temperatures, from chains at several temperatures.

    Attributes:
        n_sites: N.
        temperature: the grid, ascending.
        values: by name, `(n_grid,)`: `log_z`, relative to the first measured temperature, `energy_per_site`,
            `heat_capacity_per_site`, with magnetisations `abs_magnetization`, `magnetization_squared`,
            `susceptibility` and `binder_cumulant`, and the means of the given observables.
        errors: by the same names, one standard deviation by a bootstrap over blocks.
        replicas: by the same names, `(n_bootstrap, n_grid)`; the values at two temperatures are strongly correlated.
        measured: temperatures of the chains, ascending.
        log_z: ln Z at these, relative to the first; and log_z_error.
        overlap: `(n, n)`, how far the chains at one temperature see the configurations of another.
        warnings: reasons not to trust the values.
    """

    n_sites: int
    temperature: Array
    values: dict[str, Array]
    errors: dict[str, Array]
    replicas: dict[str, Array]
    measured: Array
    log_z: Array
    log_z_error: Array
    overlap: Array
    warnings: tuple[str, ...]

    def peak(self, name: str, size: float) -> Peak:
        """The maximum of a quantity on the grid, with the errors of the bootstrap.

        Args:
            name: name of the quantity.
            size: L, for the fit of several sizes by `latticear.scaling.scaling_of`.

        Raises:
            ArithmeticError: if the maximum lies at an end of the grid.
        """
        t, height = _top(self.temperature, self.values[name][None])
        if t[0] in (self.temperature[0], self.temperature[-1]):
            raise ArithmeticError(f"{name} of L = {size:g} has no maximum inside the grid of temperatures")
        ts, heights = _top(self.temperature, self.replicas[name])
        return Peak(size, float(t[0]), float(ts.std(ddof=1)), float(height[0]), float(heights.std(ddof=1)))


def multiple_histograms(
    energies: Sequence[ArrayLike],
    temperatures: Sequence[float],
    *,
    n_sites: int,
    grid: ArrayLike | None = None,
    magnetizations: Sequence[ArrayLike] | None = None,
    observables: Mapping[str, Sequence[ArrayLike]] | None = None,
    n_bootstrap: int = 100,
    seed: int = 0,
) -> Reweighting:
    """Combine chains of one system at several temperatures into quantities at any temperature between.

    With energies E_n of all configurations, N_k of them measured at beta_k, the free energies `f_k = -ln Z_k` solve

        exp(-f_k) = sum_n exp(-beta_k E_n) / sum_l N_l exp(f_l - beta_l E_n),

    and the same weights give averages at any beta. The equations are those of WHAM with bins as narrow as the levels of
    the energy (none are needed), and of MBAR; they are solved in float64 by Newton steps of the convex function whose
    minimum they are. Configurations count alike, whatever their correlation; errors are those of a bootstrap that draws
    blocks of ten correlation times of each chain, and so contain it.

    Args:
        energies: for each temperature, extensive energies `(length,)`, or `(length, n_chains)`.
        temperatures: T of each.
        n_sites: N.
        grid: temperatures to compute; by default 101 between the lowest and the highest measured one.
        magnetizations: the magnetisation per site of the same configurations, in the same shapes.
        observables: further quantities by name, likewise; their means are computed.
        n_bootstrap: number of replicas.
        seed: seed of the replicas.

    Raises:
        ValueError: for arrays whose shapes do not agree, numbers that are not finite, or a temperature given twice.

    References:
        A. M. Ferrenberg and R. H. Swendsen, Phys. Rev. Lett. 63 (1989) 1195.
        M. R. Shirts and J. D. Chodera, J. Chem. Phys. 129 (2008) 124105, equation 11.

    Example:
        >>> from latticear.hamiltonians import Ising
        >>> from latticear.montecarlo import monte_carlo
        >>> ising = Ising((4, 4))
        >>> energies = [
        ...     np.array([ising.token_energy(batch.tokens).numpy() for batch in monte_carlo(ising, t, n=2000)])
        ...     for t in (2.0, 2.6)
        ... ]
        >>> found = multiple_histograms(energies, [2.0, 2.6], n_sites=16, grid=[2.3])
        >>> print(f"{found.values['energy_per_site'][0]:.1f}")
        -1.5
    """
    t = np.asarray(temperatures, dtype=np.float64)
    order = np.argsort(t, kind="stable")
    t = t[order]
    if t.ndim != 1 or not len(t) or len(energies) != len(t):
        raise ValueError(
            f"energies must be a list with one array for each temperature, got {len(energies)} and {t.size}"
        )
    if not (np.isfinite(t).all() and t[0] > 0) or (np.diff(t) == 0).any():
        raise ValueError(f"temperatures must be positive and different, got {t.tolist()}")
    series = {"energy": [_chains("energies", energies[k]) for k in order]}
    if magnetizations is not None:
        series["m"] = [np.abs(_chains("magnetizations", magnetizations[k])) for k in order]
    for name, arrays in (observables or {}).items():
        series[f"observable {name}"] = [_chains(name, arrays[k]) for k in order]
    for name, arrays in series.items():
        if [array.shape for array in arrays] != [array.shape for array in series["energy"]]:
            raise ValueError(f"{name} must have the shapes of the energies at each temperature")
    points = (
        np.linspace(t[0], t[-1], 101) if grid is None else np.sort(np.atleast_1d(np.asarray(grid, dtype=np.float64)))
    )
    if not (np.isfinite(points).all() and points[0] > 0):
        raise ValueError(f"grid must hold positive temperatures, got {points.tolist()}")
    return _reweighting(series, t, n_sites, points, check_integer("n_bootstrap", n_bootstrap, least=20), seed)


def _reweighting(
    series: dict[str, list[Array]], t: Array, n_sites: int, grid: Array, n_bootstrap: int, seed: int
) -> Reweighting:
    warnings = []
    lengths = []
    for k, chains in enumerate(series["energy"]):
        taus = [integrated_autocorrelation_time(arrays[k]).tau for arrays in series.values()]
        length = int(np.ceil(10 * max(taus)))
        blocks = chains.size / length
        if blocks < LEAST_BLOCKS:
            warnings.append(
                f"T = {t[k]:g}: {chains.size:,} configurations are {blocks:.0f} independent blocks; errors need "
                f"{LEAST_BLOCKS}"
            )
        lengths.append(max(1, min(length, chains.size // LEAST_BLOCKS)))
    data = Blocks.of(series, lengths)
    betas = 1 / t
    ones = np.ones(data.n)
    count = data.numbers(ones)
    f, log_denominator = free_energies(data.level, data.counts(ones), betas, count)
    overlap = overlaps(data.level, data.counts(ones), betas, count, f, log_denominator)
    for i in np.flatnonzero(np.diag(overlap, 1) < LEAST_OVERLAP).tolist():
        warnings.append(f"T = {t[i]:g} and {t[i + 1]:g} hardly overlap ({overlap[i, i + 1]:.1g}): add one between them")
    for outside in grid[(grid < t[0]) | (grid > t[-1])][:1]:
        warnings.append(f"T = {outside:g} lies outside the measured temperatures, {t[0]:g} to {t[-1]:g}")
    values = _quantities(data, ones, log_denominator, f[0], grid, n_sites)
    replicas: list[dict[str, Array]] = []
    fs = []
    for weights in _resampled(data, n_bootstrap, check_seed(seed)):
        again, denominator = free_energies(data.level, data.counts(weights), betas, data.numbers(weights), start=f)
        replicas.append(_quantities(data, weights, denominator, again[0], grid, n_sites))
        fs.append(again - again[0])
    stacked = {name: np.array([replica[name] for replica in replicas]) for name in values}
    errors = {name: sample.std(axis=0, ddof=1) for name, sample in stacked.items()}
    log_z_error = np.std(fs, axis=0, ddof=1)
    return Reweighting(n_sites, grid, values, errors, stacked, t, f[0] - f, log_z_error, overlap, tuple(warnings))


def _resampled(data: Blocks, n: int, seed: int) -> Iterator[Array]:
    """How often each configuration counts in each replica."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        yield data.resampled(rng)


def _quantities(
    data: Blocks, weights: Array, log_denominator: Array, f_first: float, grid: Array, n_sites: int
) -> dict[str, Array]:
    """All quantities on the grid, with each configuration counted so many times."""
    beta, counts = 1 / grid, data.counts(weights)
    with np.errstate(divide="ignore"):  # levels that a replica does not have
        log_weight = np.log(counts) - log_denominator - beta[:, None] * data.level
    log_z = logsumexp(log_weight, axis=1)
    probability = np.exp(log_weight - log_z[:, None])  # (n_grid, n_levels)

    def mean(of: Array) -> Array:
        """Over the configurations of each level, then over the levels."""
        sums = np.bincount(data.where, weights * of, len(data.level))
        return probability @ (sums / np.maximum(counts, 1.0))  # counts are whole numbers

    energy = probability @ data.level
    variance = ((data.level - energy[:, None]) ** 2 * probability).sum(axis=1)
    found = {
        "log_z": log_z + f_first,
        "energy_per_site": energy / n_sites,
        "heat_capacity_per_site": beta**2 * variance / n_sites,
    }
    if "m" in data.series:
        m = data.series["m"]
        m1, m2, m4 = mean(m), mean(m**2), mean(m**4)
        found |= {
            "abs_magnetization": m1,
            "magnetization_squared": m2,
            "susceptibility": beta * n_sites * (m2 - m1**2),
            "binder_cumulant": 1 - m4 / (3 * m2**2),
        }
    return found | {
        name.removeprefix("observable "): mean(values)
        for name, values in data.series.items()
        if name.startswith("observable ")
    }


def _top(t: Array, values: Array) -> tuple[Array, Array]:
    """Positions and heights of the maxima of rows, by the parabola through the three highest points."""
    k = values.argmax(axis=1)
    inner = np.clip(k, 1, len(t) - 2)
    rows = np.arange(len(values))
    left, top, right = (values[rows, inner + shift] for shift in (-1, 0, 1))
    a, b = t[inner] - t[inner - 1], t[inner + 1] - t[inner]
    slope_left, slope_right = (top - left) / a, (right - top) / b
    curvature = (slope_right - slope_left) / (a + b)
    slope = (slope_left * b + slope_right * a) / (a + b)
    shift = np.where(curvature < 0, -slope / np.where(curvature == 0, 1, 2 * curvature), 0.0)
    at_end = k != inner
    return np.where(at_end, t[k], t[inner] + shift), np.where(
        at_end, values[rows, k], top + slope * shift + curvature * shift**2
    )


def _chains(name: str, values: ArrayLike) -> Array:
    array = np.asarray(values, dtype=np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or len(array) < 2:
        raise ValueError(f"{name} must have shape (length,) or (length, n_chains) with length >= 2, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {int((~np.isfinite(array)).sum())} NaN or infinite")
    return array
