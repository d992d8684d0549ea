"""Markov chain Monte Carlo by single-spin updates, cluster updates and parallel tempering.

Many chains run at once as one batch; each measurement gives one configuration of every chain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from latticear.arguments import check_integer, check_seed
from latticear.hamiltonians.base import (
    AbstractHamiltonian,
    check_is_hamiltonian,
    check_temperature,
    check_unrestricted,
)
from latticear.montecarlo.clusters import SwendsenWang, Wolff, clusters_suit
from latticear.montecarlo.heatbath import HeatBath
from latticear.montecarlo.kawasaki import Kawasaki, start_at_composition
from latticear.montecarlo.metropolis import Metropolis
from latticear.montecarlo.potts_clusters import PottsSwendsenWang
from latticear.montecarlo.replicas import ParallelTempering, with_ladder
from latticear.random_numbers import generator, random_stream
from latticear.samples import Samples, token_dtype
from latticear.threads import wait_passively

__all__ = [
    "CHAIN_METHODS",
    "ChainSchedule",
    "Choice",
    "Running",
    "default_method",
    "default_schedule",
    "make_chains",
    "method_for",
    "monte_carlo",
    "monte_carlo_data",
    "run_chains",
]


class ChainSchedule(NamedTuple):
    """Number and length of Markov chains; a sweep updates every site about once.

    Attributes:
        n_chains: number of independent chains, which run as one batch.
        thermalization: number of sweeps before the first measurement.
        thinning: number of sweeps between measurements.
    """

    n_chains: int
    thermalization: int
    thinning: int


class Running(Protocol):
    """A batch of Markov chains that `run_chains` can run.

    Attributes:
        name: name of the method in `monte_carlo`, provenance and the command line.
    """

    name: ClassVar[str]

    @property
    def tokens(self) -> Tensor:
        """`(n_chains, H, W)`, the current configurations of the chains."""

    def sweep(self) -> None:
        """Update every site about once."""

    def settle(self) -> None:
        """End the thermalisation: fix all adapted parameters, because further changes would bias the averages."""


class Chains(Running, Protocol):
    """A method of `monte_carlo`; its chains begin with the given tokens, and it may modify that tensor."""

    def __init__(
        self, hamiltonian: AbstractHamiltonian, temperature: float, tokens: Tensor, rng: np.random.Generator
    ) -> None: ...

    @staticmethod
    def default_sweeps(extent: int) -> tuple[int, int]:
        """(thermalization, thinning) that are sufficient at a critical point, on a lattice of this larger extent."""


CHAIN_METHODS: dict[str, type[Chains]] = {
    method.name: method for method in (Metropolis, HeatBath, SwendsenWang, Wolff, ParallelTempering, Kawasaki)
}


def monte_carlo(
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    n: int,
    method: str | None = None,
    n_chains: int | None = None,
    thermalization: int | None = None,
    thinning: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Iterator[Samples]:
    """Draw n configurations from exp(-H/T) by Markov chains: yields one `Samples` per measurement of all chains.

    Even-numbered chains start from random configurations, odd-numbered chains from a uniform configuration of
    lowest energy: if the averages of these two groups differ, the thermalisation was too short. The last batch is
    shortened so that the total number of configurations is n. Successive configurations of a chain are correlated;
    `la.estimation.mean_error` takes this into account. The same seed, arguments and device give the same
    configurations bit for bit; another seed or method gives independent ones.

    Args:
        hamiltonian: any Hamiltonian for Metropolis, heat bath and parallel tempering; two states with flip-symmetric
            bonds, or a ferromagnetic Potts model, for Swendsen-Wang; two states with flip-symmetric bonds and no field
            for Wolff; any Hamiltonian at fixed composition (`la.FixedComposition`) for Kawasaki, and for it alone.
        temperature: temperature T > 0 in the unit of the couplings, k_B = 1.
        n: total number of configurations.
        method: name of the method, a key of `CHAIN_METHODS`; by default the one that suits the system (`method_for`):
            clusters where nothing is frustrated.
        n_chains: number of chains; by default as `default_schedule` chooses it.
        thermalization: sweeps before the first measurement; by default as `default_schedule` chooses it.
        thinning: sweeps between measurements, 1 or more; by default as `default_schedule` chooses it.
        seed: seed of all random numbers of the simulation, in [0, 2^64).
        device: device of the configurations; clusters are found on the CPU and copied to it.

    Yields:
        `Samples` with tokens `(n_chains, H, W)`, or `(n_chains, C, H, W)` where a site has components, no `log_q`, and
        provenance: method, schedule, temperature and `sweep`, the number of sweeps before the measurement. The samples
        of parallel tempering also have the data that `latticear.montecarlo.replicas.with_ladder` describes. Make
        estimates with `la.estimation.estimate_chains`, or, for parallel tempering with free energies,
        `la.estimation.estimate_tempering`.

    Raises:
        ValueError: when called, for an unknown method, a number out of range, or a Hamiltonian to which the method does
            not apply.

    Example:
        >>> from latticear.hamiltonians.ising import Ising
        >>> batches = list(monte_carlo(Ising((4, 4)), 2.0, n=25, n_chains=10, method="swendsen-wang"))
        >>> [len(batch) for batch in batches]
        [10, 10, 5]
    """
    check_is_hamiltonian(hamiltonian)
    temperature, seed = check_temperature(temperature), check_seed(seed)
    method = default_method(hamiltonian) if method is None else method
    lengths = {"n_chains": n_chains, "thermalization": thermalization, "thinning": thinning}
    chains, schedule = make_chains(hamiltonian, temperature, n=n, method=method, seed=seed, device=device, **lengths)
    batches = run_chains(chains, temperature, n, schedule, seed)
    if isinstance(chains, ParallelTempering):
        batches = with_ladder(chains, batches)
    fixed = {} if hamiltonian.composition is None else {"composition": list(hamiltonian.composition)}
    return (
        replace(batch, tokens=hamiltonian.split(batch.tokens), provenance=batch.provenance | fixed) for batch in batches
    )


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
    """The chains that `monte_carlo` runs, before their first sweep, and their schedule.

    Arguments and exceptions are those of `monte_carlo`. The chains have one token at each site; where a site has
    components, they simulate the joint system, whose tokens stand for all components of a site.
    """
    wait_passively()
    hamiltonian = hamiltonian.joint
    temperature, seed = check_temperature(temperature), check_seed(seed)
    default = default_schedule(hamiltonian, method, n)
    schedule = ChainSchedule(
        check_integer("n_chains", n_chains, least=1, default=default.n_chains),
        check_integer("thermalization", thermalization, least=0, default=default.thermalization),
        check_integer("thinning", thinning, least=1, default=default.thinning),
    )
    if method != Kawasaki.name:
        check_unrestricted(hamiltonian, method, f"method {Kawasaki.name}")
    rng = generator(seed, method)
    start = _start if hamiltonian.composition is None else start_at_composition
    tokens = start(hamiltonian, schedule.n_chains, rng).to(device)
    of_potts = method == SwendsenWang.name and hamiltonian.n_tokens > 2
    kind: type[Chains] = PottsSwendsenWang if of_potts else CHAIN_METHODS[method]
    return kind(hamiltonian, temperature, tokens, rng), schedule


class Choice(NamedTuple):
    """A method and why it suits a system; as a text, a line such as "swendsen-wang, since clusters flip at once".

    Attributes:
        name: name of the method, a key of `CHAIN_METHODS`.
        reason: what follows "since".
    """

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}, since {self.reason}"


def method_for(hamiltonian: AbstractHamiltonian) -> Choice:
    """The method that suits a system: clusters where there are some (`clusters_suit`), otherwise single spins.

    Without clusters it is parallel tempering for two states, the heat bath for more states. At fixed composition it is
    the exchange of states.
    """
    hamiltonian = hamiltonian.joint
    if hamiltonian.composition is not None:
        return Choice(Kawasaki.name, "exchanges of states keep the composition")
    if clusters_suit(hamiltonian):
        return Choice(SwendsenWang.name, "nothing is frustrated and clusters can be flipped")
    if hamiltonian.n_tokens == 2:
        return Choice(ParallelTempering.name, "there are no clusters to flip, and replicas cross barriers")
    return Choice(HeatBath.name, f"there are no clusters to flip, and sites have {hamiltonian.n_tokens} states")


def default_method(hamiltonian: AbstractHamiltonian) -> str:
    """The name of the method that suits a system, as `method_for` chooses it."""
    return method_for(hamiltonian).name


def monte_carlo_data(
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    n: int,
    seed: int,
    purpose: str,
    *,
    method: str | None = None,
    thermalization: int | None = None,
    thinning: int | None = None,
) -> Tensor:
    """Configurations of the Boltzmann distribution: tokens `(n, H, W)` or `(n, C, H, W)`.

    Each `purpose` has its own random stream: configurations of different purposes, and those of `monte_carlo`, are
    independent of each other even if the seed is the same. `method`, `thermalization`
    and `thinning` are those of `monte_carlo`.
    """
    stream = random_stream(check_seed(seed), purpose)
    own = int(stream.generate_state(1, np.uint64)[0])
    schedule: dict[str, Any] = {"method": method, "thermalization": thermalization, "thinning": thinning}
    return torch.cat([batch.tokens for batch in monte_carlo(hamiltonian, temperature, n=n, seed=own, **schedule)])


def default_schedule(hamiltonian: AbstractHamiltonian, method: str, n: int) -> ChainSchedule:
    """The default schedule of `monte_carlo`, which suits the Ising model at T_c.

    It has at most 100 chains, and fewer if each would otherwise give less than ten configurations. With L the larger
    extent, Metropolis thermalises for 4 L^2 sweeps (at least 100) and measures every L^2 / 8 sweeps (at least 10); the
    heat bath takes twice as many sweeps, and Kawasaki thermalises for at least 200; Swendsen-Wang and Wolff thermalise
    for 100 + L sweeps and measure every 10 and 5 sweeps. The time between measurements is then two to four
    autocorrelation times of |m| (L = 8 to 32). Parallel tempering thermalises for 8 L^2 sweeps (at least 1024) and
    measures every 10 sweeps.

    Raises:
        ValueError: for an unknown method or n < 1.
    """
    if method not in CHAIN_METHODS:
        raise ValueError(f"method must be one of {', '.join(CHAIN_METHODS)}, got {method!r}")
    n = check_integer("n", n, least=1)
    return ChainSchedule(min(100, -(-n // 10)), *CHAIN_METHODS[method].default_sweeps(max(hamiltonian.shape)))


def run_chains(chains: Running, temperature: float, n: int, schedule: ChainSchedule, seed: int) -> Iterator[Samples]:
    """Thermalise chains, then yield a total of n configurations in batches as `monte_carlo` describes them."""
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
    """Initial tokens `(n_chains, H, W)`: even chains random, odd chains uniform configurations of lowest energy."""
    q = hamiltonian.n_tokens
    tokens = torch.from_numpy(rng.integers(q, size=(n_chains, *hamiltonian.shape))).to(token_dtype(q))
    uniform = torch.arange(q, dtype=tokens.dtype).view(q, 1, 1).expand(q, *hamiltonian.shape)
    energies = hamiltonian.token_energy(uniform)
    lowest = torch.isclose(energies, energies.min(), rtol=1e-12, atol=0).nonzero()[:, 0]
    choice = lowest[torch.from_numpy(rng.integers(len(lowest), size=n_chains // 2))]
    tokens[1::2] = uniform[choice]
    return tokens
