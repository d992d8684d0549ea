"""Markov chain Monte Carlo by single-spin updates, cluster updates and parallel tempering.

Many chains run at once as one batch; each measurement gives one configuration of every chain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from latticear.processes import ALONE, Processes, Share
from latticear.random_numbers import generator, random_stream
from latticear.samples import Samples, token_dtype
from latticear.threads import wait_passively

__all__ = [
    "CHAIN_METHODS",
    "ChainSchedule",
    "Choice",
    "Running",
    "Simulation",
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
    """A method of `monte_carlo`; its chains begin with the given tokens, and it may modify that tensor.

    Several processes divide the chains; each gets all tokens and generators of the same state, and takes its own part.

    Attributes:
        share: which of the chains are in `tokens`.
    """

    share: Share

    def __init__(
        self,
        hamiltonian: AbstractHamiltonian,
        temperature: float,
        tokens: Tensor,
        rng: np.random.Generator,
        processes: Processes = ...,
    ) -> None: ...

    def state(self) -> dict[str, Tensor]:
        """All that changes while the chains run, of the chains of all processes, which must all ask for it."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state, bit for bit.

        Raises:
            KeyError, RuntimeError, TypeError, ValueError: if it is not one of these chains.
        """

    @staticmethod
    def default_sweeps(extent: int) -> tuple[int, int]:
        """(thermalization, thinning) that are sufficient at a critical point, on a lattice of this larger extent."""


CHAIN_METHODS: dict[str, type[Chains]] = {
    method.name: method for method in (Metropolis, HeatBath, SwendsenWang, Wolff, ParallelTempering, Kawasaki)
}
"""The methods of `monte_carlo` by name, the classes of their chains."""


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
    processes: Processes = ALONE,
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
        processes: the processes that divide the chains, by number, `latticear.processes.current()` for example; each
            makes this call with the same arguments, iterates to the same end and gets all configurations. The
            configurations do not depend on how many processes there are. Chains of Wolff are not divided.

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
    method = default_method(hamiltonian) if method is None else method
    lengths = {"n_chains": n_chains, "thermalization": thermalization, "thinning": thinning}
    simulation = Simulation(
        hamiltonian, temperature, n=n, method=method, seed=seed, device=device, processes=processes, **lengths
    )
    return simulation.batches(n)


class Simulation:
    """The chains that `monte_carlo` runs, which can be stopped after a measurement and continued from it bit for bit.

    Arguments and exceptions are those of `monte_carlo`.

    Attributes:
        hamiltonian: the system.
        temperature: its temperature.
        seed: seed of all random numbers.
        chains: the chains.
        schedule: their schedule.
        measured: number of measurements of all chains that have been made.
    """

    def __init__(
        self,
        hamiltonian: AbstractHamiltonian,
        temperature: float,
        *,
        n: int,
        method: str,
        n_chains: int | None = None,
        thermalization: int | None = None,
        thinning: int | None = None,
        seed: int = 0,
        device: str = "cpu",
        processes: Processes = ALONE,
    ) -> None:
        self.hamiltonian = hamiltonian
        self.temperature, self.seed = check_temperature(temperature), check_seed(seed)
        self.measured = 0
        lengths = {"n_chains": n_chains, "thermalization": thermalization, "thinning": thinning}
        self.chains, self.schedule = make_chains(
            hamiltonian, temperature, n=n, method=method, seed=seed, device=device, processes=processes, **lengths
        )

    def batches(self, n: int) -> Iterator[Samples]:
        """The measurements up to n configurations, as `monte_carlo` yields them.

        If there have been measurements before, the first batch is the last one of them once more.
        """
        chains, first = self.chains, max(0, self.measured - 1)
        batches = run_chains(chains, self.temperature, n, self.schedule, self.seed, chains.share, self.measured)
        if isinstance(chains, ParallelTempering):
            batches = with_ladder(chains, batches)
        for self.measured, batch in enumerate(batches, first + 1):
            yield replace(
                batch, tokens=self.hamiltonian.split(batch.tokens), provenance=batch.provenance | self._composition
            )

    @property
    def _composition(self) -> dict[str, Any]:
        """What provenance says of a fixed composition; nothing if it is free."""
        fixed = self.hamiltonian.composition
        return {} if fixed is None else {"composition": list(fixed)}

    def origin(self, k: int) -> dict[str, Any]:
        """The provenance of measurement k, from 0: method, schedule, temperature and sweep."""
        return _origin(self.chains, self.schedule, self.temperature, k) | self._composition

    def state(self) -> dict[str, Tensor]:
        """All that is needed to continue after the last measurement; all processes must ask for it."""
        return _copied({"measured": torch.tensor(self.measured), **self.chains.state()})

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state of a simulation with the same arguments.

        Raises:
            ValueError: if it is not a state of such a simulation.
        """
        try:
            configurations = state["replicas" if "replicas" in state else "tokens"]
            if (len(configurations), *configurations.shape[-2:]) != (self.schedule.n_chains, *self.hamiltonian.shape):
                raise ValueError(f"its configurations have shape {tuple(configurations.shape)}")
            self.chains.restore(_copied(state))
            self.measured = int(state["measured"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            chains = f"{self.schedule.n_chains} chains of {self.chains.name}"
            raise ValueError(f"this is no state of {chains} on this device ({error})") from error


def _copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: values.clone() for name, values in state.items()}


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
    processes: Processes = ALONE,
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
    return kind(hamiltonian, temperature, tokens, rng, processes), schedule


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
    processes: Processes = ALONE,
) -> Tensor:
    """Configurations of the Boltzmann distribution: tokens `(n, H, W)` or `(n, C, H, W)`.

    Each `purpose` has its own random stream: configurations of different purposes, and those of `monte_carlo`, are
    independent of each other even if the seed is the same. `method`, `thermalization`, `thinning` and `processes` are
    those of `monte_carlo`.
    """
    stream = random_stream(check_seed(seed), purpose)
    own = int(stream.generate_state(1, np.uint64)[0])
    how: dict[str, Any] = {"method": method, "thermalization": thermalization, "thinning": thinning}
    batches = monte_carlo(hamiltonian, temperature, n=n, seed=own, processes=processes, **how)
    return torch.cat([batch.tokens for batch in batches])


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


def run_chains(
    chains: Running,
    temperature: float,
    n: int,
    schedule: ChainSchedule,
    seed: int,
    share: Share | None = None,
    measured: int = 0,
) -> Iterator[Samples]:
    """Thermalise chains, then yield a total of n configurations in batches as `monte_carlo` describes them.

    Args:
        chains: the chains.
        temperature, n, schedule, seed: as in `monte_carlo`.
        share: of several processes, which of all chains these are.
        measured: number of measurements that the chains have behind them, the last of which they show: it is the first
            to be yielded.
    """
    share = Share.given(share, schedule.n_chains)
    for k in range(max(0, measured - 1), -(-n // schedule.n_chains)):
        if k >= measured:
            for _ in range(schedule.thinning if k else schedule.thermalization):
                chains.sweep()
            if not k:
                chains.settle()
        tokens = share.joined(chains.tokens)[: n - k * schedule.n_chains].clone()
        yield Samples(tokens, None, seed, provenance=_origin(chains, schedule, temperature, k))


def _origin(chains: Running, schedule: ChainSchedule, temperature: float, k: int) -> dict[str, Any]:
    """The provenance of measurement k of chains, from 0: method, schedule, temperature and sweep."""
    sweep = schedule.thermalization + k * schedule.thinning
    return {"method": chains.name, **schedule._asdict(), "temperature": temperature, "sweep": sweep}


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
