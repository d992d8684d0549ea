"""The sampler without weights, and networks that start from it."""

import pytest
import torch

import latticear as la
from latticear.exact import all_configurations
from latticear.models import MODELS
from latticear.sampling.choice import drawer
from latticear.sampling.torch_engine import Engine

BLUME_CAPEL = la.BlumeCapel((3, 3), crystal_field=1.9)


def test_it_draws_from_the_probabilities_that_it_states():
    model = la.TensorNetwork((3, 3), 3, bias=BLUME_CAPEL.bias(0.5), bond_dimension=2)
    samples = model.sample(600, seed=1)
    assert torch.allclose(model.log_prob(samples.tokens), samples.log_q, atol=1e-12)
    assert torch.equal(model.sample(600, seed=1, method="reference").tokens, samples.tokens)
    assert torch.equal(model.sample(100, seed=1, start=500).tokens, samples.tokens[500:])
    p = model.log_prob(all_configurations((3, 3), 3)).exp()
    assert p.sum().item() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("system", "temperature"), [(la.Ising((3, 4)), 2.0), (la.Potts((2, 3), q=3), 1.0), (BLUME_CAPEL, 0.5)]
)
def test_contract(system, temperature):
    model = la.TensorNetwork(system.shape, system.n_tokens, bias=system.bias(temperature), bond_dimension=2)
    passed = la.check_model(model)
    assert {"normalised", "causal", "log_prob", "sampler", "reference", "held sites", "saved"} <= set(passed)
    uniform = la.TensorNetwork(system.shape, system.n_tokens)
    assert "normalised" in la.check_model(uniform)


def test_contract_given_couplings():
    disorder = la.EdwardsAndersonDisorder((3, 4))
    model = la.TensorNetwork((3, 4), bias=disorder.bias(1.0), bond_dimension=2, n_condition_maps=2)
    passed = la.check_model(model)
    assert {"normalised", "causal", "log_prob", "sampler", "reference", "held sites", "saved"} <= set(passed)


def test_held_sites_keep_their_tokens():
    ising = la.Ising((4, 4))
    model = la.TensorNetwork((4, 4), bias=ising.bias(2.0))
    where = torch.zeros(4, 4, dtype=torch.bool)
    where[1:3, 1] = True
    samples = model.sample(200, seed=0, given=torch.ones(4, 4, dtype=torch.long), where=where)
    assert bool((samples.tokens[:, where] == 1).all())
    assert torch.allclose(samples.log_q + samples.log_q_given, model.log_prob(samples.tokens))


def test_its_bond_dimension_replaces_that_of_the_bias():
    ising = la.Ising((4, 4))
    plain, large = ising.bias(2.0), ising.bias(2.0, bond_dimension=8)
    models = [la.TensorNetwork((4, 4), bias=bias, bond_dimension=2) for bias in (plain, large)]
    assert [model.bias.bond_dimension for model in models] == [2, 2]
    again = la.models.model_from_dict(models[0].to_dict())
    tokens = all_configurations((4, 4), 2)[::777]
    assert torch.equal(again.log_prob(tokens), models[1].log_prob(tokens))


def test_single_precision_draws_with_the_probabilities_that_it_states():
    ising = la.Ising((4, 6))
    double = la.TensorNetwork((4, 6), bias=ising.bias(2.0), bond_dimension=8)
    single = la.TensorNetwork((4, 6), bias=double.bias, bond_dimension=8, single_precision=True)
    samples = single.sample(500, seed=1)
    assert torch.allclose(single.log_prob(samples.tokens), samples.log_q, atol=1e-12)
    assert 1e-8 < (double.log_prob(samples.tokens) - samples.log_q).abs().max() < 1e-3
    again = la.models.model_from_dict(single.to_dict())
    assert torch.allclose(again.log_prob(samples.tokens), samples.log_q, atol=1e-12)


def test_bad_input():
    ising = la.Ising((4, 4))
    with pytest.raises(ValueError, match="bond_dimension must be at least 1, got 0"):
        la.TensorNetwork((4, 4), bond_dimension=0)
    with pytest.raises(ValueError, match="a sum over later sites is for one temperature"):
        la.TensorNetwork((4, 4), bias=ising.bias())
    for condition in ({"n_condition": 1}, {"n_condition_maps": 2}):
        with pytest.raises(ValueError, match="takes no condition but the couplings of the bias of a disorder"):
            la.TensorNetwork((4, 4), **condition)
    with pytest.raises(ValueError, match="in raster order, such as pixelcnn or tensor_network"):
        la.MultiscalePixelCNN((4, 4), bias=ising.bias(2.0, bond_dimension=4))


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"multiscale", "mean_field", "tensor_network"}))
def test_a_network_may_have_it_in_its_logits(name):
    ising = la.Ising((4, 5))
    model = MODELS[name]((4, 5), bias=ising.bias(2.0, bond_dimension=2))
    samples = model.sample(40, seed=0)
    assert isinstance(drawer(model), Engine)
    assert torch.equal(model.sample(40, seed=0, method="reference").tokens, samples.tokens)
    assert torch.allclose(model.log_prob(samples.tokens), samples.log_q, atol=1e-4)
    steps = la.fit(model, ising, temperature=2.0, steps=2, batch_size=16, objective="reverse-kl")
    assert len(list(steps)) == 2


def test_it_is_trained_in_one_step_that_changes_nothing(tmp_path):
    ising = la.Ising((4, 4))
    model = la.default_model(ising, 2.0, name="tensor_network", bond_dimension=8)
    (step,) = la.fit(model, ising, temperature=2.0)
    assert step.metrics["ess"] > 0.999
    la.save_run(tmp_path / "run", model, ising, temperature=2.0)
    tokens = model.sample(50, seed=3).tokens
    assert torch.equal(la.load_run(tmp_path / "run").model.sample(50, seed=3).tokens, tokens)
