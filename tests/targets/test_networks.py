"""The network that a system gets by default, and how it is built."""

from __future__ import annotations

import pytest
import torch

import latticear as la
from latticear.runs.config import build_model, parse_config
from latticear.targets import default_network

SYSTEMS = [
    (la.Ising((4, 4)), "multiscale", "largest ESS for its time"),
    (la.Ising((5, 7)), "multiscale", "largest ESS for its time"),
    (la.Ising((1, 9), periodic=False), "multiscale", "largest ESS for its time"),
    (la.Ising((64, 64)), "multiscale", "largest ESS for its time"),
    (la.Potts((4, 4), q=3), "multiscale", "largest ESS for its time"),
    (la.EdwardsAnderson((5, 5), seed=1), "multiscale", "largest ESS for its time"),
    (la.EdwardsAndersonDisorder((4, 4)), "multiscale", "largest ESS for its time"),
    (la.Ising((8, 8), next_nearest=-0.6), "multiscale", "largest ESS for its time"),
    (la.Ising((7, 7), next_nearest=0.5), "multiscale", "largest ESS for its time"),
    (la.Ising((7, 7), next_nearest=-0.6), "pixelcnn", "unit cells of multiscale on an odd torus"),
    (la.Ising((7, 7), next_nearest=-0.6, periodic=False), "multiscale", "largest ESS for its time"),
    (la.SherringtonKirkpatrick((4, 4), seed=1), "pixelcnn", "too many neighbours"),
    (la.Components(la.AshkinTeller((4, 4)), 2), "pixelcnn", "several components"),
    (la.Grid((4, 4), levels=3), "pixelcnn", "data that have no energy"),
]


@pytest.mark.parametrize(("space", "name", "reason"), SYSTEMS, ids=lambda value: str(value)[:40])
def test_the_rule_names_a_network_and_why(space, name, reason):
    choice = default_network(space)
    assert choice.name == name
    assert str(choice).startswith(f"network: {name}, since ")
    assert reason in str(choice)


@pytest.mark.parametrize("temperature", [2.0, (1.5, 3.5)])
def test_the_default_model_is_the_one_that_the_command_line_trains(temperature):
    ising = la.Ising((4, 5), field=0.1, periodic=(False, True))
    model = la.default_model(ising, temperature, seed=3, width=6)
    tree = {"hamiltonian": ising.to_dict(), "temperature": temperature, "seed": 3, "model": {"width": 6}}
    other = build_model(parse_config(tree))
    assert model.to_dict() == other.to_dict()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


SAMPLERS = [
    ({"shape": [8, 8]}, {}, "tensor_network"),
    ({"shape": [256, 256], "periodic": False}, {}, "tensor_network"),
    ({"shape": [256, 256]}, {}, "multiscale"),  # the sums would take hours
    ({"name": "clock", "q": 6, "shape": [8, 8]}, {}, "multiscale"),
    ({"name": "sherrington_kirkpatrick", "shape": [4, 4]}, {}, "pixelcnn"),  # no such sums
    ({"name": "ashkin_teller", "components": 2, "shape": [4, 4]}, {}, "pixelcnn"),
    ({"shape": [8, 8]}, {"training": {"steps": 10}}, "multiscale"),  # asks for a training
    ({"shape": [8, 8]}, {"model": {"kernel_size": 3}}, "pixelcnn"),
    ({"shape": [8, 8]}, {"temperature": "1.5:3.5"}, "multiscale"),
]


@pytest.mark.parametrize(("hamiltonian", "more", "name"), SAMPLERS, ids=str)
def test_what_is_taken_where_no_network_is_named(hamiltonian, more, name):
    config = parse_config({"temperature": 2.0, "hamiltonian": hamiltonian} | more)
    assert config.model["name"] == name
    assert str(config.choice).startswith(f"network: {name}, since ")
    if name == "tensor_network":
        assert (config.model["bond_dimension"], config.model["target_ess"]) == ("auto", 0.99)


def test_any_network_can_be_asked_for_by_name():
    potts = la.Potts((3, 4), q=3)
    model = la.default_model(potts, 1.0, name="gated", width=4, depth=1, bias=None)
    assert (type(model), model.bias, model.n_tokens) == (la.GatedPixelCNN, None, 3)
    with pytest.raises(ValueError, match=r"name must be one of .*, got 'gates'.*'gated'"):
        la.default_model(potts, 1.0, name="gates")
    with pytest.raises(ValueError, match="spin_flip_symmetric is true"):
        la.default_model(la.Ising((4, 4), field=1.0), 1.0, spin_flip_symmetric=True)
    with pytest.raises(ValueError, match="temperature must be given"):
        la.default_model(potts)


def test_fit_takes_the_options_that_suit_the_network():
    ising = la.Ising((4, 4))
    model = la.default_model(ising, 2.0, width=4, depth=1)
    steps = la.fit(model, ising, temperature=2.0, steps=40, batch_size=32, n_monte_carlo=200, evaluate_every=40)
    metrics = [step.metrics for step in steps]
    rate = max(entry["learning_rate"] for entry in metrics)
    assert rate == pytest.approx(la.MultiscalePixelCNN.training_defaults["learning_rate"], rel=0.2)
    assert "forward_ess" in metrics[-1]  # the objective forward-reverse-kl, which has data
    plain = la.fit(model, ising, temperature=2.0, steps=1, batch_size=32, objective="reverse-kl")
    assert "forward_ess" not in next(plain).metrics


def test_options_of_another_network_choose_it():
    tree = {"hamiltonian": {"shape": [4, 4]}, "model": {"kernel_size": 3, "width": 8}}
    config = parse_config(tree)
    assert config.model["name"] == "pixelcnn"
    assert str(config.choice) == "network: pixelcnn, since model.kernel_size is an option of it"
    assert parse_config(tree | {"model": {"name": "pixelcnn"}}).choice is None
    assert parse_config(tree | {"model": {"width": 8}}).model["name"] == "multiscale"


def test_an_energy_that_is_no_sum_over_bonds_has_a_default_model_without_a_bias():
    energy = la.CustomHamiltonian(lambda s: -s.double().sum((1, 2)), states=[-1, 1], shape=(4, 4))
    model = la.default_model(energy, 1.0)
    assert model.bias is None
    assert len(list(la.fit(model, energy, temperature=1.0, steps=1, batch_size=8))) == 1
