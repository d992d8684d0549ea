"""The key `model.bond_dimension`: networks that begin as the tensor network, and refusals of one line."""

import pytest
import torch

import latticear as la
from latticear.exact import all_configurations
from latticear.hamiltonians import LookaheadBias
from latticear.models import MODELS
from latticear.runs.config import build_model, load_config, parse_config, to_toml

NAMES = sorted(name for name, network in MODELS.items() if network.draws_in_raster_order and network.has_weights)


def _load(*overrides: str, **values):
    return load_config(None, overrides, {"hamiltonian": {"shape": [3, 4]}, "temperature": 2.0, **values})


def _refusal(*overrides: str, **values) -> str:
    with pytest.raises(ValueError, match=r".") as refused:
        build_model(_load(*overrides, **values))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_these_networks_take_it():
    assert " ".join(NAMES) == "gated made pixelcnn pixelcnnpp pixelsnail recurrent residual transformer"


@pytest.mark.parametrize("name", NAMES)
def test_a_config_gives_a_network_that_is_the_tensor_network(name, tmp_path):
    config = _load(f"model.name={name}", "model.bond_dimension=2")
    (tmp_path / "run.toml").write_text(to_toml(config), encoding="utf-8")
    assert load_config(tmp_path / "run.toml") == parse_config(config.to_dict()) == config
    model, tokens = build_model(config), all_configurations((3, 4), 2)[::9]
    assert isinstance(model.bias, LookaheadBias)
    alone = la.TensorNetwork((3, 4), bias=la.Ising((3, 4)).bias(2.0), bond_dimension=2)
    assert torch.equal(model.log_prob(tokens), alone.log_prob(tokens))


def test_without_the_key_nothing_is_different():
    config = _load("model.name=pixelcnn")
    assert "bond_dimension" not in config.model
    assert "bond_dimension" not in to_toml(config)
    assert config.training["anneal"] == 0.3
    model = build_model(config)
    assert model.head.weight.any()
    assert not isinstance(model.bias, LookaheadBias)


def test_training_begins_where_the_tensor_network_is():
    for system in ("ising", "edwards_anderson"):
        named = (f"hamiltonian.name={system}", "model.name=pixelcnn")
        plain, training = _load(*named).training, _load(*named, "model.bond_dimension=4").training
        assert {key for key in plain if plain[key] != training[key]} == {"anneal"}
        assert (plain["anneal"], training["anneal"]) == (0.3, 0.0)
    ising = la.Ising((3, 4))
    model = la.default_model(ising, 2.0, name="pixelcnn", bond_dimension=4)
    first = next(la.fit(model, ising, temperature=2.0, batch_size=64))
    assert first.metrics["beta"] == 0.5
    assert first.metrics["ess"] > 0.99


def test_which_network_is_taken_if_none_is_named():
    assert _load("model.bond_dimension=4").model["name"] == "tensor_network"
    assert _load("model.bond_dimension=4", "model.width=8").model["name"] == "pixelcnn"
    assert isinstance(la.default_model(la.Ising((3, 4)), 2.0, bond_dimension=4), la.TensorNetwork)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.name=multiscale"], "raster order, which multiscale does not: name one, such as model.name=pixelcnn"),
        (["model.name=mean_field"], "raster order, which mean_field does not"),
        (["model.name=pixelcnn", "temperature=1:3"], "model.bond_dimension is for one temperature, got a range"),
        (["model.name=pixelcnn", "model.boltzmann_bias=false"], "leave out that key"),
        (
            ["model.name=pixelcnn", "hamiltonian.name=sherrington_kirkpatrick"],
            "model.bond_dimension: a sum over later sites needs bonds between nearest and next-nearest neighbours "
            "alone, but the sites (y, x) = (0, 0) and (0, 2) are joined; leave it out",
        ),
        (
            ["model.name=pixelcnnpp", "model.output=logistic"],
            'output "logistic" cannot begin at zero, as it must with a bond_dimension: use "categorical"',
        ),
    ],
)
def test_what_it_does_not_go_with(overrides, message):
    assert message in _refusal("model.bond_dimension=4", *overrides)


def test_what_is_no_bond_dimension():
    for value in ("0", "-3", "2.5", "four", "true"):
        assert _refusal("model.name=pixelcnn", f"model.bond_dimension={value}").startswith("model.bond_dimension: ")
    assert "got pixelcnn: give a number, such as 8" in _refusal("model.name=pixelcnn", "model.bond_dimension=auto")
    assert "give one temperature, or name another network" in _refusal("model.name=tensor_network", temperature="1:3")
    refused = _refusal("model.name=tensor_network", "hamiltonian.name=sherrington_kirkpatrick")
    assert refused.startswith("model.name tensor_network: a sum over later sites needs bonds")
    assert refused.endswith("are joined; name another network")
    grid = {"grid": {"shape": [4, 4], "levels": 2}, "training": {"data": "a.h5"}, "model": {"name": "tensor_network"}}
    with pytest.raises(ValueError, match="tensor_network has no weights and learns nothing"):
        load_config(None, (), grid)


def test_a_number_that_is_none_names_the_word_too():
    tree = {"hamiltonian": {"shape": [4, 4]}, "model": {"name": "tensor_network", "bond_dimension": "much"}}
    message = r"model\.bond_dimension: input should be a valid integer or 'auto', got 'much'"
    with pytest.raises(ValueError, match=message):
        parse_config(tree)
