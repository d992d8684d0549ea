"""Markov chain Monte Carlo: single spins and tempering for every Hamiltonian, clusters for those that have them.

Many chains run at once as one batch; configurations come in measurement-major order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from latticear.arguments import check_integer, check_seed
from latticear.hamiltonians.base import AbstractHamiltonian, check_temperature
from latticear.montecarlo.clusters import SwendsenWang, Wolff, clusters_suit
from latticear.montecarlo.heatbath import HeatBath
from latticear.montecarlo.metropolis import Metropolis
from latticear.montecarlo.potts_clusters import PottsSwendsenWang
from latticear.montecarlo.replicas import ParallelTempering, with_ladder
from latticear.random_numbers import generator, random_stream
from latticear.samples import Samples, token_dtype

__all__ = [
    "CHAIN_METHODS",
    "ChainSchedule",
    "Running",
    "default_method",
    "default_schedule",
    "make_chains",
    "monte_carlo",
    "monte_carlo_data",
    "run_chains",
]


class ChainSchedule(NamedTuple):
    """How a run proceeds; a sweep offers every site about one update.

    Attributes:
        n_chains: independent chains, run as one batch.
        thermalization: sweeps before the first measurement.
        thinning: sweeps between measurements.
    """

    n_chains: int
    thermalization: int
    thinning: int


class Running(Protocol):
    """A batch of chains that can take one more sweep.

    Attributes:
        name: as `monte_carlo` and the command line call it.
    """

    name: ClassVar[str]

    @property
    def tokens(self) -> Tensor:
        """`(n_chains, H, W)`, where the chains are now."""

    def sweep(self) -> None:
        """Offer every site about one update."""

    def settle(self) -> None:
        """End of the thermalisation: what was fitted to the state so far is fixed, or it would bias the averages."""


class Chains(Running, Protocol):
    """What a method of `monte_carlo` is; it begins with the tokens that it is given, and may write into them."""

    def __init__(
        self, hamiltonian: AbstractHamiltonian, temperature: float, tokens: Tensor, rng: np.random.Generator
    ) -> None: ...

    @staticmethod
    def default_sweeps(extent: int) -> tuple[int, int]:
        """(thermalization, thinning) that serve a critical point on a lattice of this extent."""


CHAIN_METHODS: dict[str, type[Chains]] = {
    method.name: method for method in (Metropolis, HeatBath, SwendsenWang, Wolff, ParallelTempering)
}


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
        hamiltonian: Metropolis, heat bath and parallel tempering take any, Swendsen-Wang those of two states and
            flip-symmetric bonds, and ferromagnetic Potts models; Wolff those of two states without a field.
        temperature: T > 0 in the unit of the couplings, k_B = 1.
        n: number of configurations.
        method: a key of `CHAIN_METHODS`.
        n_chains: default as `default_schedule`, like the next two.
        thermalization: sweeps before the first measurement.
        thinning: sweeps between measurements, 1 or more.
        seed: in [0, 2^64).
        device: where the configurations live; clusters are found on the CPU and copied.

    Yields:
        `Samples` with tokens `(n_chains, H, W)`, or `(n_chains, C, H, W)` where a site has components, no `log_q`, and
        provenance: method, schedule, temperature and `sweep`, the number of sweeps before the measurement. Those of
        parallel tempering carry what `with_ladder` says besides. Estimates of them:
        `la.estimation.estimate_chains`, of parallel tempering with free energies `la.estimation.estimate_tempering`.

    Raises:
        ValueError: at once, for an unknown method, a number out of range, or a Hamiltonian that the method
            cannot serve.

    Example:
        >>> from latticear.hamiltonians.ising import Ising
        >>> batches = list(monte_carlo(Ising((4, 4)), 2.0, n=25, n_chains=10, method="swendsen-wang"))
        >>> [len(batch) for batch in batches]
        [10, 10, 5]
    """
    temperature, seed = check_temperature(temperature), check_seed(seed)
    asked = {"n_chains": n_chains, "thermalization": thermalization, "thinning": thinning}
    chains, schedule = make_chains(hamiltonian, temperature, n=n, method=method, seed=seed, device=device, **asked)
    batches = run_chains(chains, temperature, n, schedule, seed)
    if isinstance(chains, ParallelTempering):
        batches = with_ladder(chains, batches)
    return (replace(batch, tokens=hamiltonian.split(batch.tokens)) for batch in batches)


