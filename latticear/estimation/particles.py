"""Particles that are resampled between the steps of a model, for lattices whose importance weights vary too much.

Index suffixes: r island, p particle of an island, b particle of any island.
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
"""Name of the method in estimates and provenance."""
MAX_ISLANDS = 32
MIN_PARTICLES = 2
FEW_PARTICLES = 8
"""The default number of islands leaves at least this many particles on each, unless it is already `MIN_ISLANDS`."""
MIN_PILOT = 100
PILOT_AT_ONCE = 256
THRESHOLD = 0.5
"""An island is resampled when its ESS falls below this fraction."""


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
    """Weighted particles that a model draws step by step and that are resampled between steps, some islands at a time.

    After step k the weighted particles represent the distribution proportional to `q(x) exp(f_k(x))`, where x are the
    sites drawn so far, and after the last step `exp(-beta E)`; step k changes the log weight by `f_k - f_(k-1)`. The
    f_k are local energies minus `ln q(x)`, fitted beforehand to pilot samples of the model and of the target (see
    `latticear.estimation.twists`). The particles of an island are resampled when its ESS falls below 1/2, so that
    the spread of the weights does not accumulate over all steps. The estimate of Z is unbiased for any f_k; the
    quality of the f_k determines its variance.

    Args:
        model: a model that draws in steps, such as `MultiscalePixelCNN`; it stays on its device.
        hamiltonian, temperature: Hamiltonian and temperature of the target.
        n: total number of particles, rounded down to a multiple of the number of islands.
        n_islands: number of islands; with more islands errors are known better, with fewer islands they are smaller.
            By default 32, or one for each 8 particles if that is less, but at least 10.
        n_pilot: number of pilot samples of the model, and of the target, that are drawn for the fit in addition to n.
        pilot: tokens `(n, H, W)` of configurations of the target for the fit; None draws them by
            `latticear.montecarlo.monte_carlo_data`, which is slow on large lattices without cluster updates.
        seed: seed of all random numbers of the simulation.
        condition: the condition, one row for all particles, if the model has one.

    Yields:
        Batches of complete islands. For `estimate_particles`, `records` has `log_w`, where the mean of `exp(log_w)`
        over an island is its unbiased estimate of Z; `history`, `(n, K)`, the log weights after each step since the
        last resampling; `ancestor`, the index of the particle of the first step from which each descends; and
        `resampled`, the number of times that the particle's island was resampled.

    Raises:
        ValueError: when called, for a model that does not draw in steps, a model or pilot with another shape or number
            of tokens than the Hamiltonian, a number that is not an integer, fewer than 10 islands, fewer than 2
            particles on each island, or fewer than 100 pilot configurations.

    References:
        Del Moral, Doucet, Jasra, "Sequential Monte Carlo samplers", J. R. Stat. Soc. B 68 (2006) 411; intermediate
        targets that anticipate later steps: Whiteley and Lee, "Twisted particle filters", Ann. Stat. 42 (2014) 115;
        proof that resampling by the ESS keeps Z unbiased: Whiteley, Lee, Heine, "On the role of interaction in
        sequential Monte Carlo algorithms", Bernoulli 22 (2016) 494.
    """
    temperature = check_temperature(temperature)
    require_steps(model, hamiltonian, "particles that are resampled between steps", "importance sampling (la.estimate)")
    _check(model, n_pilot, pilot)
    size, seed = size_of(n, n_islands), check_seed(seed)

    def drawn() -> Iterator[Samples]:
        twists = _twists(model, hamiltonian, temperature, n_pilot, pilot, seed, condition)
        quality = {"r_squared": [twist.r_squared for twist in twists]}
        for islands in _all_islands(model, hamiltonian, temperature, twists, size, seed, condition):
            yield replace(islands, provenance=islands.provenance | quality)

    return evaluated(model, drawn())  # dropout would falsify the probabilities in the weights


def _check(model: AbstractModel, n_pilot: int, pilot: Tensor | None) -> None:
    n = check_integer("n_pilot", n_pilot, least=0)
    if pilot is not None:
        _check_pilot(pilot, model.shape, model.n_tokens)
        n = min(n, len(pilot))
    if n < MIN_PILOT:
        raise ValueError(f"a fit needs at least {MIN_PILOT} pilot configurations, got {n}")


def _check_pilot(pilot: Tensor, shape: tuple[int, int], n_tokens: int) -> None:
    required = f"pilot must be an integer tensor of shape (n, {shape[0]}, {shape[1]}) with tokens 0..{n_tokens - 1}"
    if not isinstance(pilot, Tensor):
        raise ValueError(f"{required}, got {type(pilot).__name__}")
    if pilot.ndim != 3 or tuple(pilot.shape[1:]) != shape:
        raise ValueError(f"{required}, got shape {tuple(pilot.shape)}")
    if pilot.is_floating_point() or pilot.is_complex() or pilot.dtype == torch.bool:
        raise ValueError(f"{required}, got dtype {pilot.dtype}")
    if pilot.numel() and not 0 <= int(pilot.min()) <= int(pilot.max()) < n_tokens:
        raise ValueError(
            f"{required}, got values {int(pilot.min())}..{int(pilot.max())}; convert spins to tokens with "
            f"hamiltonian.tokens(spins)"
        )


def size_of(n: int, n_islands: int | None) -> tuple[int, int]:
    """The number of islands, and the number of particles on each island."""
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
    """The fitted f_k; pilot samples have their own random stream, so that they are independent of the particles."""
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
    """`[b, k]` is the log-probability of the sites of configuration b that steps 0 to k draw: `(B, K)`."""
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
    """The islands, some at a time; the result of an island depends on the seed and its index, not on the grouping."""
    (n_islands, n_particles), n_sites, device = size, hamiltonian.n_sites, model.rank.device
    at_once = max(1, model.sites_at_once[device.type] // (n_particles * n_sites))
    origin = {"method": METHOD, "n_islands": n_islands, "n_particles": n_particles, "temperature": temperature}

    def log_p(tokens: Tensor) -> Tensor:
        return -hamiltonian.token_energy(tokens.unflatten(1, hamiltonian.shape)) / temperature

    for first in range(0, n_islands, at_once):
        n = min(at_once, n_islands - first)
        u = uniforms(seed, first * n_particles, n * n_particles, n_sites, stream=PARTICLES, device=device)
        lots = uniforms(seed, first, n, len(twists), stream=RESAMPLING, device=device)
        row = None if condition is None else condition.to(device).expand(n * n_particles, -1)
        tokens, records = _islands(model, log_p, twists, u.view(n, n_particles, n_sites), lots, row)
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
    """Draw the particles of some islands: tokens `(R P, N)`, and the records that `resampled_particles` describes.

    Args:
        model: a model that draws in steps.
        log_p: unnormalised log-probability under the target of complete configurations `(B, N)`.
        twists: functions `f_k(tokens, ln q)`, one for each step but the last.
        u: float64 `(R, P, N)`, uniform random numbers from which the tokens are drawn.
        lots: float64 `(R, K - 1)`, uniform random numbers for the resampling of each island after each step.
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
