"""One instance of a disorder as the target of a network that takes any couplings."""

import pytest
import torch

import latticear as la
from latticear.exact import all_configurations, exact_result
from latticear.targets import InstanceTarget, PointTarget, for_a_network
from latticear.training.objectives import ess_of_data

T = 0.9
GLASS = la.EdwardsAnderson((3, 4), distribution="gaussian", seed=2, periodic=(True, False))


def _network(**options) -> la.PixelCNN:
    bias = InstanceTarget(GLASS, T).bias(options.pop("chi", None))
    options |= {"width": 8, "depth": 2, "n_condition_maps": 2, "spin_flip_symmetric": True}
    return la.PixelCNN(GLASS.shape, bias=bias, **options)


def test_the_network_decides():
    point = PointTarget(GLASS, T)
    assert for_a_network(point, 0) is point
    assert isinstance(for_a_network(point, 2), InstanceTarget)
    ising = PointTarget(la.Ising((3, 4)), T)
    assert for_a_network(ising, 2) is ising


def test_its_condition_are_the_couplings():
    target, network = InstanceTarget(GLASS, T), _network()
    setting = target.single
    assert torch.equal(setting.condition, network.condition_of(maps=GLASS.maps[None])[0])
    disorder = target.disorder
    tokens = all_configurations((3, 4), 2)[::100]
    energy = disorder.energy_given(tokens, setting.condition.expand(len(tokens), -1))
    assert torch.allclose(energy, GLASS.token_energy(tokens), atol=1e-12)
    for other in (target.at(la.targets.Asked(), network), target.shown(network)):
        assert (other.system, other.temperature) == (GLASS, T)
        assert torch.equal(other.condition, setting.condition)


@pytest.mark.parametrize("objective", ["reverse-kl", "forward-kl", "forward-reverse-kl"])
def test_a_network_is_trained_to_it(objective):
    """By every objective: the KL divergence, by the sum over all states, becomes a small part of what it was."""
    network, condition = _network(seed=3), InstanceTarget(GLASS, T).single.condition
    every, log_z = all_configurations((3, 4), 2), exact_result(GLASS, T).log_z

    def kl() -> float:
        with torch.no_grad():
            log_q = network.log_prob(every, condition)
        return float((log_q.exp() * (log_q + GLASS.token_energy(every) / T)).sum() + log_z)

    before = kl()
    options = {"steps": 60, "batch_size": 128, "learning_rate": 0.01, "anneal": 0.0, "n_monte_carlo": 2000}
    *_, last = la.fit(network, GLASS, temperature=T, objective=objective, ema_decay=0.0, **options)
    assert kl() < 0.4 * before
    assert last.metrics["ess"] > 0.5


def test_the_forward_ess_of_its_data_is_that_of_its_couplings():
    """Batches hold data, and the last step evaluates the held-out part: given the couplings of the instance."""
    network, target = _network(chi=2), InstanceTarget(GLASS, T)
    data = torch.cat([chain.tokens for chain in la.monte_carlo(GLASS, T, n=400, seed=1)])
    options = {"steps": 1, "batch_size": 64, "objective": "forward-reverse-kl", "forward_share": 0.0}
    options |= {"learning_rate": 1e-12, "ema_decay": 0.0, "data_share": 0.5, "heated_share": 0.5, "anneal": 0.0}
    (step,) = la.fit(network, GLASS, temperature=T, data=data, check_data=False, **options)
    held = data[-40:]
    with torch.no_grad():
        log_q = network.log_prob(held, target.single.condition).double()
    expected = ess_of_data(log_q + GLASS.token_energy(held) / T)
    assert step.metrics["forward_ess"] == pytest.approx(expected, rel=1e-5)


def test_what_it_refuses():
    with pytest.raises(ValueError, match="is for edwards_anderson without a field, got"):
        InstanceTarget(la.EdwardsAnderson((3, 4), field=0.1), T)
    with pytest.raises(ValueError, match="is for edwards_anderson without a field, got"):
        InstanceTarget(la.Ising((3, 4)), T)
    network = la.PixelCNN((3, 4), width=8, depth=2, n_condition_maps=3)
    with pytest.raises(ValueError, match="needs a model whose condition are the couplings: n_condition_maps=2"):
        la.fit(network, GLASS, temperature=T)
