"""Block updates: Markov chains in which a model redraws the spins of a window, given all other spins."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from latticear.arguments import check_integer, check_seed
from latticear.hamiltonians import AbstractHamiltonian, check_temperature
from latticear.models import AbstractModel
from latticear.models.steps import DrawsInSteps, require_steps
from latticear.montecarlo.simulation import ChainSchedule, run_chains
from latticear.random_numbers import CHAINS, generator
from latticear.samples import Samples, token_dtype
from latticear.sampling.modes import evaluated

__all__ = ["BlockUpdates", "block_chains", "n_chains_of"]

WANTED = 0.3
"""Acceptance below which a window shrinks during thermalisation."""

MOST_MOVES = 64
"""Maximal number of moves of one kind in a sweep: with tiny windows the overhead of each call would dominate."""


@dataclass
class Kind:
    """A kind of move: it redraws sites of certain levels within a window.

    Attributes:
        name: name of the kind in the diagnostics.
        free: bool `(H, W)`, True for the sites that may be redrawn, which are those of the finest levels.
        unit: windows begin and end on coordinates that are multiples of this number; the sites there are not redrawn,
            unless the kind redraws all sites.
        extent: (y, x) size of the window: it spans extent + 1 sites in each direction, or the whole lattice if that is
            smaller.
        accepted: accepted fraction of the proposals since the count began; None if there were none.
        n_moves: number of moves since the count began.
    """

    name: str
    free: Tensor
    unit: int
    extent: tuple[int, int]
    accepted: float | None = None
    n_moves: int = 0

    @property
    def moves(self) -> int:
        """Number of moves in a sweep: enough to cover the lattice about once."""
        shares = (min(1.0, extent / size) for extent, size in zip(self.extent, self.free.shape, strict=True))
        return min(MOST_MOVES, math.ceil(1 / math.prod(shares)))

    def window(self, rng: np.random.Generator) -> Tensor:
        """The free sites of a window at a random position, int64 `(n,)`; the position does not depend on the spins."""
        inside = []
        for extent, size in zip(self.extent, self.free.shape, strict=True):
            start = self.unit * int(rng.integers(math.ceil(size / self.unit)))
            within = torch.zeros(size, dtype=torch.bool)
            within[(start + torch.arange(min(extent + 1, size))) % size] = True
            inside.append(within.to(self.free.device))
        return (self.free & inside[0][:, None] & inside[1]).flatten().nonzero()[:, 0]

    def note(self, accepted: float) -> None:
        """Record the accepted fraction of a move."""
        self.n_moves += 1
        self.accepted = accepted if self.accepted is None else self.accepted + (accepted - self.accepted) / self.n_moves

    def forget(self) -> None:
        """Begin the count of moves anew."""
        self.accepted, self.n_moves = None, 0

    def adapt(self) -> None:
        """Halve the window if the acceptance is too low, and begin the count of moves anew."""
        if self.accepted is not None and self.accepted < WANTED:
            longest = max(min(extent, size) for extent, size in zip(self.extent, self.free.shape, strict=True))
            half = max(self.unit, longest // 2 // self.unit * self.unit)
            self.extent = (half, half)
        self.forget()


class BlockUpdates:
    """A batch of chains that redraw windows, and whole lattices, with the model's own conditionals as proposal.

    Let D be the sites of a window at the levels below some k. Their tokens are drawn anew in the model's order, each
    given the current tokens at the sites of lower rank, and accepted with probability

        min(1, exp(-beta (E' - E)) g(x | x') / g(x' | x)),   g(x' | x) = prod_{i in D} q(x'_i | lower ranks in x'),

    where x and x' are equal outside D. Only the sites of D are computed: the cost and the acceptance depend on the
    window alone, not on the size of the lattice. Detailed balance holds for every D, because D is chosen independently
    of the spins. The moves of all levels take turns, including one that redraws all sites, which makes the chain
    ergodic. Windows shrink until the acceptance is at least 0.3, during the thermalisation only.

    The class has the interface of `latticear.montecarlo.simulation.Running`. A sweep makes, for each kind of move, as
    many moves as cover the lattice.

    Args:
        model: a model that draws in steps, in evaluation mode.
        hamiltonian, temperature: Hamiltonian and temperature of the target.
        tokens: `(n_chains, H, W)`, initial configurations of the chains.
        rng: generator that chooses the windows and seeds the random numbers of proposals and acceptances.
        condition: the condition, one row for all chains, if the model has one.

    References:
        Wu, Rossi, Carleo, "Unbiased Monte Carlo cluster updates with autoregressive neural networks", Phys. Rev.
        Research 3 (2021) L042024; hierarchies of conditionals: Białas, Korcyl, Stebel (2022), arXiv 2203.10989.
    """

    name: ClassVar[str] = "blocks"

    def __init__(
        self,
        model: DrawsInSteps,
        hamiltonian: AbstractHamiltonian,
        temperature: float,
        tokens: Tensor,
        rng: np.random.Generator,
        condition: Tensor | None = None,
    ) -> None:
        self._model, self._hamiltonian, self._beta = model, hamiltonian, 1 / temperature
        self._rng = rng
        self._generator = torch.Generator(tokens.device).manual_seed(int(rng.integers(2**63)))
        self._board = model.board(tokens.flatten(1))
        self._condition = None if condition is None else condition.to(tokens.device).expand(len(tokens), -1)
        self.kinds = _kinds(model, hamiltonian.shape)
        self._settled = False

    @property
    def tokens(self) -> Tensor:
        """`(n_chains, H, W)`, the current configurations of the chains."""
        return self._board.tokens.unflatten(1, self._hamiltonian.shape)

    def sweep(self) -> None:
        """Make moves of every kind, coarse kinds first, each as many times as covers the lattice."""
        for kind in self.kinds:
            for _ in range(kind.moves):
                kind.note(self.move(kind.window(self._rng)))
            if not self._settled:
                kind.adapt()

    def settle(self) -> None:
        """Fix the sizes of the windows, and begin the count of moves anew."""
        self._settled = True
        for kind in self.kinds:
            kind.forget()

    def move(self, sites: Tensor) -> float:
        """Propose new tokens at some sites of all chains; returns the fraction of chains that accepted."""
        board = self._board
        old = board.tokens[:, sites]
        log_ratio = self.propose(sites)
        u = self._uniform(len(old))
        accepted = torch.log1p(-u) < log_ratio  # 1 - u lies in (0, 1]
        if not accepted.all():
            board.write(sites, torch.where(accepted[:, None], board.tokens[:, sites], old).T)
        return float(accepted.double().mean())

    def propose(self, sites: Tensor) -> Tensor:
        """Redraw some sites of all chains; returns the logarithm of the acceptance ratio, float64 `(n_chains,)`."""
        board = self._board
        before = self._log_p(sites) - self._model.log_prob_of(board, sites, self._condition)
        log_g = self._model.redraw(board, sites, self._uniform(len(board.tokens), len(sites)), self._condition)
        return self._log_p(sites) - log_g - before

    def _log_p(self, sites: Tensor) -> Tensor:
        return -self._beta * self._hamiltonian.region_energy(self.tokens, sites)

    def _uniform(self, *size: int) -> Tensor:
        tokens = self._board.tokens
        return torch.rand(size, dtype=torch.float64, device=tokens.device, generator=self._generator)


def _kinds(model: DrawsInSteps, shape: tuple[int, int]) -> list[Kind]:
    """One kind of move for all sites, and one for the sites below each level from the second coarsest to level 1.

    Their windows are as large as the lattice.
    """
    steps = model.steps
    top = steps[0].level
    kinds = []
    for level in [top + 1, *range(top - 1, 0, -1)]:
        free = torch.zeros(math.prod(shape), dtype=torch.bool, device=steps[0].sites.device)
        for step in steps:
            free[step.sites] = step.level < level
        name, unit = ("all", 2) if level > top else (f"below_{level}", 2**level)
        kinds.append(Kind(name, free.view(shape), unit, shape))
    return kinds


def block_chains(
    model: AbstractModel,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    n: int,
    n_chains: int | None = None,
    thermalization: int | None = None,
    seed: int = 0,
    condition: Tensor | None = None,
) -> Iterator[Samples]:
    """Markov chains that redraw windows of the lattice with a model: yields one `Samples` per sweep of all chains.

    `BlockUpdates` describes the moves. The initial configurations are samples of the model.

    Args:
        model: a model that draws in steps, such as `MultiscalePixelCNN`; it stays on its device.
        hamiltonian, temperature: Hamiltonian and temperature of the target.
        n: total number of measurements, one per chain and sweep; rounded down to a multiple of the number of chains.
        n_chains: number of chains; by default one for each 200 measurements, at most 256.
        thermalization: sweeps before the first measurement; by default a quarter of the sweeps after it, at least 100.
        seed: seed of all random numbers of the simulation.
        condition: the condition, one row for all chains, if the model has one.

    Yields:
        Batches as `monte_carlo` yields them. For `estimate_blocks`, `provenance` also has the `acceptance` of each kind
        of move so far, and the extent of its `window`.

    Raises:
        ValueError: when called, for a model that does not draw in steps, a number out of range, or chains of fewer than
            20 measurements.
    """
    temperature = check_temperature(temperature)
    require_steps(model, hamiltonian, "block updates", "neural Metropolis (la.neural_mcmc)")
    n, seed = check_integer("n", n, least=1), check_seed(seed)
    n_chains = n_chains_of(n, n_chains)
    length = n // n_chains
    if length < 20:
        raise ValueError(f"{n_chains} chains need at least {20 * n_chains} measurements, got n = {n}")
    thermalization = check_integer("thermalization", thermalization, least=0, default=max(100, length // 4))
    schedule = ChainSchedule(n_chains, thermalization, 1)

    def updated() -> Iterator[Samples]:
        start = Samples.cat(list(model.sample_batches(n_chains, seed=seed, condition=condition, stream=CHAINS)))
        assert isinstance(model, DrawsInSteps)
        rng = generator(seed, "block updates")
        chains = BlockUpdates(model, hamiltonian, temperature, start.tokens, rng, condition)
        for batch in run_chains(chains, temperature, length * n_chains, schedule, seed):
            statistics = {
                "acceptance": {kind.name: kind.accepted or 0.0 for kind in chains.kinds},
                "window": {kind.name: max(kind.extent) for kind in chains.kinds},
            }
            tokens = batch.tokens.to(token_dtype(model.n_tokens))
            yield replace(batch, tokens=tokens, provenance=batch.provenance | statistics)

    return evaluated(model, updated())  # dropout would falsify the probabilities of the acceptance ratio


def n_chains_of(n: int, n_chains: int | None) -> int:
    """The number of chains for n measurements: the argument, or its default."""
    return check_integer("n_chains", n_chains, least=1, default=max(1, min(256, n // 200)))
