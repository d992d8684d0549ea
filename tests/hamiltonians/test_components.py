"""A system in components is the system itself: energies, judges, Monte Carlo, observables, and what is refused."""

import itertools
import math

import numpy as np
import pytest
import torch

import latticear as la
from latticear.exact import all_configurations, magnetization_resolved
from latticear.hamiltonians import hamiltonian_from_dict
from latticear.montecarlo.clusters import clusters_suit
from latticear.montecarlo.simulation import default_method, monte_carlo_data
from latticear.samples import Samples
from latticear.training.dataset import Dataset

JOINT = la.AshkinTeller((2, 2), coupling=0.9, four_spin=0.4)
PARTS = la.Components(JOINT)
T = 2.3

WHOLES = {
    "ashkin-teller": (la.AshkinTeller((2, 3), coupling=-0.7, four_spin=0.4), 2),
    "clock of eight": (la.Clock((2, 2), q=8, periodic=False), 3),
    "potts of nine": (la.Potts((2, 2), q=9), 2),
    "a field on levels": (la.Phi4((2, 2), levels=4, cutoff=2.0), 2),
    "no bonds known": (la.CustomHamiltonian(lambda s: (s * s.roll(1, 1)).sum((1, 2)), range(4), (2, 3)), 2),
}


def _random_joint(system, n=30):
    tokens = torch.randint(system.n_tokens, (n, *system.shape), generator=torch.Generator().manual_seed(0))
    return tokens.to(torch.uint8)


