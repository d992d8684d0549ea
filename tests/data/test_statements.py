"""What a file says of temperature, coupling and field is used, and contradictions are refused."""

import h5py
import numpy as np
import pytest
import torch

import latticear as la
from latticear.data.loading import load
from latticear.hamiltonians import TemperatureRange

ISING = la.Ising((4, 4))
SPINS = np.random.default_rng(0).choice([-1, 1], size=(60, 4, 4)).astype(np.int8)
EACH = np.repeat([1.5, 2.5, 3.0], 20)
T_C = 2.269185314213022


@pytest.fixture
def write(tmp_path):
    def write(attributes=None, own=None, spins=SPINS, **arrays):
        """A file; `own` are attributes of /spins."""
        with h5py.File(tmp_path / "a.h5", "w") as h5:
            h5["spins"] = spins
            h5.attrs.update(attributes or {})
            h5["spins"].attrs.update(own or {})
            for name, array in arrays.items():
                h5[name] = array
        return tmp_path / "a.h5"

    return write


@pytest.mark.parametrize(
    "array",
    [
        {"temperature": EACH},
        {"temperature": EACH[:, None]},
        {"temperature": EACH.astype(np.float32)},
        {"T": EACH},
        {"beta": 1 / EACH},
    ],
    ids=["(n,)", "(n, 1)", "float32", "T", "beta"],
)
def test_of_many_temperatures_the_right_rows_are_taken(write, array):
    found = load(write(**array), ISING, temperature=2.5)
    assert torch.equal(ISING.spins(found.tokens).to(torch.int8), torch.from_numpy(SPINS[20:40]))
    assert found.note.endswith("a.h5: 20 of 60 configurations are at T = 2.5: these are used")
    with pytest.raises(ValueError, match=r"holds 60 configurations at T = 1\.5, 2\.5, 3, none at the requested 2\.4"):
        load(write(**array), ISING, temperature=2.4)
    within = load(write(**array), ISING, temperature=TemperatureRange(1.5, 2.6))
    assert within.note.endswith("40 of 60 configurations are in T = 1.5:2.6: these are used")
    assert np.allclose(within.temperatures, EACH[:40], rtol=1e-12)


def test_chains_at_temperatures_of_their_own_stay_chains(write):
    """As parallel tempering writes them: (T, n, H, W), and a temperature for each of the n chains."""
    chains = SPINS.reshape(20, 3, 4, 4)
    found = load(write(spins=chains, temperature=np.array([1.5, 2.5, 2.5])), ISING, temperature=2.5)
    assert found.lead == (20, 2)
    assert torch.equal(ISING.spins(found.tokens).to(torch.int8), torch.from_numpy(chains[:, 1:].reshape(40, 4, 4)))
    rows = load(write(spins=chains, temperature=np.repeat([1.5, 2.5], 10)), ISING, temperature=2.5)
    assert rows.lead == (10, 3)


def test_arrays_of_npz_say_the_same(tmp_path):
    np.savez(tmp_path / "a.npz", spins=SPINS, beta=1 / EACH, J=1.0)
    assert len(la.load_configurations(tmp_path / "a.npz", ISING, temperature=2.5, say=lambda _: None)) == 20
    np.savez(tmp_path / "b.npz", spins=SPINS, J=2.0)
    with pytest.raises(ValueError, match=r"states J = 2, the Hamiltonian has coupling = 1"):
        la.load_configurations(tmp_path / "b.npz", ISING)


AGREE = [
    ({"T": 2.5}, 2.5),
    ({"beta": 0.4}, 2.5),
    ({"temperature": 2.269}, T_C),  # rounded
    ({"beta": 0.4407}, T_C),
    ({"J": 1.0, "h": 0.0}, 2.5),
    ({"coupling": 1, "field": 0, "beta": 0.4, "T": 2.5}, 2.5),
]


@pytest.mark.parametrize(("attributes", "temperature"), AGREE)
def test_attributes_that_agree(write, attributes, temperature):
    for place in ({"attributes": attributes}, {"own": attributes}):
        found = load(write(**place), ISING, temperature=temperature)
        assert len(found.tokens) == 60
        assert not found.note


CONTRADICT = [
    ({"T": 2.4}, "at temperature 2.4, not at the requested 2.5"),
    ({"beta": 0.5}, "at temperature 2.0, not at the requested 2.5"),
    ({"temperature": 2.4999}, "at temperature 2.4999, not at the requested 2.5"),
    ({"J": -1.0}, r"states J = -1, the Hamiltonian has coupling = 1: .*--set hamiltonian\.coupling=-1"),
    ({"coupling": 0.5}, "states coupling = 0.5, the Hamiltonian has coupling = 1"),
    ({"h": 0.1}, "states h = 0.1, the Hamiltonian has field = 0"),
    ({"field": -0.1}, "states field = -0.1, the Hamiltonian has field = 0"),
    ({"T": 2.5, "beta": 0.5}, "the attribute T is 2.5, and the attribute beta is 0.5: they contradict each other"),
    ({"temperature": "hot"}, "the attribute temperature must be a number, got 'hot'"),
    ({"beta": -1.0}, "the attribute beta must be positive and finite, got -1.0"),
]


@pytest.mark.parametrize(("attributes", "message"), CONTRADICT)
def test_attributes_that_contradict(write, attributes, message):
    for place in ({"attributes": attributes}, {"own": attributes}):
        with pytest.raises(ValueError, match=message):
            load(write(**place), ISING, temperature=2.5)


def test_a_grid_has_no_temperature(write):
    path = write({"J": -1.0, "T": 7.0}, temperature=EACH)
    assert len(la.load_configurations(path, la.Grid((4, 4), 2), values={-1: 0, 1: 1}, say=lambda _: None)) == 60


def test_what_is_not_used_is_said(write):
    note = load(write(labels=np.arange(60) // 20), ISING, temperature=2.5).note
    assert note.endswith("/labels (3 different values) is not used: temperatures are read from /temperature")
    assert "/condition (3 different values) is not used" in load(write(condition=EACH), ISING, temperature=2.5).note
    within = load(write(condition=EACH), ISING, temperature=TemperatureRange(1.5, 3.0))
    assert np.array_equal(within.temperatures, EACH)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (EACH[:7], r"/temperature must hold one number, or one for each of the 60 configurations, got shape \(7,\)"),
        (-EACH, "/temperature must be positive and finite, got -1.5 for configuration 0"),
        (np.where(EACH == 2.5, np.nan, EACH), "must be positive and finite, got nan for configuration 20"),
    ],
)
def test_temperatures_that_make_no_sense(write, array, message):
    with pytest.raises(ValueError, match=message):
        load(write(temperature=array), ISING, temperature=2.5)
