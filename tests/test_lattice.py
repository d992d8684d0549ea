"""Bonds, colourings and symmetries of lattices of any shape and boundary."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from latticear.lattice import Lattice, colour_graph

SHAPES = st.tuples(st.integers(2, 6), st.integers(2, 6))
BOUNDARIES = st.tuples(st.booleans(), st.booleans())


def _bonds_by_loop(shape, periodic):
    height, width = shape
    found = []
    for y in range(height):
        for x in range(width):
            if x + 1 < width or periodic[1]:
                found.append((y * width + x, y * width + (x + 1) % width))
            if y + 1 < height or periodic[0]:
                found.append((y * width + x, (y + 1) % height * width + x))
    return found


@settings(max_examples=40)
@given(SHAPES, BOUNDARIES)
def test_bonds_are_those_of_a_loop(shape, periodic):
    bonds = [tuple(bond) for bond in Lattice(shape, periodic).bonds.tolist()]
    assert sorted(bonds) == sorted(_bonds_by_loop(shape, periodic))


def test_right_bonds_come_first_in_raster_order():
    bonds = Lattice((2, 3), (False, True)).bonds.tolist()
    assert bonds == [[0, 1], [1, 2], [2, 0], [3, 4], [4, 5], [5, 3], [0, 3], [1, 4], [2, 5]]


def test_a_periodic_extent_of_two_has_doubled_bonds():
    assert sorted(map(sorted, Lattice((1, 2), (False, True)).bonds.tolist())) == [[0, 1], [0, 1]]


@settings(max_examples=40)
@given(SHAPES, BOUNDARIES)
def test_colours_never_touch(shape, periodic):
    lattice = Lattice(shape, periodic)
    colours = colour_graph(lattice.n_sites, lattice.bonds)
    i, j = lattice.bonds.T
    assert (colours[i] != colours[j]).all()
    even = all(not p or n % 2 == 0 for n, p in zip(shape, periodic, strict=True))
    assert int(colours.max()) < (2 if even else 5)


@settings(max_examples=30)
@given(SHAPES, BOUNDARIES, st.integers(0, 100))
def test_symmetries_map_bonds_to_bonds(shape, periodic, seed):
    lattice = Lattice(shape, periodic)
    bonds = sorted(map(tuple, map(sorted, lattice.bonds.tolist())))
    images = torch.cat([lattice.symmetries.point, lattice.symmetries.draw(5, np.random.default_rng(seed))])
    for image in images:
        assert sorted(image.tolist()) == list(range(lattice.n_sites))
        moved = image[lattice.bonds].tolist()
        assert sorted(map(tuple, map(sorted, moved))) == bonds


def test_random_symmetries_reach_the_whole_group():
    lattice = Lattice((3, 3))
    images = lattice.symmetries.draw(3000, np.random.default_rng(0)).unique(dim=0)
    assert len(images) == 8 * 9
    assert len(Lattice((2, 3), False).symmetries.draw(200, np.random.default_rng(0)).unique(dim=0)) == 4


@pytest.mark.parametrize(
    ("shape", "periodic", "message"),
    [
        ((1, 4), True, "periodic direction y must have extent 2"),
        ((4, 1), (False, True), "periodic direction x must have extent 2"),
        ((1, 1), False, "at least two sites"),
        ((0, 4), True, "two positive integers"),
        ((2.5, 4), True, "two positive integers"),
        ((4,), True, "two positive integers"),
        (4, True, "two positive integers"),
        ((4, 4), "yes", "periodic must be a bool"),
        ((4, 4), (True,), "periodic must be a bool"),
    ],
)
def test_bad_input(shape, periodic, message):
    with pytest.raises(ValueError, match=message):
        Lattice(shape, periodic)
