"""What `fit` refuses before its first step, as the command line does."""

import copy

import numpy as np
import pytest

import latticear as la
from latticear.training.state import ResumeError

ISING, T = la.Ising((3, 3)), 2.0


def _fit(model, hamiltonian=ISING, temperature=T, **options):
    return la.fit(model, hamiltonian, temperature=temperature, **{"steps": 4, "batch_size": 16, **options})


def test_a_symmetry_that_the_hamiltonian_lacks():
    with pytest.raises(
        ValueError, match=r"spin_flip_symmetric is true, but .*field=0\.1.* does not have that symmetry"
    ):
        _fit(la.PixelCNN((3, 3), width=4, spin_flip_symmetric=True), la.Ising((3, 3), field=0.1))


def test_the_known_neighbour_term_of_another_system_or_temperature():
    for bias, reason in (
        (ISING.bias(2.5), r"for T = 2\.5, the training for T = 2\.0"),
        (la.Ising((3, 3), field=0.1).bias(T), "another Hamiltonian than ising here .it differs in field."),
        (la.Ising((3, 3), periodic=False).bias(T), "it differs in periodic"),
        (la.Potts((3, 3), 2).bias(T), "it differs in name"),
    ):
        with pytest.raises(ValueError, match=f"the bias of the model is .*{reason}"):
            _fit(la.PixelCNN((3, 3), width=4, bias=bias))
    next(_fit(la.PixelCNN((3, 3), width=4, bias=ISING.bias(float(np.float32(2.1)))), temperature=2.1))


def test_the_known_neighbour_term_of_another_system_for_a_range_of_temperatures():
    model = la.PixelCNN((3, 3), width=4, n_condition=1, bias=la.Ising((3, 3), field=0.1).bias())
    with pytest.raises(ValueError, match="it differs in field"):
        _fit(model, temperature=(1.5, 2.5))


def _state(**options):
    return copy.deepcopy(next(_fit(la.PixelCNN((3, 3), width=4), **options)).state.state_dict())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"steps": 5}, "steps is 4 there, 5 here"),
        ({"learning_rate": 1e-4}, "learning_rate is 0.003 there, 0.0001 here"),
        ({"seed": 1}, "seed is 0 there, 1 here"),
        ({"temperature": 2.5}, "temperature is 2.0 there, 2.5 here"),
        ({"hamiltonian": la.Ising((3, 3), field=0.1)}, "system is"),
    ],
)
def test_the_state_of_another_training(changes, reason):
    with pytest.raises(ResumeError, match=f"resume is the state of another training: {reason}"):
        _fit(la.PixelCNN((3, 3), width=4), resume=_state(), **changes)


def test_the_state_of_another_network_which_leaves_this_one_as_it_was():
    model = la.PixelCNN((3, 3), width=4, depth=2)
    before = copy.deepcopy(model.state_dict())
    for other in (5, {}, {"step": 1, "model": {}}, _state()):
        with pytest.raises(ResumeError, match="resume is the state of another training"):
            _fit(model, resume=other)
    assert all((model.state_dict()[name] == value).all() for name, value in before.items())


def test_a_state_of_an_earlier_version_says_nothing_of_its_training():
    state = _state()
    del state["of"]
    assert next(_fit(la.PixelCNN((3, 3), width=4), resume=state)).step == 2
