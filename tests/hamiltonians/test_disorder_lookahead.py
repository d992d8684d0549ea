"""The sum over later sites for each configuration's own couplings."""

import copy

import pytest
import torch

import latticear as la
from latticear.exact import all_configurations
from latticear.exact.tabulated import Tabulated
from latticear.hamiltonians import disorder_lookahead
from latticear.lookahead import Environments
from latticear.sampling.choice import drawer
from latticear.sampling.torch_engine import Engine

TEMPERATURE = 0.9
LATTICES = {
    "torus": {},
    "cylinder": {"periodic": (False, True)},
    "antiperiodic": {"antiperiodic": (True, False)},
    "diluted": {"missing": [(0, 1), (2, 2)]},
}


def _tokens(n: int, shape=(3, 4)) -> torch.Tensor:
    return torch.randint(2, (n, *shape), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
@pytest.mark.parametrize("distribution", ["pm1", "gaussian"])
def test_it_is_that_of_each_instance(lattice, distribution):
    """Of instances that occur several times, in any order, and of one alone."""
    disorder = la.EdwardsAndersonDisorder((3, 4), distribution, 3, **lattice)
    bias, couplings = disorder.bias(TEMPERATURE, bond_dimension=3), disorder.draw(3)
    which, tokens = torch.tensor([1, 0, 2, 1, 1, 0, 2, 2]), _tokens(8)
    found = bias(tokens, couplings[which].flatten(1)).log_softmax(1)
    for k in range(3):
        alone = disorder.instance(couplings[k]).bias(TEMPERATURE, bond_dimension=3)
        expected = alone(tokens[which == k]).log_softmax(1)
        assert (found[which == k] - expected).abs().max() < 1e-9
        again = bias(tokens[which == k], couplings[k].flatten().expand(int((which == k).sum()), -1)).log_softmax(1)
        assert (again - expected).abs().max() < 1e-9


def test_without_a_cut_it_is_the_boltzmann_distribution():
    disorder = la.EdwardsAndersonDisorder((3, 3), "gaussian")
    model = la.TensorNetwork((3, 3), bias=disorder.bias(TEMPERATURE), bond_dimension=64, n_condition_maps=2)
    for couplings in disorder.draw(2):
        log_q = model.log_prob(all_configurations((3, 3), 2), model.condition_of(maps=couplings[None]))
        expected = torch.from_numpy(Tabulated(disorder.instance(couplings), TEMPERATURE).log_p)
        assert torch.allclose(log_q, expected, atol=1e-6)


def test_sums_are_computed_once_for_each_instance(monkeypatch):
    built = []

    def counted(weights, bond_dimension):
        built.append(weights.n_instances)
        return Environments(weights, bond_dimension)

    monkeypatch.setattr(disorder_lookahead, "Environments", counted)
    monkeypatch.setattr(disorder_lookahead, "MOST_SETS", 2)
    disorder = la.EdwardsAndersonDisorder((3, 4))
    bias, couplings = disorder.bias(TEMPERATURE, bond_dimension=2), disorder.draw(4).flatten(1)
    for rows in ([0, 1, 1, 0], [1, 0, 1, 0]):  # the same two instances
        bias(_tokens(4), couplings[rows])
    assert built == [2]
    copy.deepcopy(bias)(_tokens(4), couplings[[0, 0, 1, 1]])
    assert built == [2]
    bias(_tokens(4), couplings[[2, 2, 2, 2]])
    bias(_tokens(4), couplings[[3, 2, 1, 0]])
    bias(_tokens(4), couplings[[2, 2, 2, 2]])
    assert built == [2, 1, 4]
    bias(_tokens(4), couplings[[0, 1, 1, 0]])  # the oldest set was dropped
    assert built == [2, 1, 4, 2]
    monkeypatch.setattr(disorder_lookahead, "MOST_BYTES", 0)
    for _ in range(2):
        bias(_tokens(4), couplings[[0, 3, 1, 0]])
    assert built == [2, 1, 4, 2, 3]


def test_other_couplings_leave_the_sampler_as_it_is():
    disorder = la.EdwardsAndersonDisorder((3, 4))
    bias = disorder.bias(TEMPERATURE, bond_dimension=2)
    model = la.PixelCNN((3, 4), bias=bias, width=4, depth=2, n_condition_maps=2)
    before = drawer(model)
    for couplings in disorder.draw(2):
        model.sample(4, condition=model.condition_of(maps=couplings[None]))
    assert drawer(model) is before
    assert isinstance(before, Engine)


def test_what_it_needs():
    disorder = la.EdwardsAndersonDisorder((3, 4))
    with pytest.raises(ValueError, match="a sum over later sites is for one temperature"):
        disorder.bias(bond_dimension=4)
    with pytest.raises(ValueError, match="bond_dimension must be at least 1, got 0"):
        disorder.bias(1.0, bond_dimension=0)
    for what in ("environments", "sweep"):
        with pytest.raises(ValueError, match="sums over later sites of edwards_anderson_disorder need the couplings"):
            getattr(disorder.bias(1.0, bond_dimension=4), what)(*[3] * (what == "sweep"))
    with pytest.raises(ValueError, match='"auto" is for one system, not for all couplings: give a number'):
        la.TensorNetwork((3, 4), bias=disorder.bias(1.0), bond_dimension="auto", n_condition_maps=2)
    with pytest.raises(ValueError, match="n_condition_maps of at least 2, got 0"):
        la.TensorNetwork((3, 4), bias=disorder.bias(1.0))