@pytest.mark.parametrize("shape", [(2, 2), (2, 3)])
@pytest.mark.parametrize("periodic", [True, False])
def test_both_forms_have_the_energy_of_two_coupled_ising_models(shape, periodic):
    """Of every configuration, by a loop over spins a and b; state s = 2 (a + 1)/2 + (b + 1)/2."""
    joint = la.AshkinTeller(shape, coupling=0.9, four_spin=-0.4, periodic=periodic)
    tokens = all_configurations(shape, 4)
    a, b = 2.0 * (tokens.double() // 2) - 1, 2.0 * (tokens.double() % 2) - 1
    expected = torch.zeros(len(tokens), dtype=torch.float64)
    for i, j in joint.bonds.tolist():
        a_ij, b_ij = (s.flatten(1)[:, i] * s.flatten(1)[:, j] for s in (a, b))
        expected -= 0.9 * (a_ij + b_ij) - 0.4 * a_ij * b_ij
    parts = la.Components(joint)
    spins = torch.stack([a, b], dim=1)
    assert torch.equal(parts.split(tokens), parts.tokens(spins))
    assert torch.equal(parts.spins(parts.split(tokens)), spins)
    for found in (joint.token_energy(tokens), parts.energy(spins), parts.token_energy(parts.tokens(spins))):
        assert (found - expected).abs().max() < 1e-12


@pytest.mark.parametrize("name", WHOLES)
def test_all_that_follows_from_the_energy_is_that_of_the_joint_system(name):
    joint, n_components = WHOLES[name]
    parts, tokens, others = la.Components(joint, n_components), _random_joint(joint), _random_joint(joint, 31)[1:]
    split, sites = parts.split(tokens), torch.arange(joint.n_sites)
    assert parts.size == (n_components, *joint.shape)
    assert parts.n_tokens**n_components == joint.n_tokens
    assert split.shape[1:] == parts.size
    assert torch.equal(parts.join(split), tokens)
    assert torch.equal(parts.tokens(parts.spins(split)), split)
    assert not torch.equal(others, tokens)
    assert torch.equal(parts.energy(parts.spins(split)), joint.energy(joint.spins(tokens)))
    for of in ("token_energy", "vectors_of", "magnetization"):
        assert torch.equal(getattr(parts, of)(split), getattr(joint, of)(tokens))
    for of in ("conditional_energies", "region_energy"):
        assert torch.equal(getattr(parts, of)(split, sites[:2]), getattr(joint, of)(tokens, sites[:2]))
    assert torch.equal(parts.vectors, joint.vectors)
    assert (parts.spin_flip, parts.is_homogeneous) == (joint.spin_flip, joint.is_homogeneous)
    assert torch.equal(parts.symmetries.point, joint.symmetries.point)
    assert torch.equal(parts.colours, joint.colours)
    assert torch.equal(parts.join(parts.n_tokens - 1 - split), joint.n_tokens - 1 - tokens)


def test_couplings_of_each_configuration():
    tokens = _random_joint(JOINT, 3)
    couplings = torch.rand(3, len(JOINT.bonds), dtype=torch.float64)
    found = PARTS.energy(PARTS.spins(PARTS.split(tokens)), couplings)
    assert torch.equal(found, JOINT.token_energy(tokens, couplings))


@pytest.mark.parametrize("name", [name for name in WHOLES if name != "no bonds known"])
def test_judges(name):
    joint, n_components = WHOLES[name]
    parts = la.Components(joint, n_components)
    for judge in (la.exact.enumerate_states, la.exact.transfer_matrix, la.exact_result):
        assert judge(parts, T) == judge(joint, T)
    assert "components" in la.check_hamiltonian(parts)
    assert "components" not in la.check_hamiltonian(joint)


def test_the_judge_of_hamiltonians_sees_components_in_the_wrong_order():
    class Swapped(la.Components):
        def join(self, tokens):
            return super().join(tokens.flip(1))

    with pytest.raises(AssertionError, match="energy of components must be that of the states"):
        la.check_hamiltonian(Swapped(la.Clock((2, 2), q=4)))


def test_the_judge_of_hamiltonians_sees_another_known_neighbour_term():
    class Warmer(la.Components):
        def bias(self, temperature=None):
            return super().bias(2 * temperature)

    with pytest.raises(AssertionError, match="known-neighbour term of components, one after the other, must be that"):
        la.check_hamiltonian(Warmer(la.Clock((2, 2), q=4)))


def test_ln_z_by_enumeration_of_spins():
    """All 256 configurations of two spins at four sites, counted as spins."""
    spins = torch.tensor([*itertools.product([-1, 1], repeat=8)]).view(-1, 2, 2, 2)
    log_z = (-PARTS.energy(spins) / T).logsumexp(0).item()
    assert log_z == pytest.approx(la.exact.enumerate_states(JOINT, T).log_z, abs=1e-12)


def test_two_ising_models():
    """K = 0: ln Z is twice that of one."""
    free = la.exact_result(la.Components(la.AshkinTeller((4, 3))), T)
    assert free.log_z == pytest.approx(2 * la.exact_result(la.Ising((4, 3)), T).log_z, rel=1e-13)


def test_levels_resolved_by_magnetisation_and_couplings_that_are_none():
    levels = la.PairHamiltonian(
        la.Lattice((2, 3)), [-3, -1, 1, 3], [[0, 1, 2, 3], [1, 0, 1, 2], [2, 1, 0, 1], [3, 2, 1, 0]]
    )
    assert magnetization_resolved(la.Components(levels), T) == magnetization_resolved(levels, T)
    with pytest.raises(ValueError, match="two states"):
        la.exact.kasteleyn(PARTS, T)


@pytest.mark.parametrize("method", ["metropolis", "heat-bath", "parallel-tempering"])
def test_monte_carlo_is_that_of_the_joint_system(method):
    options = {"n": 25, "n_chains": 10, "thermalization": 5, "thinning": 2, "method": method, "seed": 3}
    for parts, joint in zip(la.monte_carlo(PARTS, T, **options), la.monte_carlo(JOINT, T, **options), strict=True):
        assert parts.tokens.shape[1:] == (2, 2, 2)
        assert torch.equal(PARTS.join(parts.tokens), joint.tokens)
        assert parts.provenance == joint.provenance
    assert len(parts.tokens) == 5


def test_clusters_of_the_joint_system():
    joint = la.AshkinTeller((3, 4), four_spin=1.0)  # K = J: the Potts model of four states
    parts = la.Components(joint)
    assert default_method(parts) == default_method(joint) == "swendsen-wang"
    assert default_method(PARTS) == default_method(JOINT) == "heat-bath"
    assert clusters_suit(parts)
    assert not clusters_suit(PARTS)
    tokens = monte_carlo_data(parts, T, 30, 1, "test")
    assert torch.equal(parts.join(tokens), monte_carlo_data(joint, T, 30, 1, "test"))


def _tempered(system) -> list[Samples]:
    return list(la.monte_carlo(system, T, n=400, method="parallel-tempering", seed=2))


def _cooled(system) -> list[Samples]:
    return [la.montecarlo.annealed_population(system, T, n=4000, seed=2)]


@pytest.mark.parametrize(
    ("simulate", "estimate"),
    [(_tempered, la.estimation.estimate_tempering), (_cooled, la.estimation.estimate_population)],
)
def test_free_energies_of_monte_carlo(simulate, estimate):
    batches = [simulate(system) for system in (PARTS, JOINT)]
    found = [estimate(part, system, T) for part, system in zip(batches, (PARTS, JOINT), strict=True)]
    assert torch.equal(PARTS.join(Samples.cat(batches[0]).tokens), Samples.cat(batches[1]).tokens)
    assert found[0].to_dict() == found[1].to_dict()
    assert abs(found[0]["log_z"].value - la.exact.enumerate_states(PARTS, T).log_z) < 4 * found[0]["log_z"].error


def test_estimates_are_those_of_the_joint_system_and_observables_see_spins():
    tokens = _random_joint(JOINT, 500)
    log_q = torch.full((500,), -4 * math.log(4), dtype=torch.float64)

    def polarisation(spins):
        assert spins.shape[1:] == (2, 2, 2)
        assert set(spins.unique().tolist()) == {-1.0, 1.0}
        return (spins[:, 0] * spins[:, 1]).mean((1, 2))

    parts = la.estimate(Samples(PARTS.split(tokens), log_q, 0), PARTS, 8.0, observables={"ab": polarisation})
    joint = la.estimate(Samples(tokens, log_q, 0), JOINT, 8.0)
    ab = parts["ab"]
    left = {name: estimate for name, estimate in parts.to_dict().items() if name != "ab"}
    assert left == joint.to_dict()
    w = (-JOINT.token_energy(tokens) / 8.0).softmax(0)
    a_b = (2.0 * (tokens // 2) - 1) * (2.0 * (tokens % 2) - 1)
    assert ab.value == pytest.approx((w * a_b.mean((1, 2))).sum().item())


@pytest.mark.parametrize("name", WHOLES)
def test_magnetisation_and_correlations_are_those_of_whole_sites(name):
    """Where states are vectors, and where they are numbers: those of a site, not of its components."""
    joint, n_components = WHOLES[name]
    parts, tokens = la.Components(joint, n_components), _random_joint(joint, 500)
    log_q = torch.full((500,), -joint.n_sites * math.log(joint.n_tokens), dtype=torch.float64)
    found = la.estimate(Samples(parts.split(tokens), log_q, 0), parts, 50.0)
    assert found.to_dict() == la.estimate(Samples(tokens, log_q, 0), joint, 50.0).to_dict()


@pytest.mark.parametrize("flipped", [True, False])
def test_data_are_seen_through_symmetries_that_keep_components_together(flipped):
    joint = la.AshkinTeller((2, 3), four_spin=0.4) if flipped else la.Potts((2, 3), q=4)
    parts = la.Components(joint)
    tokens = _random_joint(joint, 2)[:1].expand(4, -1, -1)
    data = Dataset(parts.split(tokens), parts, 0.25, True, 0, torch.device("cpu"))
    drawn = torch.cat([data.draw(64, step).tokens for step in range(4)])
    assert drawn.shape[1:] == parts.size
    assert len(drawn.unique(dim=0)) > 10
    assert (parts.token_energy(drawn) - joint.token_energy(tokens[:1])).abs().max() < 1e-12
    counts = {tuple(sorted(c.flatten().tolist())) for c in parts.join(drawn)}
    assert len(counts) == 2  # the states of the sites, as they were or all flipped


@pytest.mark.parametrize("name", [name for name in WHOLES if name != "no bonds known"])
def test_what_is_saved_is_the_same_system(name):
    joint, n_components = WHOLES[name]
    parts = la.Components(joint, n_components)
    values = parts.to_dict()
    assert values == {**joint.to_dict(), "components": n_components}
    again = hamiltonian_from_dict(values)
    assert isinstance(again, la.Components)
    assert again.to_dict() == values
    tokens = parts.split(_random_joint(joint))
    assert torch.equal(again.token_energy(tokens), parts.token_energy(tokens))
    assert repr(again) == f"Components({joint!r}, {n_components})"
    assert hamiltonian_from_dict({**values, "components": 1}).to_dict() == joint.to_dict()


def test_values_of_components():
    assert PARTS.states.tolist() == [-1, 1]
    assert la.Components(la.Potts((2, 2), q=9)).states.tolist() == [0, 1, 2]
    assert la.Components(la.Potts((2, 2), q=27), 3).spins(torch.tensor([2])).tolist() == [2.0]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: la.Components(JOINT, 3), r"components of the 4 states of a site of ashkin_teller must be 2, got 3"),
        (lambda: la.Components(JOINT, 1), "must be 2, got 1"),
        (lambda: la.Components(JOINT, 2.0), "must be 2, got 2.0"),
        (lambda: la.Components(JOINT, True), "must be 2, got True"),
        (lambda: la.Components(la.Potts((2, 2), q=64), 5), "must be 2 or 3 or 6, got 5"),
        (lambda: la.Components(la.Ising((2, 2))), "the 2 states of a site of ising have no components, got 2"),
        (lambda: la.Components(la.Potts((2, 2), q=6)), "the 6 states of a site of potts have no components"),
        (lambda: la.Components(PARTS), "already has components"),
        (lambda: hamiltonian_from_dict({**JOINT.to_dict(), "components": 0}), "must be 2, got 0"),
        (lambda: PARTS.energy(torch.ones(3, 2, 2)), r"spins must have shape \(B, 2, 2, 2\), got \(3, 2, 2\)"),
        (lambda: PARTS.energy(torch.zeros(3, 2, 2, 2)), r"spins of Components must be one of \[-1.0, 1.0\], got 0"),
        (lambda: PARTS.bond_energies, "this needs a system with one token at each site"),
        (lambda: PARTS.site_energies, "this needs a system with one token at each site"),
        (lambda: PARTS.neighbourhoods, "this needs a system with one token at each site"),
        (lambda: la.Components(*WHOLES["no bonds known"]).bias(1.0), "no list of bonds"),
        (lambda: la.estimate(Samples(_random_joint(JOINT), None, 0), PARTS, T), r"samples have shape \(2, 2\)"),
        (lambda: la.monte_carlo(PARTS, T, n=10, method="wolff"), "4 states"),
    ],
)
def test_what_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_enumeration_numbers_of_the_magnetisation_are_those_of_vectors():
    """|m| of two spins a site: the length of the mean of (a, b) / sqrt 2."""
    spins = torch.tensor([*itertools.product([-1, 1], repeat=8)]).view(-1, 2, 2, 2).double()
    p = (-PARTS.energy(spins) / T).softmax(0)
    m = (spins.mean((2, 3)) / math.sqrt(2)).norm(dim=1)
    assert np.isclose(la.exact.enumerate_states(PARTS, T).abs_magnetization, (p * m).sum().item(), rtol=1e-12)
