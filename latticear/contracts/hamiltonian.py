"""Numerical checks of the properties that every Hamiltonian class must have; run them on a new one."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from latticear.exact import enumerate_states, transfer_matrix
from latticear.hamiltonians import AbstractHamiltonian, check_is_hamiltonian

__all__ = ["check_hamiltonian"]

N_TRIED = 64
"""Number of random configurations on which most properties are checked."""

MAX_ENUMERATED = 2**18
"""Largest number of configurations for which Z is computed by enumeration."""

TOLERANCE = 1e-10
"""Largest accepted difference between two energies, relative to the largest energy."""


def check_hamiltonian(hamiltonian: AbstractHamiltonian, *, temperature: float = 1.5, seed: int = 0) -> list[str]:
    """Check a Hamiltonian for the properties that every Hamiltonian must have; return the names of the checks made.

    - "energy": the energy of random configurations equals the sum over bonds and sites, computed by a plain loop.
    - "local": `conditional_energies` at a site differ from each other as the whole energy does when the token of that
      site changes, and these differences do not depend on the current token of the site.
    - "region": when the tokens of some sites change, `region_energy` changes as the whole energy does.
    - "heat bath": the heat bath satisfies detailed balance with the Boltzmann distribution.
    - "spin flip", "symmetries": the symmetries that the Hamiltonian states leave its energy unchanged.
    - "known neighbours": the energies that the bias of a network adds to its logits (the field at each site and its
      bonds to sites of lower rank) sum to the energy.
    - "enumeration": Z by enumeration equals Z by transfer matrix.
    - "components": a configuration has the same energy whether its tokens are those of whole sites or of their
      components, and the known-neighbour terms of the components of a site add up to the term of the site.

    Checks that do not apply are left out: without bonds, with too many configurations for enumeration, or without
    components.

    Args:
        hamiltonian: a small instance, 4x4 for example; enumeration takes at most 2^18 configurations.
        temperature: T > 0 for the checks that depend on temperature.
        seed: seed of the random configurations.

    Raises:
        AssertionError: at the first property that does not hold; the message states the numbers.

    Example:
        >>> from latticear.hamiltonians import Ising
        >>> check_hamiltonian(Ising((3, 4), field=0.3))[:2]
        ['energy', 'local']
    """
    check_is_hamiltonian(hamiltonian)
    generator, whole = torch.Generator().manual_seed(seed), hamiltonian
    hamiltonian = whole.joint
    size = (2, N_TRIED, *hamiltonian.shape)
    tokens, others = torch.randint(hamiltonian.n_tokens, size, generator=generator)
    checks = {
        "energy": lambda: _energy(hamiltonian, tokens[:8]),
        "local": lambda: _local(hamiltonian, tokens),
        "region": lambda: _region(hamiltonian, tokens, others, generator),
        "heat bath": lambda: _heat_bath(hamiltonian, tokens, temperature),
        "spin flip": lambda: _spin_flip(hamiltonian, tokens),
        "symmetries": lambda: _symmetries(hamiltonian, tokens, seed),
        "known neighbours": lambda: _known_neighbours(hamiltonian, tokens, temperature),
        "enumeration": lambda: _enumeration(hamiltonian, temperature),
        "components": lambda: _components(whole, tokens, temperature),
    }
    return [name for name, check in checks.items() if check()]


def _energy(hamiltonian: AbstractHamiltonian, tokens: Tensor) -> bool:
    if not hamiltonian.has_bonds:
        return False
    bonds, tables, fields = hamiltonian.bonds.tolist(), hamiltonian.bond_energies, hamiltonian.site_energies
    found = hamiltonian.energy(hamiltonian.spins(tokens))
    for configuration, energy in zip(tokens.flatten(1).tolist(), found.tolist(), strict=True):
        terms = [tables[b, configuration[i], configuration[j]].item() for b, (i, j) in enumerate(bonds)]
        terms += [fields[site, token].item() for site, token in enumerate(configuration)]
        _same(energy, math.fsum(terms), found, f"energy of {configuration}", "the sum over bonds and sites")
    return True


def _local(hamiltonian: AbstractHamiltonian, tokens: Tensor) -> bool:
    energy, every = hamiltonian.token_energy(tokens), torch.arange(hamiltonian.n_sites)
    local = hamiltonian.conditional_energies(tokens, every)
    now = local.gather(2, tokens.flatten(1)[..., None])[..., 0]
    for site in every.tolist():
        for token in range(hamiltonian.n_tokens):
            changed = _with(tokens, site, token)
            change = hamiltonian.token_energy(changed) - energy
            what = f"change of energy with token {token} at site {site}"
            _same(local[:, site, token] - now[:, site], change, energy, f"local {what}", "the global one")
            again = hamiltonian.conditional_energies(changed, every[site : site + 1])[:, 0]
            spread = again - again[:, :1]
            before = local[:, site] - local[:, site, :1]
            _same(spread, before, energy, f"conditional energies of site {site} after it changed", "those before")
    return True


def _region(hamiltonian: AbstractHamiltonian, tokens: Tensor, others: Tensor, generator: torch.Generator) -> bool:
    sites = torch.randperm(hamiltonian.n_sites, generator=generator)[: max(1, hamiltonian.n_sites // 2)]
    mixed = tokens.flatten(1).index_copy(1, sites, others.flatten(1)[:, sites]).view_as(tokens)
    part = hamiltonian.region_energy(mixed, sites) - hamiltonian.region_energy(tokens, sites)
    whole = hamiltonian.token_energy(mixed) - hamiltonian.token_energy(tokens)
    _same(part, whole, hamiltonian.token_energy(tokens), "change of the energy of a region", "that of the whole energy")
    return True


def _heat_bath(hamiltonian: AbstractHamiltonian, tokens: Tensor, temperature: float) -> bool:
    """Check `ln p(s) + ln P(s -> s') = ln p(s') + ln P(s' -> s)` for every change of the first and of the last site."""
    for site in (0, hamiltonian.n_sites - 1):
        at = torch.tensor([site])
        for token in range(hamiltonian.n_tokens):
            changed = _with(tokens, site, token)
            forward = _log_heat_bath(hamiltonian, tokens, at, temperature)[:, token]
            old = tokens.flatten(1)[:, at]
            back = _log_heat_bath(hamiltonian, changed, at, temperature).gather(1, old)[:, 0]
            energies = hamiltonian.token_energy(tokens), hamiltonian.token_energy(changed)
            flows = -energies[0] / temperature + forward, -energies[1] / temperature + back
            _same(*flows, energies[0] / temperature, f"flow of the heat bath at site {site}", "the flow back")
    return True


def _log_heat_bath(hamiltonian: AbstractHamiltonian, tokens: Tensor, at: Tensor, temperature: float) -> Tensor:
    return (-hamiltonian.conditional_energies(tokens, at)[:, 0] / temperature).log_softmax(1)


def _spin_flip(hamiltonian: AbstractHamiltonian, tokens: Tensor) -> bool:
    if not hamiltonian.spin_flip:
        return False
    energy, flipped = hamiltonian.token_energy(tokens), hamiltonian.token_energy(hamiltonian.n_tokens - 1 - tokens)
    _same(flipped, energy, energy, "energy after a spin flip (spin_flip is True)", "the energy before")
    return True


def _symmetries(hamiltonian: AbstractHamiltonian, tokens: Tensor, seed: int) -> bool:
    images = hamiltonian.symmetries.draw(len(tokens), np.random.default_rng(seed))
    moved = tokens.flatten(1).gather(1, images).view_as(tokens)
    energy = hamiltonian.token_energy(tokens)
    _same(
        hamiltonian.token_energy(moved), energy, energy, "energy after a symmetry of the lattice", "the energy before"
    )
    return True


def _known_neighbours(hamiltonian: AbstractHamiltonian, tokens: Tensor, temperature: float) -> bool:
    if not hamiltonian.has_bonds:
        return False
    bias = hamiltonian.bias(temperature)
    bias.attach(torch.arange(hamiltonian.n_sites).view(hamiltonian.shape))
    if hamiltonian.composition is not None:  # a field without its average, which is the same for all configurations
        states = torch.repeat_interleave(torch.arange(hamiltonian.n_tokens), torch.tensor(hamiltonian.composition))
        order = torch.rand(tokens.flatten(1).shape, generator=torch.Generator().manual_seed(0)).argsort(1)
        tokens = states[order].view_as(tokens)
    chosen = bias(tokens).gather(1, tokens[:, None]).sum((1, 2, 3))
    energy = hamiltonian.token_energy(tokens)
    if hamiltonian.composition is not None:
        chosen, energy = chosen - chosen[0], energy - energy[0]
    _same(-temperature * chosen, energy, energy, "sum of the known-neighbour terms", "the energy")
    return True


def _enumeration(hamiltonian: AbstractHamiltonian, temperature: float) -> bool:
    if not hamiltonian.has_bonds or hamiltonian.n_tokens**hamiltonian.n_sites > MAX_ENUMERATED:
        return False
    by_enumeration = enumerate_states(hamiltonian, temperature)
    try:
        by_transfer = transfer_matrix(hamiltonian, temperature)
    except ValueError:  # the transfer matrix does not support such bonds
        return False
    _same(by_transfer.log_z, by_enumeration.log_z, 1.0, "ln Z by transfer matrix", "that by enumeration")
    return True


def _components(hamiltonian: AbstractHamiltonian, tokens: Tensor, temperature: float) -> bool:
    if hamiltonian.n_components == 1:
        return False
    joint, r = hamiltonian.joint, hamiltonian.n_tokens
    components: list[Tensor] = []
    rest = tokens
    for _ in range(hamiltonian.n_components):
        components, rest = [rest % r, *components], rest // r
    parts = torch.stack(components, dim=1)
    energy = joint.token_energy(tokens)
    found = hamiltonian.energy(hamiltonian.spins(parts))
    _same(found, energy, energy, "energy of components", "that of the states that they make up")
    if not hamiltonian.has_bonds:
        return True
    one_by_one, at_once = _log_known(hamiltonian, parts, temperature), _log_known(joint, tokens, temperature)
    _same(one_by_one, at_once, 1.0, "known-neighbour term of components, one after the other,", "that of whole sites")
    return True


def _log_known(hamiltonian: AbstractHamiltonian, tokens: Tensor, temperature: float) -> Tensor:
    """ln of the probability of configurations if the logits of a network are the known-neighbour terms alone."""
    bias = hamiltonian.bias(temperature)
    bias.attach(torch.arange(hamiltonian.n_sites).view(hamiltonian.shape))
    return bias(tokens).log_softmax(1).gather(1, tokens[:, None]).flatten(1).sum(1)


def _with(tokens: Tensor, site: int, token: int) -> Tensor:
    changed = tokens.clone()
    changed.flatten(1)[:, site] = token
    return changed


def _same(found: Tensor | float, expected: Tensor | float, scale: Tensor | float, what: str, which: str) -> None:
    """Raise AssertionError where two numbers differ by more than rounding."""
    pairs = torch.stack([torch.as_tensor(x, dtype=torch.float64).reshape(-1) for x in (found, expected)])
    off = (pairs[0] - pairs[1]).abs()
    worst = int(off.argmax())
    largest = max(1.0, float(torch.as_tensor(scale).abs().max()), float(pairs.abs().max()))
    if not off[worst] <= TOLERANCE * largest:
        raise AssertionError(f"{what} must be {which}: {pairs[0, worst]:.12g} is not {pairs[1, worst]:.12g}")
