"""Training on a CUDA device: every objective and target, the same numbers as on the processor, and few waits a step."""

import copy
import math

import pytest
import torch
from support.fake_device import fake_device

import latticear as la
from latticear.montecarlo import monte_carlo_data
from latticear.random_numbers import own_random_state
from latticear.training import OBJECTIVES

T = 2.5
ISING = la.Ising((3, 3), field=0.1)
GLASS = la.EdwardsAndersonDisorder((3, 3))


def _data():
    return monte_carlo_data(ISING, T, 80, 0, "training")


def _range_of_temperatures():
    return la.PixelCNN((3, 3), width=4, depth=2, bias=ISING.bias(), n_condition=1), ISING, {"temperature": (2.0, 3.0)}


def _disorder():
    model = la.MultiscalePixelCNN((3, 3), bias=GLASS.bias(T), n_condition_maps=2, spin_flip_symmetric=True)
    return model, GLASS, {"temperature": T}


def _later_sites():
    return la.PixelCNN((3, 3), width=4, depth=2, bias=ISING.bias(T, bond_dimension=2)), ISING, {"temperature": T}


def _disorder_with_later_sites():
    return la.MADE((3, 3), bias=GLASS.bias(T, bond_dimension=2), n_condition_maps=2), GLASS, {"temperature": T}


def _components():
    system = la.Components(la.AshkinTeller((2, 3), four_spin=0.3))
    return la.PixelCNN((2, 3), 2, width=4, depth=2, n_components=2, bias=system.bias(T)), system, {"temperature": T}


def _grid_with_conditions():
    tokens, condition = torch.arange(80 * 9).view(80, 3, 3) % 3, torch.rand(80, 2)
    options = {"objective": "forward-kl", "data": tokens, "condition": condition}
    return la.PixelCNN((3, 3), 3, width=4, depth=2, n_condition=2), la.Grid((3, 3), 3), options


TARGETS = [
    _range_of_temperatures,
    _disorder,
    _later_sites,
    _disorder_with_later_sites,
    _components,
    _grid_with_conditions,
]


def _losses(model, target, **options):
    return [
        step.loss
        for step in la.fit(
            model, target, **{"objective": "reverse-kl", "steps": 3, "batch_size": 32, "seed": 1} | options
        )
    ]


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore::latticear.estimation.MisfitWarning")
@pytest.mark.parametrize("name", ["pixelcnn", "multiscale"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective(objective, name):
    model = la.MODELS[name](ISING.shape, 2, bias=ISING.bias(T)).double()
    data = None if objective == "reverse-kl" else _data()
    options = {"temperature": T, "objective": objective, "data": data, "ema_decay": 0.5, "evaluate_every": 2}
    here, there = (_losses(m, ISING, **options) for m in (model, copy.deepcopy(model).cuda()))
    assert max(abs(a - b) for a, b in zip(here, there, strict=True)) < 1e-6


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore::latticear.estimation.MisfitWarning")
@pytest.mark.parametrize("target", TARGETS)
def test_every_target(target):
    model, system, options = target()
    there = copy.deepcopy(model).cuda()
    here, found = _losses(model.double(), system, **options), _losses(there.double(), system, **options)
    assert max(abs(a - b) for a, b in zip(here, found, strict=True)) < 1e-6


@pytest.mark.gpu
def test_data_on_the_device():
    model = la.PixelCNN(ISING.shape, width=4, depth=2).cuda()
    losses = _losses(model, ISING, temperature=T, objective="forward-kl", data=_data().cuda(), check_data=False)
    assert all(map(math.isfinite, losses))


@pytest.mark.gpu
def test_a_training_is_resumed_from_a_state_on_the_processor_or_the_device():
    options = {"temperature": T, "objective": "reverse-kl", "steps": 4, "batch_size": 32, "ema_decay": 0.5}
    model = la.PixelCNN(ISING.shape, width=4, depth=2).cuda()
    whole = [step.loss for step in la.fit(copy.deepcopy(model), ISING, **options)]
    begun = la.fit(copy.deepcopy(model), ISING, **options)
    next(begun)
    state = copy.deepcopy(next(begun).state.state_dict())
    rest = [step.loss for step in la.fit(copy.deepcopy(model), ISING, resume=state, **options)]
    assert all(math.isclose(a, b, rel_tol=1e-5) for a, b in zip(rest, whole[2:], strict=True))


@pytest.mark.gpu
def test_dropout_depends_on_the_seed_and_the_step_alone():
    options = {"temperature": T, "objective": "forward-kl", "data": _data(), "check_data": False}
    model = la.PixelCNNPlusPlus(ISING.shape, width=4, dropout=0.5).cuda()
    first, *_ = _losses(copy.deepcopy(model), ISING, **options)
    torch.rand(7, device="cuda")
    again, *_ = _losses(copy.deepcopy(model), ISING, **options)
    assert math.isclose(first, again, rel_tol=1e-6)


@pytest.mark.gpu
def test_the_random_state_of_the_device_is_left_alone():
    torch.cuda.manual_seed(1)
    wanted = torch.rand(3, device="cuda").tolist()
    torch.cuda.manual_seed(1)
    with own_random_state(5, torch.device("cuda")):
        torch.rand(3, device="cuda")
    assert torch.rand(3, device="cuda").tolist() == wanted


WAITS = {"pixelcnn": 6, "multiscale": 6}


@pytest.mark.parametrize("name", WAITS)
def test_waits_of_a_step(name):
    """How often a step of reverse-kl waits does not depend on the lattice, and is this small a number."""
    counts = []
    for extent in (4, 6):
        ising = la.Ising((extent, extent))
        with fake_device() as device:
            model = la.MODELS[name](ising.shape, 2, bias=ising.bias(T)).cuda()
            steps = la.fit(model, ising, temperature=T, objective="reverse-kl", batch_size=32, steps=4, ema_decay=0.9)
            next(steps)
            next(steps)
            device.waits.clear()
            next(steps)
            counts.append(dict(device.waits))
            steps.close()
    assert sum(counts[0].values()) == sum(counts[1].values()) <= WAITS[name], counts
