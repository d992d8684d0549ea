"""Likelihoods by enumeration, in both units, with an error bar that covers."""

import math

import pytest
import torch
from support import contracts

import latticear as la
from latticear.exact.enumeration import all_configurations
from latticear.models import MeanField


@pytest.fixture(scope="module")
def network():
    return contracts.peaked(la.PixelCNN((2, 3), 3, width=4, depth=2, n_condition=2), scale=0.3)


def test_the_likelihood_of_a_models_own_samples_is_its_entropy(network):
    """200 sets of samples: the mean deviation from the exact entropy, and the spread in units of the error bars."""
    condition = torch.tensor([0.5, -1.0], dtype=torch.float64)
    log_q = network.log_prob(all_configurations((2, 3), 3), condition.expand(3**6, -1))
    entropy = -(log_q.exp() * log_q).sum().item() / 6
    z = []
    for seed in range(200):
        tokens = network.sample(200, seed=seed, condition=condition).tokens
        nll = la.negative_log_likelihood(network, tokens, condition.expand(200, -1))["nll_per_site"]
        z.append((nll.value - entropy) / nll.error)
    z = torch.tensor(z)
    assert abs(z.mean()) < 4 / math.sqrt(200)
    assert 0.75 < z.std() < 1.25  # 5 errors of a standard deviation of 200


def test_nats_bits_and_batches(network):
    tokens, condition = torch.randint(3, (50, 2, 3)), torch.randn(50, 2, dtype=torch.float64)
    expected = -network.log_prob(tokens, condition) / 6
    for batch_size in (7, 256):
        found = la.negative_log_likelihood(network, tokens, condition, batch_size=batch_size)
        assert found.keys() == {"nll_per_site", "bits_per_site"}
        assert found["nll_per_site"].value == pytest.approx(expected.mean().item(), rel=1e-6)
        assert found["nll_per_site"].error == pytest.approx(expected.std().item() / math.sqrt(50), rel=1e-6)
        assert found["bits_per_site"].value == pytest.approx(found["nll_per_site"].value / math.log(2))
        assert found["nll_per_site"].n == 50


def test_a_uniform_model_has_the_bits_of_its_levels():
    model = MeanField((3, 3), 8)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    found = la.negative_log_likelihood(model, torch.randint(8, (10, 3, 3)))
    assert found["bits_per_site"].value == pytest.approx(3)
    assert found["bits_per_site"].error == pytest.approx(0, abs=1e-12)


def test_components_count_apart():
    model, tokens = la.PixelCNN((3, 3), 4, n_components=2), torch.randint(4, (10, 2, 3, 3))
    found = la.negative_log_likelihood(model, tokens)
    assert found["nll_per_site"].value == pytest.approx(-model.log_prob(tokens).mean().item() / 9)
    assert found.keys() == {"nll_per_site", "bits_per_site", "nll_per_component", "bits_per_component"}
    assert found["nll_per_site"].value == pytest.approx(2 * found["nll_per_component"].value)
    assert found["bits_per_component"].value == pytest.approx(found["nll_per_component"].value / math.log(2))


def test_the_model_is_left_in_its_mode_and_judged_without_dropout(network):
    seen = []
    handle = network.head.register_forward_hook(lambda module, *_: seen.append(module.training))
    network.train()
    la.negative_log_likelihood(network, torch.randint(3, (4, 2, 3)), torch.zeros(4, 2))
    assert network.training
    network.eval()
    handle.remove()
    assert seen == [False]


def test_one_configuration_has_no_error_bar(network):
    with pytest.raises(ValueError, match="at least 2 configurations, got 1"):
        la.negative_log_likelihood(network, torch.randint(3, (1, 2, 3)), torch.zeros(1, 2))
