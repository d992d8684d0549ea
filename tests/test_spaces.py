"""Grids: a bijection between values and tokens that holds in memory, through files and on the way back."""

import json

import h5py
import numpy as np
import pytest
import torch
import xarray
from hypothesis import given, strategies as st
from support.files import give

import latticear as la
from latticear.data.format import space_of
from latticear.data.reading import read_given
from latticear.data.writing import SampleWriter
from latticear.samples import Samples
from latticear.spaces import MAX_LEVELS

PLAIN = la.Grid((3, 4), 3)
GREY = la.Grid((3, 4), 3, values=[0, 128, 255])
COLOUR = la.Grid((3, 4), 4, n_components=2)
WIDE = la.Grid((3, 4), 300)
ALL = [PLAIN, GREY, COLOUR, WIDE, la.Grid((1, 5), 2, values=[-1, 1])]


def _tokens(grid, n=20):
    return torch.randint(grid.n_tokens, (n, *grid.size), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("grid", ALL, ids=repr)
def test_values_and_tokens_are_a_bijection(grid):
    every = torch.arange(grid.n_tokens)
    values = grid.spins(every)
    assert torch.equal(grid.tokens(values).long(), every)
    assert (values[1:] > values[:-1]).all()
    assert values.tolist() == list(grid.values or range(grid.levels))
    tokens = _tokens(grid)
    assert torch.equal(grid.tokens(grid.spins(tokens).int()).long(), tokens)


@given(values=st.lists(st.integers(-(2**53) + 1, 2**53 - 1), min_size=2, max_size=40, unique=True).map(sorted))
def test_any_ascending_integers_are_values(values):
    grid = la.Grid((2, 2), len(values), values)
    assert grid.tokens(torch.tensor(values)).tolist() == list(range(len(values)))
    again = space_of({"grid": json.loads(json.dumps(grid.to_dict()))})
    assert repr(again) == repr(grid)


def test_what_a_grid_is():
    assert GREY.to_dict() == {
        "name": "grid",
        "shape": [3, 4],
        "levels": 3,
        "values": [0, 128, 255],
        "n_components": 1,
    }
    assert (COLOUR.n_sites, COLOUR.size, COLOUR.n_tokens) == (12, (2, 3, 4), 4)
    assert (PLAIN.size, PLAIN.n_components) == ((3, 4), 1)
    assert repr(space_of({"hamiltonian": la.Ising((3, 4)).to_dict()})) == repr(la.Ising((3, 4)))


@pytest.mark.parametrize("wrong", [-1, 3, 1.5, float("nan"), float("inf"), 2**40])
def test_a_value_outside_is_named(wrong):
    values = torch.zeros(2, 3, 4, dtype=torch.float64)
    values[1, 2, 3] = values[1, 2, 2] = wrong
    with pytest.raises(
        ValueError, match=r"values of Grid must be one of \[0\.0, 1\.0, 2\.0\], got .* \(2 such values\)"
    ):
        PLAIN.tokens(values)
    values[values != 0] = 300
    with pytest.raises(ValueError, match=r"must be one of 0, 1, \.\.\., 299 \(300 of them\), got 300 \("):
        WIDE.tokens(values)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"shape": (0, 3)}, "shape must be two positive integers"),
        ({"levels": 1}, "levels must be an integer from 2"),
        ({"levels": MAX_LEVELS + 1}, "levels must be an integer from 2"),
        ({"levels": 2.0}, "levels must be an integer from 2"),
        ({"levels": True}, "levels must be an integer from 2"),
        ({"n_components": 0}, "n_components must be an integer of at least 1"),
        ({"values": [0, 1]}, "values must be levels = 3 integers in strictly ascending order"),
        ({"values": [0, 2, 1]}, "values must be levels = 3 integers in strictly ascending order"),
        ({"values": [0, 1, 1]}, "values must be levels = 3 integers in strictly ascending order"),
        ({"values": [0, 0.5, 1]}, "values must be levels = 3 integers"),
        ({"values": [0, 1, 2**60]}, "values must be levels = 3 integers"),
        ({"values": [0, 1, float("nan")]}, "values must be levels = 3 integers"),
        ({"values": "012"}, "values must be levels = 3 integers"),
    ],
)
def test_what_is_no_grid(arguments, words):
    with pytest.raises(ValueError, match=words):
        la.Grid(**{"shape": (3, 4), "levels": 3, **arguments})


# files


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", ">i4"])
@pytest.mark.parametrize("grid", [PLAIN, GREY, COLOUR], ids=repr)
def test_files_of_others(tmp_path, grid, dtype):
    tokens = _tokens(grid)
    values = grid.spins(tokens).numpy().astype(dtype)
    np.save(tmp_path / "a.npy", values)
    with h5py.File(tmp_path / "a.h5", "w") as h5:
        h5["spins"] = values
    for name in ("a.npy", "a.h5"):
        assert torch.equal(la.load_configurations(tmp_path / name, grid).long(), tokens)


def test_configurations_of_a_hamiltonian_are_a_grid_too(tmp_path, data):
    grid = la.Grid((4, 4), 2, values=[-1, 1])
    assert torch.equal(la.load_configurations(data, grid), la.load_configurations(data, la.Ising((4, 4))))
    with pytest.raises(ValueError, match=r"Grid takes values 0, 1, 2 or numbers 1\.\.3, got -1, 1"):
        la.load_configurations(data, la.Grid((4, 4), 3))


