"""Sums over later sites: exact where nothing is cut, and normalised whatever is cut."""

import math

import pytest
import torch

import latticear as la
from latticear.exact import all_configurations
from latticear.exact.tabulated import Tabulated
from latticear.lookahead import Environments, RowWeights, Sweep

SYSTEMS = {
    "torus": (la.Ising((3, 4)), 2.0),
    "field": (la.Ising((4, 3), field=0.3), 2.0),
    "open": (la.Ising((3, 4), periodic=False), 1.0),
    "cylinders": (la.Ising((3, 4), periodic=(True, False), next_nearest=0.3), 2.0),
    "j1-j2": (la.Ising((3, 4), next_nearest=-0.6), 1.0),
    "antiperiodic": (la.Ising((4, 3), antiperiodic=(False, True)), 1.5),
    "triangular": (la.Ising((3, 4), coupling=-1, geometry="triangular"), 1.0),
    "honeycomb": (la.Ising((4, 4), geometry="honeycomb"), 1.0),
    "missing sites": (la.Ising((3, 4), missing=[(1, 1), (2, 3)]), 1.0),
    "glass": (la.EdwardsAnderson((4, 4), seed=1), 0.5),
    "gaussian glass, open": (la.EdwardsAnderson((3, 5), seed=1, distribution="gaussian", periodic=False), 0.7),
    "potts": (la.Potts((2, 4), q=3), 0.9),
    "blume-capel": (la.BlumeCapel((3, 3), crystal_field=1.0), 0.7),
    "two rows": (la.Ising((2, 5)), 2.0),
    "two columns": (la.Ising((5, 2)), 2.0),
    "two by two": (la.Ising((2, 2), next_nearest=0.5), 2.0),
    "a row": (la.Ising((1, 6), periodic=(False, True)), 1.0),
    "a column": (la.Ising((6, 1), periodic=(True, False)), 1.0),
}


def _weights(system, temperature) -> RowWeights:
    return RowWeights.of_bonds(system.shape, system.bonds, system.bond_energies, system.site_energies, temperature)


def _log_q(environments: Environments, tokens: torch.Tensor, spin_flip: bool = False) -> torch.Tensor:
    sweep, log_q = Sweep(environments, len(tokens), spin_flip=spin_flip), 0.0
    for site in range(tokens[0].numel()):
        token = tokens.flatten(1)[:, site].long()
        log_q = log_q + sweep.logits().gather(1, token[:, None])[:, 0]
        sweep.take(token)
    return log_q


@pytest.mark.parametrize("name", SYSTEMS)
def test_without_a_cut_it_is_the_boltzmann_distribution(name):
    system, temperature = SYSTEMS[name]
    table = Tabulated(system, temperature)
    some = torch.arange(0, len(table.tokens), max(1, len(table.tokens) // 3000))
    environments = Environments(_weights(system, temperature), 512)
    assert environments.lost.max() < 1e-12
    log_q = _log_q(environments, table.tokens[some], system.spin_flip)
    expected = torch.from_numpy(table.log_p)[some]
    likely = expected > expected.max() - 25  # the probability of others is rounded off
    assert torch.allclose(log_q[likely], expected[likely], atol=1e-6)


@pytest.mark.parametrize("name", ["torus", "j1-j2", "glass", "potts", "blume-capel", "open"])
@pytest.mark.parametrize("bond_dimension", [1, 2, 3])
def test_whatever_is_cut_the_probabilities_sum_to_one(name, bond_dimension):
    system, temperature = SYSTEMS[name]
    tokens = all_configurations(system.shape, system.n_tokens)
    environments = Environments(_weights(system, temperature), bond_dimension)
    log_q = _log_q(environments, tokens, system.spin_flip)
    assert log_q.logsumexp(0).item() == pytest.approx(0.0, abs=1e-12)
    if system.spin_flip:  # bit for bit
        assert torch.equal(log_q, log_q.flip(0))


def test_a_larger_bond_dimension_is_closer():
    system, temperature = SYSTEMS["torus"]
    table = Tabulated(system, temperature)
    p, divergences = torch.from_numpy(table.log_p).exp(), []
    for bond_dimension in (1, 4, 16):  # of degenerate values a smaller one keeps some, which depend on the processor
        log_q = _log_q(Environments(_weights(system, temperature), bond_dimension), table.tokens)
        divergences.append(float(p @ (torch.from_numpy(table.log_p) - log_q)))
    assert divergences[0] > 0.01 > 1e-3 > divergences[1] > 1e-9 > divergences[2]


def test_instances_are_computed_together():
    """Each configuration of a batch has couplings of its own."""
    system = la.Ising((3, 4))
    factors = torch.linspace(0.5, -1.5, 5 * len(system.bonds), dtype=torch.float64).reshape(5, -1)
    common = (system.shape, system.bonds, system.bond_energies, system.site_energies, 1.5)
    tokens = all_configurations((3, 4), 2)[torch.arange(5) * 700 + 13]
    together = _log_q(Environments(RowWeights.of_bonds(*common, factors), 6), tokens)
    for k in range(5):
        alone = _log_q(Environments(RowWeights.of_bonds(*common, factors[k : k + 1]), 6), tokens[k : k + 1])
        assert together[k].item() == pytest.approx(alone.item(), rel=1e-9)


def test_the_weights_are_those_of_the_energy():
    system, temperature = SYSTEMS["j1-j2"]
    weights = _weights(system, temperature)
    tokens = all_configurations(system.shape, 2)[[0, 5, 77, 1234]].long()
    log_w = torch.zeros(len(tokens), dtype=torch.float64) + weights.log_scale
    for y in range(3):
        for x in range(4):
            here, below, right = tokens[:, y, x], (y + 1) % 3, (x + 1) % 4
            log_w += weights.site[0, y, x, here].log()
            log_w += weights.right[0, y, x, here, tokens[:, y, right]].log()
            log_w += weights.down[0, y, x, here, tokens[:, below, x]].log()
            log_w += weights.down_right[0, y, x, here, tokens[:, below, right]].log()
            log_w += weights.down_left[0, y, x, here, tokens[:, below, x - 1]].log()
    assert torch.allclose(log_w, -system.token_energy(tokens) / temperature)


def test_bonds_that_reach_too_far_are_refused():
    with pytest.raises(ValueError, match=r"nearest and next-nearest neighbours alone, but the sites .* are joined"):
        la.SherringtonKirkpatrick((3, 5), seed=0).bias(1.0, bond_dimension=4)


def test_open_lattices_are_exact_to_many_digits():
    """Kaufman's formula is for a torus; the Pfaffian is for any couplings."""
    ising = la.Ising((16, 16), periodic=False)
    model = la.TensorNetwork((16, 16), bias=ising.bias(2.269), bond_dimension=12)
    samples = model.sample(200, seed=0)
    log_z = -ising.token_energy(samples.tokens) / 2.269 - samples.log_q
    assert log_z.std() < 1e-4
    exact = la.exact.exact_result(ising, 2.269)
    assert log_z.logsumexp(0).item() - math.log(200) == pytest.approx(exact.log_z, abs=1e-4)
