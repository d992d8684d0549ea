"""The seed of a network fixes its initial weights, and nothing else does."""

import inspect

import pytest
import torch
from support.contracts import TRAINED
from torch import nn

import latticear as la
from latticear.models import MODELS, AbstractModel, model_from_dict
from latticear.runs.config import build_model, load_config


def _weights(model: AbstractModel) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("name", TRAINED)
def test_the_seed_fixes_the_weights_and_leaves_the_global_state_alone(name):
    state = torch.random.get_rng_state()
    first = _weights(MODELS[name]((3, 4), 3, seed=7))
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(5)
    assert torch.equal(_weights(MODELS[name]((3, 4), 3, seed=7)), first)
    assert not torch.equal(_weights(MODELS[name]((3, 4), 3, seed=8)), first)
    assert torch.equal(_weights(MODELS[name]((3, 4), 3)), _weights(MODELS[name]((3, 4), 3, seed=0)))


@pytest.mark.parametrize("name", TRAINED)
def test_a_config_with_this_seed_gives_these_weights(name):
    config = load_config(None, [f"model.name={name}", "seed=5"], {"hamiltonian": {"shape": [3, 4]}})
    bias = la.Ising((3, 4)).bias(la.T_C)
    model = MODELS[name]((3, 4), spin_flip_symmetric=True, bias=bias, seed=5)
    assert torch.equal(_weights(build_model(config)), _weights(model))


def test_the_weights_are_those_of_the_generator_of_pytorch():
    """As they were when `torch.manual_seed` was the way to fix them."""
    torch.manual_seed(3)
    expected = nn.Linear(4, 5).weight
    assert torch.equal(_Linear((2, 2), seed=3).layer.weight, expected)


def test_the_seed_is_no_part_of_what_describes_a_network():
    description = la.PixelCNN((3, 3), seed=4).to_dict()
    assert "seed" not in description
    assert torch.equal(_weights(model_from_dict(description)), _weights(la.PixelCNN((3, 3))))
    with pytest.raises(ValueError, match=r"unknown key 'model\.seed'"):
        load_config(None, ["model.seed=1"], {"hamiltonian": {"shape": [3, 3]}})


@pytest.mark.parametrize("seed", [-1, 2**64, 0.5, None, True])
def test_a_seed_is_an_integer_of_64_bits(seed):
    with pytest.raises(ValueError, match="seed must be an integer in"):
        la.PixelCNN((3, 3), seed=seed)


class _Linear(AbstractModel):
    """A network of a user's own, whose constructor knows no seed."""

    def __init__(self, shape, n_tokens=2):
        super().__init__(shape, n_tokens)
        self.layer = nn.Linear(4, 5)
        self._set_rank(torch.arange(4).view(2, 2))

    def _logits(self, tokens, condition):
        return tokens.new_zeros(len(tokens), 2, 2, 2)


class _Masked(_Linear):
    """A network for which the seed means more than its weights: it is stored and part of the description."""

    def __init__(self, shape, n_tokens=2, *, seed: int = 0):
        super().__init__(shape, n_tokens)
        self.seed = seed
        self.after = nn.Linear(2, 2)


def test_networks_of_users_take_a_seed():
    assert list(inspect.signature(_Linear).parameters) == ["shape", "n_tokens", "seed"]
    assert torch.equal(_weights(_Linear((2, 2), seed=1)), _weights(_Linear((2, 2), seed=1)))
    assert not torch.equal(_weights(_Linear((2, 2), seed=1)), _weights(_Linear((2, 2))))
    assert _Linear.from_dict(_Linear((2, 2), seed=1).to_dict()).to_dict() == _Linear((2, 2)).to_dict()


def test_the_constructor_of_a_base_class_does_not_start_again():
    model = _Masked((2, 2), seed=2)
    torch.manual_seed(2)
    first, then = nn.Linear(4, 5), nn.Linear(2, 2)
    assert torch.equal(model.layer.weight, first.weight)
    assert torch.equal(model.after.weight, then.weight)


def test_a_seed_that_a_constructor_names_is_passed_on_and_stored():
    model = _Masked((2, 2), seed=2)
    assert model.to_dict()["seed"] == 2
    assert torch.equal(_weights(_Masked.from_dict(model.to_dict())), _weights(model))