def _write(path, grid, tokens, condition=None):
    attributes = {"seed": 0, "provenance": {}}
    n_components = 0 if grid.n_components == 1 else grid.n_components
    n_condition = 0 if condition is None else condition.shape[1]
    samples = Samples(tokens, torch.zeros(len(tokens), dtype=torch.float64), 0, condition)
    options = {"n_condition": n_condition, "n_components": n_components}
    with SampleWriter(path, grid, attributes=attributes, **options) as writer:
        writer.write(samples)


@pytest.mark.parametrize("grid", ALL, ids=repr)
def test_sample_files_round_trip(tmp_path, grid):
    tokens, condition = _tokens(grid), torch.randn(20, 2, dtype=torch.float64)
    path = tmp_path / "s.h5"
    _write(path, grid, tokens, condition)
    assert torch.equal(la.load_configurations(path, grid).long(), tokens)
    again = Samples.cat(list(la.data.read_batches(path, 7)))
    assert torch.equal(again.tokens.long(), tokens)
    assert torch.equal(again.condition, condition)
    np.testing.assert_array_equal(la.data.read_condition(path), condition)
    small = bool(grid.states.abs().max() < 128)
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        assert "energy" not in data
        axes = ("y", "x") if grid.n_components == 1 else ("component", "y", "x")
        stored = data["spins"] if small else data["states"][data["tokens"].astype(int)]
        assert stored.dims == ("sample", *axes)
        np.testing.assert_array_equal(stored, grid.spins(tokens))
    attributes = la.data.read_metadata(path)["attributes"]
    assert attributes["grid"] == grid.to_dict()
    assert not {"hamiltonian", "temperature", "beta"} & attributes.keys()
    assert "energy" not in attributes["conventions"]


def test_a_grid_takes_no_energy_and_a_hamiltonian_needs_one(tmp_path):
    samples = Samples(_tokens(PLAIN), torch.zeros(20, dtype=torch.float64), 0)
    with (
        SampleWriter(tmp_path / "s.h5", PLAIN, attributes={"seed": 0}) as writer,
        pytest.raises(ValueError, match="'energy'"),
    ):
        writer.write(samples, torch.zeros(20))
    ising = la.Ising((3, 4))
    with (
        SampleWriter(tmp_path / "i.h5", ising, attributes={"seed": 0}) as writer,
        pytest.raises(ValueError, match="'energy'"),
    ):
        writer.write(samples)


def test_states_of_another_grid_are_refused(tmp_path):
    _write(tmp_path / "s.h5", GREY, _tokens(GREY))
    with pytest.raises(ValueError, match=r"another grid: values \[0, 128, 255\] instead of \[0, 127, 255\]"):
        la.load_configurations(tmp_path / "s.h5", la.Grid((3, 4), 3, values=[0, 127, 255]))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.5, "be integers, got 0.5"),
        (-1, r"lie in 0\.\.2, got -1"),
        (3, r"lie in 0\.\.2"),
        (np.nan, r"lie in 0\.\.2, got nan"),
    ],
)
def test_tokens_of_others_are_integers_below_the_levels(tmp_path, value, words):
    with h5py.File(tmp_path / "t.h5", "w") as h5:
        h5["tokens"] = np.full((5, 3, 4), value)
    with pytest.raises(ValueError, match=f"tokens must {words}"):
        la.load_configurations(tmp_path / "t.h5", PLAIN)


@pytest.mark.parametrize("axes", [2, 3, 4])
def test_sites_held_fixed_with_components(tmp_path, axes):
    """A mask of one plane, of one configuration, or of all."""
    tokens = _tokens(COLOUR, 5)
    where = np.zeros((5, 2, 3, 4), bool)
    where[..., :2, :] = True
    path = give(tmp_path / "g.h5", tokens.numpy(), where[(0,) * (4 - axes)])
    found, mask = read_given(path, COLOUR)
    assert torch.equal(mask, torch.from_numpy(where))
    assert torch.equal(found[mask].long(), tokens[mask])


@pytest.mark.parametrize(
    "stated",
    [
        5,
        {"name": "gird"},
        {"name": "grid", "shape": [3, 4]},
        {"name": "grid", "shape": [3, 4], "levels": 10**12},
        {"name": "grid", "shape": [3, 4], "levels": 3, "values": [0, "__import__('os')", 2]},
        {"name": "grid", "shape": [3, 4], "levels": 3, "values": 5},
        {"name": "grid", "shape": 3, "levels": 3},
        {"name": "grid", "shape": [3, 4], "levels": 3, "code": "x"},
    ],
)
def test_a_damaged_description_is_one_line(tmp_path, stated):
    path = tmp_path / "s.h5"
    _write(path, PLAIN, _tokens(PLAIN))
    with h5py.File(path, "r+") as h5:
        del h5.attrs["grid"]
        h5.attrs["grid"] = json.dumps(stated)
    with pytest.raises(ValueError, match=r".") as refused:
        list(la.data.read_batches(path, 5))
    assert "\n" not in str(refused.value)
