"""Averages without one block of the configurations at a time, which keep the covariances of all quantities."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np

from latticear.arrays import Array, Ints
from latticear.estimation.thermodynamics import thermodynamics_of_moments

__all__ = [
    "APART",
    "OF_Z",
    "BlockSums",
    "Replicates",
    "absolute",
    "chain_replicates",
    "edges_of",
    "jackknife_error",
    "source_of",
    "thermodynamic_replicates",
    "vector_replicates",
]

APART = "delta method and jackknife disagree on the error"

N_BLOCKS = 100
OF_Z = ("log_z", "free_energy_per_site", "entropy_per_site")
"""Quantities that contain ln Z."""
FEWEST_BLOCKS = 16
"""Smallest number of blocks of chains, where they are short; a jackknife error from so few is known to 18 %."""
BLOCK = 20.0
"""Length of a block of chains in autocorrelation times, where the chains have that length for `FEWEST_BLOCKS`: the
error from such blocks is too small by a fortieth."""


class BlockSums(NamedTuple):
    """Sums of weighted values over stretches of the configurations.

    Attributes:
        sums: `(S, k)`, sums of `w (f - pivot)` over each stretch, with weights w of mean one.
        pivot: `(k,)`, a constant near the average of f.
        shape: shape of one value: `()` or `(k,)`.
        step: number of rows in a stretch; the last one may be shorter.
    """

    sums: Array
    pivot: Array
    shape: tuple[int, ...]
    step: int = 1


@dataclass(frozen=True)
class Replicates:
    """What each quantity would be without one block of the configurations; in memory only.

    Attributes:
        values: `(n_blocks, ...)` by name; `values[name][b]` is the quantity without block b.
        source: identifies the configurations: equal for estimates that were made from the same ones.
        edges: `(n_blocks + 1,)`, the first row of each block, and the number of rows.
    """

    values: Mapping[str, Array]
    source: bytes
    edges: Ints

    @property
    def n_blocks(self) -> int:
        return len(self.edges) - 1

    def with_values(self, name: str, values: Array) -> Self:
        """The same with another quantity, `(n_blocks, ...)`."""
        return replace(self, values={**self.values, name: values})

    def with_series(self, name: str, value: float, influence: Array) -> Self:
        """The same with another quantity of the chains, from the influence `(T, R)` of each configuration on it."""
        rows = influence.T.ravel()
        blocks = np.add.reduceat(rows, self.edges[:-1])
        left = (rows.sum() - blocks) / (len(rows) - np.diff(self.edges))
        return self.with_values(name, value + left)


def source_of(*series: Array) -> bytes:
    """What identifies a set of configurations: a checksum of numbers that belong to each of them."""
    found = hashlib.blake2b(digest_size=16)
    for values in series:
        found.update(str(values.shape).encode())
        found.update(np.ascontiguousarray(values).tobytes())
    return found.digest()


def edges_of(n_rows: int, n_blocks: int = N_BLOCKS, step: int = 1) -> Ints:
    """Where blocks of nearly equal size begin, at multiples of `step`; the last entry is the number of rows."""
    edges = np.linspace(0, n_rows, min(n_blocks, n_rows) + 1).astype(int)
    edges[:-1] -= edges[:-1] % step
    return edges


def thermodynamic_replicates(
    energy: Array, m: Array, w: Array, temperature: float, n_sites: int, edges: Ints
) -> dict[str, Array]:
    """The quantities of `thermodynamics_of_moments`, ln Z and what follows from it, without one block at a time.

    Energies count from their mean, and ln Z from the logarithm of the unit of the weights.

    Args:
        energy, m, w: `(R, P)`; blocks consist of rows.
        temperature: T.
        n_sites: N.
        edges: as `edges_of` returns them.
    """
    shifted = energy - energy.mean()  # avoids cancellation in the variance
    features = np.stack([np.ones_like(w), shifted, shifted**2, np.abs(m), m**2, m**4], axis=-1) * w[..., None]
    sums = np.add.reduceat(features.mean(1), edges[:-1])
    left = sums.sum(0) - sums
    replicas = dict(thermodynamics_of_moments(left[:, 1:] / left[:, :1], temperature, n_sites))
    replicas["log_z"] = np.log(left[:, 0] / (len(w) - np.diff(edges)))
    replicas["free_energy_per_site"] = -temperature * replicas["log_z"] / n_sites
    replicas["entropy_per_site"] = replicas["energy_per_site"] / temperature + replicas["log_z"] / n_sites
    return replicas


def jackknife_error(values: Array) -> Array:
    """One standard deviation, from replicates `(n_blocks, ...)` (Quenouille 1956, Tukey 1958)."""
    scale = (len(values) - 1) / len(values)
    return np.asarray(np.sqrt(scale * ((values - values.mean(0)) ** 2).sum(0)))


def absolute(
    replicas: Mapping[str, Array], energy_per_site: float, log_z: float, temperature: float, n_sites: int
) -> dict[str, Array]:
    """The replicates that `thermodynamic_replicates` returns, with the energies and ln Z that were subtracted."""
    shifts = {
        "energy_per_site": energy_per_site,
        "log_z": log_z,
        "free_energy_per_site": -temperature * log_z / n_sites,
        "entropy_per_site": energy_per_site / temperature + log_z / n_sites,
    }
    return {name: values + shifts.get(name, 0.0) for name, values in replicas.items()}


def vector_replicates(parts: Mapping[str, BlockSums], w: Array, edges: Ints) -> dict[str, Array]:
    """Averages of other observables without one block at a time.

    Args:
        parts: sums of the weighted values, by name.
        w: `(R,)`, weights of the rows, of mean one.
        edges: as `edges_of` returns them for the step of the sums.
    """
    weights = np.add.reduceat(w, edges[:-1])
    left_w = weights.sum() - weights
    found = {}
    for name, part in parts.items():
        blocks = np.add.reduceat(part.sums, edges[:-1] // part.step)
        with np.errstate(divide="ignore", invalid="ignore"):  # one block may have all of the weight
            averages = part.pivot + (blocks.sum(0) - blocks) / left_w[:, None]
        found[name] = averages.reshape(len(left_w), *part.shape)
    return found


def chain_replicates(
    energy: Array, m: Array, series: Mapping[str, Array], tau: float, temperature: float, n_sites: int
) -> Replicates:
    """The replicates of chains, from blocks of neighbouring configurations of a chain, or of several whole chains.

    Args:
        energy, m: `(T, R)`.
        series: other observables, `(T, R, ...)`.
        tau: the longest autocorrelation time; blocks have twenty times this length if there are at least 16 of them.
        temperature: T.
        n_sites: N.
    """
    n_blocks = min(N_BLOCKS, max(FEWEST_BLOCKS, math.floor(energy.size / (BLOCK * tau))))
    edges = edges_of(energy.size, n_blocks)
    one = np.ones(energy.size)
    e_rows, m_rows = energy.T.reshape(-1, 1), m.T.reshape(-1, 1)
    replicas = thermodynamic_replicates(e_rows, m_rows, one[:, None], temperature, n_sites, edges)
    replicas = absolute(replicas, float(energy.mean()) / n_sites, 0.0, temperature, n_sites)
    replicas = {name: values for name, values in replicas.items() if name not in OF_Z}
    parts = {}
    for name, values in series.items():
        rows = np.swapaxes(values, 0, 1).reshape(energy.size, -1)
        pivot = rows.mean(0)
        parts[name] = BlockSums(rows - pivot, pivot, values.shape[2:])
    return Replicates({**replicas, **vector_replicates(parts, one, edges)}, source_of(m), edges)
