"""Markov chain Monte Carlo: Metropolis for every Hamiltonian, Swendsen-Wang for two-state ones.

Many chains run at once as one batch; configurations come in measurement-major order.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from latticear.hamiltonians.base import AbstractHamiltonian, check_temperature
from latticear.lattice import colour_graph
from latticear.samples import Samples, token_dtype

__all__ = ["METHODS", "Metropolis", "Schedule", "SwendsenWang", "default_schedule", "monte_carlo"]


class Schedule(NamedTuple):
    """How a run proceeds; a sweep offers every site one update.

    Attributes:
        n_chains: independent chains, run as one batch.
        thermalization: sweeps before the first measurement.
        thinning: sweeps between measurements.
    """

    n_chains: int
    thermalization: int
    thinning: int


class Chains(Protocol):
    """What a method is: a batch of chains that can take one more sweep.

    Attributes:
        name: as `monte_carlo` and the command line call it.
        tokens: `(n_chains, H, W)`, where the chains are now; changed in place.
    """

    name: ClassVar[str]
    tokens: Tensor

    def __init__(
        self, hamiltonian: AbstractHamiltonian, temperature: float, n_chains: int, seed: int, device: str
    ) -> None: ...

    def sweep(self) -> None:
        """Offer every site one update."""

    @staticmethod
    def default_sweeps(extent: int) -> tuple[int, int]:
        """(thermalization, thinning) that serve a critical point on a lattice of this extent."""


class Metropolis:
    """Single-spin Metropolis updates, all sites of one colour and all chains at once.

    The proposal is uniform over the q - 1 other tokens, accepted with probability
    `0.9 min(1, exp(-beta Delta E))`. Works for every Hamiltonian, on CPU and CUDA.

    Reference: N. Metropolis et al., J. Chem. Phys. 21 (1953) 1087.
    """

    name: ClassVar[str] = "metropolis"

    def __init__(
        self, hamiltonian: AbstractHamiltonian, temperature: float, n_chains: int, seed: int, device: str
    ) -> None:
        rng = _random_stream(seed, self.name)
        self.tokens = _start(hamiltonian, n_chains, rng).to(device)
        self._hamiltonian = hamiltonian
        self._beta = 1 / temperature
        self._generator = torch.Generator(device).manual_seed(int(rng.integers(2**63)))
        colours = colour_graph(hamiltonian.n_sites, hamiltonian.bonds)
        self._groups = [(colours == c).nonzero()[:, 0].to(device) for c in colours.unique()]

    def sweep(self) -> None:
        for sites in self._groups:
            self._update(sites)

    def _update(self, sites: Tensor) -> None:
        flat = self.tokens.view(len(self.tokens), -1)
        old = flat[:, sites].long()
        new = self._propose(old)
        energies = self._hamiltonian.conditional_energies(self.tokens, sites)
        change = (energies.gather(2, new[..., None]) - energies.gather(2, old[..., None]))[..., 0]
        # As beta -> 0 every proposal would be accepted and all spins would flip in every sweep, for ever. To
        # skip a site with probability 0.1, as the factor does, keeps the chain aperiodic and the balance.
        accepted = self._uniform(old) < 0.9 * torch.exp(-self._beta * change).clamp_(max=1)
        flat[:, sites] = torch.where(accepted, new, old).to(flat.dtype)

    def _propose(self, old: Tensor) -> Tensor:
        """Any other token, all with the same probability."""
        q = self._hamiltonian.n_tokens
        if q == 2:
            return 1 - old
        shift = torch.randint(1, q, old.shape, generator=self._generator, device=old.device)
        return (old + shift) % q

    def _uniform(self, like: Tensor) -> Tensor:
        return torch.rand(like.shape, dtype=torch.float64, generator=self._generator, device=like.device)

    @staticmethod
    def default_sweeps(extent: int) -> tuple[int, int]:
        return max(100, 4 * extent**2), max(10, extent**2 // 8)


class SwendsenWang:
    """Cluster updates of two-state models with any couplings and fields, ferromagnetic or not.

    A satisfied bond is activated with probability `1 - exp(-2 beta |J_b|)`; each cluster of active bonds
    flips with probability 1/2. A field couples every site to one more spin per chain, the ghost, which is
    held at +1. Where couplings or fields frustrate each other it is right but slow: clusters percolate early,
    and Metropolis thermalises sooner.

    References:
        R. H. Swendsen and J.-S. Wang, Phys. Rev. Lett. 58 (1987) 86. Ghost spin: A. Coniglio, F. di Liberto,
        G. Monroy and F. Peruggi, J. Phys. A 22 (1989) L837.

    Raises:
        ValueError: unless sites have two states and every bond's energy is unchanged when both its ends flip.
    """

    name: ClassVar[str] = "swendsen-wang"

    def __init__(
        self, hamiltonian: AbstractHamiltonian, temperature: float, n_chains: int, seed: int, device: str
    ) -> None:
        edges, couplings, self._n_nodes = _coupled_nodes(hamiltonian)
        order = np.argsort(edges[:, 0], kind="stable")  # a sparse matrix wants its entries row by row
        self._i, self._j = edges[order].T
        self._ferromagnetic = couplings[order] > 0
        self._probability = -np.expm1(-2 / temperature * np.abs(couplings[order]))
        self._row_start = np.searchsorted(self._i, np.arange(self._n_nodes))
        self._rng = _random_stream(seed, self.name)
        # Clusters are found on the CPU; on another device `tokens` follows as a copy.
        self._cpu_tokens = _start(hamiltonian, n_chains, self._rng)
        self.tokens = self._cpu_tokens.to(device)

    def sweep(self) -> None:
        up = self._cpu_tokens.flatten(1).numpy().astype(bool)
        n_sites = up.shape[1]
        ghost = np.ones((len(up), self._n_nodes - n_sites), dtype=bool)
        labels, n_clusters = self._clusters(np.concatenate([up, ghost], axis=1))
        flip = self._rng.integers(2, size=n_clusters, dtype=np.uint8)[labels]
        # The ghost's cluster must stay: where it flipped, the whole chain turns once more.
        flip ^= flip[:, n_sites:].any(axis=1, keepdims=True)
        self._cpu_tokens ^= torch.from_numpy(flip[:, :n_sites]).view_as(self._cpu_tokens)
        self.tokens.copy_(self._cpu_tokens)

    def _clusters(self, up: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
        """Clusters of all chains, components of one graph: labels `(n_chains, n_nodes)` and their number."""
        satisfied = (up[:, self._i] == up[:, self._j]) == self._ferromagnetic
        active = satisfied & (self._rng.random(satisfied.shape) < self._probability)
        n_chains, n_bonds = active.shape
        chain = np.arange(n_chains)[:, None]
        before = np.concatenate([[0], np.cumsum(active)])
        starts = before[(chain * n_bonds + self._row_start).ravel()]
        columns = (chain * self._n_nodes + self._j)[active]
        graph = csr_array((np.ones(len(columns)), columns, np.append(starts, len(columns))), shape=(up.size, up.size))
        n_clusters, labels = connected_components(graph, directed=False)
        return labels.reshape(up.shape), n_clusters

    @staticmethod
    def default_sweeps(extent: int) -> tuple[int, int]:
        return 100 + extent, 10


METHODS: dict[str, type[Chains]] = {Metropolis.name: Metropolis, SwendsenWang.name: SwendsenWang}


def monte_carlo(
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    n: int,
    method: str = "metropolis",
    n_chains: int | None = None,
    thermalization: int | None = None,
    thinning: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Iterator[Samples]:
    """Draw n configurations from exp(-H/T) by Markov chains: one `Samples` per measurement of all chains.

    Even-numbered chains start from random configurations, odd-numbered ones from a uniform configuration of
    lowest energy: where the two kinds disagree, thermalisation was too short. The last batch is cut so that n
    configurations come in all. Successive ones of a chain are correlated; `mean_error` allows for it. The
    same seed, arguments and device give the same configurations bit for bit, another seed or method
    independent ones.

    Args:
        hamiltonian: Metropolis takes any, Swendsen-Wang those of two states and flip-symmetric bonds.
        temperature: T > 0 in the unit of the couplings, k_B = 1.
        n: number of configurations.
        method: a key of `METHODS`.
        n_chains: default as `default_schedule`, like the next two.
        thermalization: sweeps before the first measurement.
        thinning: sweeps between measurements, 1 or more.
        seed: non-negative integer.
        device: where the configurations live; Swendsen-Wang computes on the CPU and copies.

    Yields:
        `Samples` with tokens `(n_chains, H, W)`, no `log_q`, and provenance: method, schedule, temperature
        and `sweep`, the number of sweeps before the measurement.

    Raises:
        ValueError: at once, for an unknown method, a number out of range, or a Hamiltonian that the method
            cannot serve.

    Example:
        >>> from latticear.hamiltonians.ising import Ising
        >>> batches = list(monte_carlo(Ising((4, 4)), 2.0, n=25, n_chains=10, method="swendsen-wang"))
        >>> [len(batch) for batch in batches]
        [10, 10, 5]
    """
    temperature, seed = check_temperature(temperature), _integer("seed", seed, least=0)
    default = default_schedule(hamiltonian, method, n)
    schedule = Schedule(
        _integer("n_chains", n_chains, least=1, default=default.n_chains),
        _integer("thermalization", thermalization, least=0, default=default.thermalization),
        _integer("thinning", thinning, least=1, default=default.thinning),
    )
    chains = METHODS[method](hamiltonian, temperature, schedule.n_chains, seed, device)
    return _measurements(chains, temperature, n, schedule, seed)


def default_schedule(hamiltonian: AbstractHamiltonian, method: str, n: int) -> Schedule:
    """The schedule of `monte_carlo` where the caller names none: right for the Ising model at T_c.

    At most 100 chains, fewer if each would then give less than ten configurations. With L the larger extent,
    Metropolis thermalises for 4 L^2 sweeps (at least 100) and measures every L^2 / 8 (at least 10);
    Swendsen-Wang thermalises for 100 + L and measures every 10. Two to four autocorrelation times of |m|
    then pass between measurements (L = 8 to 32).

    Raises:
        ValueError: for an unknown method or n < 1.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    n = _integer("n", n, least=1)
    return Schedule(min(100, -(-n // 10)), *METHODS[method].default_sweeps(max(hamiltonian.shape)))


def _measurements(chains: Chains, temperature: float, n: int, schedule: Schedule, seed: int) -> Iterator[Samples]:
    origin = {"method": chains.name, **schedule._asdict(), "temperature": temperature}
    sweeps = 0
    for first in range(0, n, schedule.n_chains):
        pause = schedule.thinning if first else schedule.thermalization
        for _ in range(pause):
            chains.sweep()
        sweeps += pause
        yield Samples(chains.tokens[: n - first].clone(), None, seed, provenance={**origin, "sweep": sweeps})


def _random_stream(seed: int, method: str) -> np.random.Generator:
    """The numbers of one seed and method, independent of those of any other."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(method.encode())))


def _start(hamiltonian: AbstractHamiltonian, n_chains: int, rng: np.random.Generator) -> Tensor:
    """Even chains random, odd ones uniform at lowest energy: tokens `(n_chains, H, W)`."""
    q = hamiltonian.n_tokens
    tokens = torch.from_numpy(rng.integers(q, size=(n_chains, *hamiltonian.shape))).to(token_dtype(q))
    uniform = torch.arange(q, dtype=tokens.dtype).view(q, 1, 1).expand(q, *hamiltonian.shape)
    energies = hamiltonian.token_energy(uniform)
    lowest = torch.isclose(energies, energies.min(), rtol=1e-12, atol=0).nonzero()[:, 0]
    choice = lowest[torch.from_numpy(rng.integers(len(lowest), size=n_chains // 2))]
    tokens[1::2] = uniform[choice]
    return tokens


def _coupled_nodes(hamiltonian: AbstractHamiltonian) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    """Pairs `(n, 2)`, their couplings in `-J s s'`, the number of nodes: sites and, in a field, the ghost.

    `J = (e(s, -s) - e(s, s)) / 2` and `h = (e(-) - e(+)) / 2`, whatever constants the tables hold besides.
    """
    pair, site = hamiltonian.bond_energies, hamiltonian.site_energies
    if hamiltonian.n_tokens != 2 or not torch.allclose(pair, pair.flip(1, 2), rtol=1e-12, atol=0):
        raise ValueError(
            f"swendsen-wang needs two states and bonds whose energy is unchanged when both ends flip, which "
            f"{hamiltonian!r} with {hamiltonian.n_tokens} states does not have; use method='metropolis'"
        )
    field = ((site[:, 0] - site[:, 1]) / 2).numpy()
    in_field = np.flatnonzero(field)
    to_ghost = np.stack([in_field, np.full_like(in_field, hamiltonian.n_sites)], axis=1)
    edges = np.concatenate([hamiltonian.bonds.numpy(), to_ghost])
    coupling = ((pair[:, 0, 1] - pair[:, 0, 0]) / 2).numpy()
    return edges, np.concatenate([coupling, field[in_field]]), hamiltonian.n_sites + bool(len(in_field))


def _integer(name: str, value: int | None, *, least: int, default: int | None = None) -> int:
    try:
        number = operator.index(default if value is None else value)  # type: ignore[arg-type]
    except TypeError as error:
        raise ValueError(f"{name} must be an integer, got {value!r}") from error
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number
