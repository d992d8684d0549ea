"""Particles that are resampled between the steps of a model, where the weights of whole lattices spread too far.

Index suffixes: r island, p particle of an island, b particle of any of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from latticear.arguments import check_integer, check_seed
from latticear.estimation.islands import MIN_ISLANDS
from latticear.estimation.twists import Pilot, Twist, fit_twists
from latticear.hamiltonians import AbstractHamiltonian, check_temperature
from latticear.models import AbstractModel
from latticear.models.steps import DrawsInSteps, require_steps
from latticear.montecarlo.resampling import effective_fraction, systematic
from latticear.montecarlo.simulation import monte_carlo_data
from latticear.random_numbers import PARTICLES, PILOT, RESAMPLING, uniforms
from latticear.samples import Samples, token_dtype
from latticear.sampling.modes import evaluated

__all__ = ["METHOD", "resampled_particles", "size_of"]

LogP = Callable[[Tensor], Tensor]

METHOD = "smc"
"""As estimates and provenance call it."""
MAX_ISLANDS = 32
MIN_PARTICLES = 2
FEW_PARTICLES = 8
"""On an island; rather than fewer of them, fewer islands by default, down to `MIN_ISLANDS`."""
MIN_PILOT = 100
PILOT_AT_ONCE = 256
THRESHOLD = 0.5
"""An island resamples when its ESS falls below this."""


def resampled_particles(
    model: AbstractModel,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    n: int,
    n_islands: int | None = None,
    n_pilot: int = 2000,
    pilot: Tensor | None = None,
    seed: int = 0,
    condition: Tensor | None = None,
) -> Iterator[Samples]:
    """Particles that are drawn by a model and resampled between its steps, with their weights: some islands at a time.

    After step k the particles stand for `q(x) exp(f_k(x))`, x being the sites drawn so far, and after the last one for
    `exp(-beta E)`; a step changes the log weight by `f_k - f_(k-1)`. The f_k are local energies minus `ln q(x)`, fitted
    beforehand to pilot samples of the model and of the target (`twists`). Where the weights of an island have
    spread (ESS below 1/2), the particles are resampled: what would multiply up to a whole lattice's weight stays that
    of a step. Z is without bias whatever the f_k, whose quality sets the variance.

    Args:
        model: one that draws in steps, such as `MultiscalePixelCNN`; it runs where it is.
        hamiltonian, temperature: the target.
        n: particles of all islands together, rounded down to a multiple of their number.
        n_islands: more of them know their errors better, fewer have smaller ones. By default 32, or one for each 8
            particles if that is less, 10 at least.
        n_pilot: configurations of each kind for the fit, besides.
        pilot: tokens `(n, H, W)` of the target to fit to, instead of Monte Carlo made here (cluster updates where the
            Hamiltonian takes them, else Metropolis, which is slow on large lattices).
        seed: of all of it.
        condition: one row, of a model that has one.

    Yields:
        Whole islands. `records` has, for `estimate_particles`, `log_w`, the mean of exp of which over an island is its
        unbiased estimate of Z; `history`, `(n, K)`, the log weights after each step since the last resampling;
        `ancestor`, which particle of the first step each descends from; and how often its island was `resampled`.

    Raises:
        ValueError: at once, for a model that does not draw in steps, another shape or number of tokens (of the pilot
            too), a number that is no integer, fewer than 10 islands, 2 particles an island or 100 pilot configurations.

    References:
        Del Moral, Doucet, Jasra, "Sequential Monte Carlo samplers", J. R. Stat. Soc. B 68 (2006) 411; targets that
        look ahead: Whiteley and Lee, "Twisted particle filters", Ann. Stat. 42 (2014) 115; that resampling by the ESS
        keeps Z unbiased: Whiteley, Lee, Heine, "On the role of interaction in sequential Monte Carlo algorithms",
        Bernoulli 22 (2016) 494.
    """
    temperature = check_temperature(temperature)
    require_steps(model, hamiltonian, "particles that are resampled between steps", "importance sampling (la.estimate)")
    _check(model, n_pilot, pilot)
    size, seed = size_of(n, n_islands), check_seed(seed)

    def drawn() -> Iterator[Samples]:
        twists = _twists(model, hamiltonian, temperature, n_pilot, pilot, seed, condition)
        told = {"r_squared": [twist.r_squared for twist in twists]}
        for islands in _all_islands(model, hamiltonian, temperature, twists, size, seed, condition):
            yield replace(islands, provenance=islands.provenance | told)

    return evaluated(model, drawn())  # no dropout in what is weighed


def _check(model: AbstractModel, n_pilot: int, pilot: Tensor | None) -> None:
    found = check_integer("n_pilot", n_pilot, least=0)
    if pilot is not None:
        _check_pilot(pilot, model.shape, model.n_tokens)
        found = min(found, len(pilot))
    if found < MIN_PILOT:
        raise ValueError(f"a fit needs at least {MIN_PILOT} pilot configurations, got {found}")


def _check_pilot(pilot: Tensor, shape: tuple[int, int], n_tokens: int) -> None:
    wanted = f"pilot must be an integer tensor of shape (n, {shape[0]}, {shape[1]}) with tokens 0..{n_tokens - 1}"
    if not isinstance(pilot, Tensor):
        raise ValueError(f"{wanted}, got {type(pilot).__name__}")
    if pilot.ndim != 3 or tuple(pilot.shape[1:]) != shape:
        raise ValueError(f"{wanted}, got shape {tuple(pilot.shape)}")
    if pilot.is_floating_point() or pilot.is_complex() or pilot.dtype == torch.bool:
        raise ValueError(f"{wanted}, got dtype {pilot.dtype}")
    if pilot.numel() and not 0 <= int(pilot.min()) <= int(pilot.max()) < n_tokens:
        raise ValueError(
            f"{wanted}, got values {int(pilot.min())}..{int(pilot.max())}; spins become tokens by "
            f"hamiltonian.tokens(spins)"
        )


def size_of(n: int, n_islands: int | None) -> tuple[int, int]:
    """Islands, and particles of each."""
    n, least = check_integer("n", n, least=1), MIN_ISLANDS * MIN_PARTICLES
    if n < least:
        raise ValueError(
            f"error bars need at least {least} particles, {MIN_ISLANDS} islands of {MIN_PARTICLES}, got n = {n}"
        )
    default = max(MIN_ISLANDS, min(MAX_ISLANDS, n // FEW_PARTICLES))
    n_islands = check_integer("n_islands", n_islands, least=MIN_ISLANDS, default=default)
    if n < MIN_PARTICLES * n_islands:
        raise ValueError(
            f"error bars need at least {MIN_PARTICLES} particles on each island, got n = {n} on {n_islands} islands"
        )
    return n_islands, n // n_islands


@torch.no_grad()
def _twists(
    model: AbstractModel,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    n: int,
    pilot: Tensor | None,
    seed: int,
    condition: Tensor | None,
) -> list[Twist]:
    """Fitted to samples of their own stream: what the particles draw must not have been seen before."""
    assert isinstance(model, DrawsInSteps)
    own = Samples.cat(list(model.sample_batches(n, seed=seed, condition=condition, stream=PILOT))).tokens
    target = monte_carlo_data(hamiltonian, temperature, n, seed, "pilot") if pilot is None else pilot
    pilots = []
    for tokens in (own, target.to(own.device)):
        columns = [_log_q_of_steps(model, part, condition) for part in tokens.flatten(1).long().split(PILOT_AT_ONCE)]
        log_q = torch.cat(columns)
        log_w = -hamiltonian.token_energy(tokens) / temperature - log_q[:, -1]
        pilots.append(Pilot(tokens.flatten(1), log_q, log_w))
    periodic = hamiltonian.lattice.periodic
    return fit_twists(model.steps, *pilots, shape=model.shape, periodic=periodic, n_tokens=model.n_tokens)


def _log_q_of_steps(model: DrawsInSteps, tokens: Tensor, condition: Tensor | None) -> Tensor:
    """Log-probability of what the first k + 1 steps draw: `(B, K)`."""
    board = model.board(tokens)
    row = None if condition is None else condition.to(tokens.device).expand(len(tokens), -1)
    return torch.stack([model.log_prob_of(board, step.sites, row) for step in model.steps], 1).cumsum(1)


def _all_islands(
    model: AbstractModel,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    twists: Sequence[Callable[[Tensor, Tensor], Tensor]],
    size: tuple[int, int],
    seed: int,
    condition: Tensor | None,
) -> Iterator[Samples]:
    """The islands, some at a time; what one of them does depends on the seed and its index alone."""
    (n_islands, n_particles), n_sites, device = size, hamiltonian.n_sites, model.rank.device
    at_once = max(1, model.sites_at_once[device.type] // (n_particles * n_sites))
    origin = {"method": METHOD, "n_islands": n_islands, "n_particles": n_particles, "temperature": temperature}

    def log_p(tokens: Tensor) -> Tensor:
        return -hamiltonian.token_energy(tokens.unflatten(1, hamiltonian.shape)) / temperature

    for first in range(0, n_islands, at_once):
        here = min(at_once, n_islands - first)
        u = uniforms(seed, first * n_particles, here * n_particles, n_sites, stream=PARTICLES, device=device)
        lots = uniforms(seed, first, here, len(twists), stream=RESAMPLING, device=device)
        row = None if condition is None else condition.to(device).expand(here * n_particles, -1)
        tokens, records = _islands(model, log_p, twists, u.view(here, n_particles, n_sites), lots, row)
        tokens = tokens.unflatten(1, model.shape).to(token_dtype(model.n_tokens))
        yield Samples(tokens, None, seed, provenance=origin, records=records)


@torch.no_grad()
def _islands(
    model: AbstractModel,
    log_p: LogP,
    twists: Sequence[Callable[[Tensor, Tensor], Tensor]],
    u: Tensor,
    lots: Tensor,
    condition: Tensor | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Particles of some islands through all steps: tokens `(R P, N)`, and the records of `resampled_particles`.

    Args:
        model: one that draws in steps.
        log_p: of complete configurations `(B, N)`, unnormalised.
        twists: `f_k(tokens, ln q)`, one for each step but the last.
        u: float64 `(R, P, N)`, uniform; what decides each token.
        lots: float64 `(R, K - 1)`, uniform; what decides each resampling.
        condition: `(R P, k)` or None.
    """
    assert isinstance(model, DrawsInSteps)
    n_islands, n_particles, _ = u.shape
    steps, u_bs = model.steps, u.flatten(0, 1)
    board = model.board(torch.zeros(u_bs.shape, dtype=torch.long, device=u.device))
    log_q, before = u.new_zeros(len(u_bs)), u.new_zeros(len(u_bs))
    log_w, log_z = u.new_zeros(n_islands, n_particles), u.new_zeros(n_islands, 1)
    origin = torch.arange(len(u_bs), device=u.device)
    resampled = torch.zeros(n_islands, dtype=torch.long, device=u.device)
    history: list[Tensor] = []
    for k, step in enumerate(steps):
        log_q = log_q + model.redraw(board, step.sites, u_bs[:, step.sites], condition)
        last = k == len(steps) - 1
        now = log_p(board.tokens) - log_q if last else twists[k](board.tokens, log_q)
        log_w = log_w + (now - before).view(log_w.shape)
        before = now
        history.append(log_w)
        poor = effective_fraction(log_w) < THRESHOLD
        if last or not poor.any():
            continue
        rows = systematic(log_w, lots[:, k], poor)
        board, log_q, before, origin = board.take(rows), log_q[rows], before[rows], origin[rows]
        mean = log_w.logsumexp(1, keepdim=True) - math.log(n_particles)
        log_z = torch.where(poor[:, None], log_z + mean, log_z)
        log_w = torch.where(poor[:, None], 0.0, log_w)
        resampled += poor
    records = {
        "log_w": (log_z + log_w).flatten(),
        "history": torch.stack([weights.flatten() for weights in history], 1),
        "ancestor": origin,
        "resampled": resampled.repeat_interleave(n_particles),
    }
    return board.tokens, records