def make_chains(
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    n: int,
    method: str,
    n_chains: int | None,
    thermalization: int | None,
    thinning: int | None,
    seed: int,
    device: str,
) -> tuple[Chains, ChainSchedule]:
    """What `monte_carlo` runs, before its first sweep, and how; arguments and errors as there.

    Chains hold one token a site: those of the joint system where a site has components.
    """
    hamiltonian = hamiltonian.joint
    temperature, seed = check_temperature(temperature), check_seed(seed)
    default = default_schedule(hamiltonian, method, n)
    schedule = ChainSchedule(
        check_integer("n_chains", n_chains, least=1, default=default.n_chains),
        check_integer("thermalization", thermalization, least=0, default=default.thermalization),
        check_integer("thinning", thinning, least=1, default=default.thinning),
    )
    rng = generator(seed, method)
    tokens = _start(hamiltonian, schedule.n_chains, rng).to(device)
    of_potts = method == SwendsenWang.name and hamiltonian.n_tokens > 2
    kind: type[Chains] = PottsSwendsenWang if of_potts else CHAIN_METHODS[method]
    return kind(hamiltonian, temperature, tokens, rng), schedule


def default_method(hamiltonian: AbstractHamiltonian) -> str:
    """Swendsen-Wang without frustration, else parallel tempering of two states and the heat bath of more."""
    hamiltonian = hamiltonian.joint
    if clusters_suit(hamiltonian):
        return SwendsenWang.name
    return ParallelTempering.name if hamiltonian.n_tokens == 2 else HeatBath.name


def monte_carlo_data(hamiltonian: AbstractHamiltonian, temperature: float, n: int, seed: int, purpose: str) -> Tensor:
    """Configurations of the Boltzmann distribution by the default method: tokens `(n, H, W)` or `(n, C, H, W)`.

    Those of another purpose are independent with the same seed, as are those of `monte_carlo` itself.
    """
    stream = random_stream(check_seed(seed), purpose)
    own, method = int(stream.generate_state(1, np.uint64)[0]), default_method(hamiltonian)
    return torch.cat([b.tokens for b in monte_carlo(hamiltonian, temperature, n=n, method=method, seed=own)])


def default_schedule(hamiltonian: AbstractHamiltonian, method: str, n: int) -> ChainSchedule:
    """The schedule of `monte_carlo` where the caller names none: right for the Ising model at T_c.

    At most 100 chains, fewer if each would then give less than ten configurations. With L the larger extent,
    Metropolis thermalises for 4 L^2 sweeps (at least 100) and measures every L^2 / 8 (at least 10), the heat bath
    takes twice as long; Swendsen-Wang and Wolff thermalise for 100 + L and measure every 10 and 5. Two to four
    autocorrelation times of |m| then pass between measurements (L = 8 to 32). Parallel tempering thermalises for 8 L^2
    (at least 1024) and measures every 10.

    Raises:
        ValueError: for an unknown method or n < 1.
    """
    if method not in CHAIN_METHODS:
        raise ValueError(f"method must be one of {', '.join(CHAIN_METHODS)}, got {method!r}")
    n = check_integer("n", n, least=1)
    return ChainSchedule(min(100, -(-n // 10)), *CHAIN_METHODS[method].default_sweeps(max(hamiltonian.shape)))


def run_chains(chains: Running, temperature: float, n: int, schedule: ChainSchedule, seed: int) -> Iterator[Samples]:
    """Thermalise chains and yield n configurations of them, as `monte_carlo` says."""
    origin = {"method": chains.name, **schedule._asdict(), "temperature": temperature}
    sweeps = 0
    for first in range(0, n, schedule.n_chains):
        pause = schedule.thinning if first else schedule.thermalization
        for _ in range(pause):
            chains.sweep()
        if not first:
            chains.settle()
        sweeps += pause
        yield Samples(chains.tokens[: n - first].clone(), None, seed, provenance={**origin, "sweep": sweeps})


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
