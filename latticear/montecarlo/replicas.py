"""Parallel tempering: replicas at a ladder of temperatures that exchange their configurations.

Index suffixes: r chain, k temperature of the ladder, from that of the target (k = 0) to infinity.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from latticear.arrays import Array
from latticear.hamiltonians.base import AbstractHamiltonian
from latticear.montecarlo.heatbath import heat_bath
from latticear.montecarlo.parts import uniform_columns
from latticear.processes import ALONE, Processes, Share
from latticear.samples import Samples

__all__ = ["ParallelTempering", "spaced", "with_ladder"]


REJECTION = 0.5
"""Rejection of exchanges between neighbours that gives most round trips for the work (Syed et al., section 5)."""
TOLERATED = 0.6
"""A ladder on which no rejection exceeds this value is kept."""
FIRST_INTERVALS = 4
"""Number of intervals of the initial ladder."""
NOTED = 32
"""Number of sweeps after which several processes tell each other how often their replicas were exchanged."""
LADDER_SWEEPS = 256
"""The ladder may change after 4, 8, 16, ... sweeps, up to this number, while the chains thermalise."""


class ParallelTempering:
    """Chains of replicas, one for each temperature of a ladder, that exchange temperatures with their neighbours.

    A sweep is a heat-bath update of every site of every replica, followed by proposed exchanges of temperatures within
    the pairs (0, 1), (2, 3), ... in one sweep and (1, 2), (3, 4), ... in the next, each accepted with probability
    `min(1, exp((beta_k - beta_l) (E_k - E_l)))`. With this alternation replicas move ballistically through the ladder,
    where random pairs would give a random walk. The last temperature is infinite: a replica there is drawn anew in
    every sweep, and so loses all correlation with its past.

    The ladder is adapted while the chains thermalise. The sum of the rejection probabilities along the ladder, the
    barrier, hardly depends on the number of temperatures. The temperatures are placed so that they divide the barrier
    into equal parts, and their number is chosen so that each rejection probability is about 1/2. After the
    thermalisation the ladder is fixed, because further changes would bias the averages.

    Attributes:
        share: which of all chains these are, of several processes that have divided them.
        tokens: `(R, H, W)`, the configurations at the target temperature.
        energies: float64 `(R, K)`; `[r, k]` is the energy of chain r's replica at temperature k.
        betas: float64 `(K,)`, from 1/T down to 0.

    References:
        K. Hukushima and K. Nemoto, J. Phys. Soc. Jpn. 65 (1996) 1604; alternating pairs: T. Okabe, M. Kawata, Y.
        Okamoto and M. Mikami, Chem. Phys. Lett. 335 (2001) 435; why they are better, the barrier and the ladder: S.
        Syed, A. Bouchard-Cote, G. Deligiannidis and A. Doucet, J. R. Stat. Soc. B 84 (2022) 321, algorithms 1 and 4.
    """

    name: ClassVar[str] = "parallel-tempering"

    betas: Tensor
    energies: Tensor
    _noted: list[Tensor]  # for each sweep since `_count` the acceptances (R, K - 1) of exchanges, proposed or not
    _holder: Tensor  # int64 (R, K); [r, k] is the index of the replica of chain r at temperature k

    def __init__(
        self,
        hamiltonian: AbstractHamiltonian,
        temperature: float,
        tokens: Tensor,
        rng: np.random.Generator,
        processes: Processes = ALONE,
    ) -> None:
        self.share, self._shape = processes.share(len(tokens)), hamiltonian.shape
        betas, n_chains = np.linspace(1 / temperature, 0, FIRST_INTERVALS + 1), len(self.share)
        self._replicas = heat_bath(hamiltonian, tokens[self.share.rows], rng, self.share)
        self._generator = torch.Generator(tokens.device).manual_seed(int(rng.integers(2**63)))
        self._sweeps, self._settled = 0, False
        self._climb(betas, torch.arange(n_chains, device=tokens.device)[:, None].expand(-1, len(betas)))

    @property
    def tokens(self) -> Tensor:
        return self._replicas.tokens(self._at(self._holder[:, 0]))

    def sweep(self) -> None:
        n_chains, n_temperatures = self.energies.shape
        beta_rk = torch.empty_like(self.energies)
        beta_rk.scatter_(1, self._holder, self.betas.expand(n_chains, -1))
        self._replicas.sweep(beta_rk.flatten())
        self.energies = self._replicas.energies().view(n_chains, n_temperatures).gather(1, self._holder)
        self._exchange()
        self._note_trips()
        self._sweeps += 1
        if not self._settled and 4 <= self._sweeps <= LADDER_SWEEPS and self._sweeps.bit_count() == 1:
            self._adapt()

    def settle(self) -> None:
        """Fix the ladder, and begin to count exchanges and round trips anew."""
        self._settled = True
        self._forget()

    def state(self) -> dict[str, Tensor]:
        self._count()
        trips = self._trips.clone()
        self.share.processes.add(trips)
        replicas = self._replicas.tokens().view(len(self.share), -1, *self._shape)
        joined = self.share.joined
        return {
            "replicas": joined(replicas),
            "generator": self._replicas.generator_state,
            "exchanges": self._generator.get_state(),
            "betas": self.betas,
            "holder": joined(self._holder),
            "energies": joined(self.energies),
            "acceptance": self._accepted,
            "departed": joined(self._departed.byte()),
            "returning": joined(self._returning.byte()),
            "counts": torch.tensor([self._sweeps, self._settled, self._n_noted, int(trips)]),
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        device, rows = self.energies.device, self.share.rows
        on_device = {name: values.to(device) for name, values in state.items()}
        self.betas, self._accepted = on_device["betas"], on_device["acceptance"]
        own = {name: on_device[name][rows] for name in ("replicas", "holder", "energies", "departed", "returning")}
        self._holder, self.energies = own["holder"], own["energies"]
        self._departed, self._returning = own["departed"].bool(), own["returning"].bool()
        self._noted = []
        self._sweeps, settled, self._n_noted, trips = state["counts"].tolist()
        self._settled = bool(settled)
        self._trips = torch.tensor(trips if self.share.processes.is_first else 0, device=device)
        self._replicas.restore(
            own["replicas"].flatten(0, 1), state["generator"], self._share_of_replicas(len(self.betas))
        )
        self._generator.set_state(state["exchanges"])

    @property
    def acceptance(self) -> Tensor:
        """float64 `(K - 1,)`; `[k]` is the mean acceptance of exchanges of temperatures k and k + 1 since `settle`.

        Several processes that have divided the chains must all ask for it.
        """
        self._count()
        return self._accepted / max(1, self._n_noted)

    @property
    def round_trips(self) -> float:
        """Number of round trips from target to infinite temperature and back, of all replicas, per chain and sweep.

        Several processes that have divided the chains must all ask for it.
        """
        trips = self._trips.clone()
        self.share.processes.add(trips)
        return float(trips) / (self.share.n * max(1, self._n_noted))

    @staticmethod
    def default_sweeps(extent: int) -> tuple[int, int]:
        return max(4 * LADDER_SWEEPS, 8 * extent**2), 10

    def _at(self, replicas: Tensor) -> Tensor:
        """Indices among the replicas of all chains, from indices `(R, ...)` among the replicas of each chain."""
        n_chains, n_temperatures = self._holder.shape
        first = n_temperatures * torch.arange(n_chains, device=replicas.device)
        return first.view(-1, *[1] * (replicas.ndim - 1)) + replicas

    def _share_of_replicas(self, n_temperatures: int) -> Share:
        """Which of the replicas of all chains, of this many temperatures, are those of the chains of this process."""
        rows = self.share.rows
        replicas = slice(rows.start * n_temperatures, rows.stop * n_temperatures)
        return Share(self.share.n * n_temperatures, replicas, self.share.processes)

    def _exchange(self) -> None:
        step = self.betas[:-1] - self.betas[1:]
        p = (step * (self.energies[:, :-1] - self.energies[:, 1:])).clamp_(max=0).exp_()
        self._noted.append(p)
        self._n_noted += 1
        if len(self._noted) == NOTED:
            self._count()
        rows, n = self.share.rows, p.shape[1]
        own = slice(rows.start * n, rows.stop * n)
        accepted = uniform_columns(self._generator, 1, self.share.n * n, own).view(-1, n) < p
        accepted[:, 1 - self._sweeps % 2 :: 2] = False
        place = torch.arange(len(self.betas), device=p.device).repeat(len(p), 1)
        place[:, :-1] += accepted.long()
        place[:, 1:] -= accepted.long()
        self._holder, self.energies = self._holder.gather(1, place), self.energies.gather(1, place)

    def _count(self) -> None:
        """Add the acceptances of the last sweeps, of the chains of all processes, to those of the sweeps before."""
        if self._noted:
            for p in self.share.joined(torch.stack(self._noted, 1)).unbind(1):
                self._accepted += p.contiguous().mean(0)
        self._noted = []

    def _note_trips(self) -> None:
        every = torch.arange(len(self._holder), device=self._holder.device)
        cold, hot = self._holder[:, 0], self._holder[:, -1]
        self._trips += (self._returning[every, cold]).sum()
        self._returning[every, cold] = False
        self._departed[every, cold] = True
        self._returning[every, hot] = self._departed[every, hot]

    def _adapt(self) -> None:
        """Change the ladder if the exchanges since its last change were too rare, or much too frequent."""
        rejection = 1 - self.acceptance.cpu().numpy()
        old = self.betas.cpu().numpy()
        new = spaced(old, rejection)
        if rejection.max() <= TOLERATED and len(new) >= len(old) - 1:
            self._forget()
            return
        nearest = torch.from_numpy(np.abs(new[:, None] - old).argmin(1)).to(self._holder.device)
        self._climb(new, self._at(self._holder[:, nearest]))

    def _climb(self, betas: Array, numbers: Tensor) -> None:
        """Change to another ladder: `numbers[r, k]` is the index of the configuration for temperature k of chain r."""
        self._replicas.take(numbers.flatten(), self._share_of_replicas(len(betas)))
        self.betas = torch.from_numpy(betas).to(numbers.device)
        self._holder = torch.arange(len(betas), device=numbers.device).repeat(len(numbers), 1)
        self.energies = self._replicas.energies().view(numbers.shape)
        self._forget()

    def _forget(self) -> None:
        self._accepted = torch.zeros_like(self.betas[1:])
        self._noted = []
        self._n_noted = 0
        self._trips = torch.zeros((), dtype=torch.long, device=self.betas.device)
        # Whether each replica has been at the target temperature, and at infinite temperature after that.
        self._departed, self._returning = (torch.zeros_like(self._holder, dtype=torch.bool) for _ in range(2))


def with_ladder(chains: ParallelTempering, batches: Iterable[Samples]) -> Iterator[Samples]:
    """Add to each batch, while the chains run, the data that `la.estimation.estimate_tempering` needs.

    `records["ladder"]` is float64 `(n, K)`: `[r, k]` is the energy of the replica of chain r at temperature k.
    `provenance` has the inverse temperatures of the ladder, `betas`, and the `acceptance` and `round_trips` of all
    sweeps since the end of the thermalisation.
    """
    for batch in batches:
        state = {
            "betas": chains.betas.tolist(),
            "acceptance": chains.acceptance.tolist(),
            "round_trips": chains.round_trips,
        }
        energies = chains.share.joined(chains.energies)[: len(batch)]
        yield replace(batch, records={"ladder": energies}, provenance=batch.provenance | state)


def spaced(betas: Array, rejection: Array) -> Array:
    """A ladder with the same ends on which every exchange is rejected with about equal probability, about 1/2.

    Args:
        betas: `(K,)`, inverse temperatures of the present ladder, decreasing.
        rejection: `(K - 1,)`, rejection probabilities measured between neighbours of the present ladder.

    Returns:
        Inverse temperatures of the new ladder, float64, decreasing. They divide the barrier, which is the sum of the
        rejection probabilities, into equal parts; beta is interpolated linearly in the barrier.
    """
    barrier = np.concatenate([[0.0], np.cumsum(np.clip(rejection, 1e-6, None))])
    n_intervals = max(1, int(np.ceil(barrier[-1] / REJECTION)))
    return np.interp(np.linspace(0, barrier[-1], n_intervals + 1), barrier, betas)
