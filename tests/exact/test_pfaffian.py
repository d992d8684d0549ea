"""Eliminating while writing down: signs, delayed pivots, derivatives and zeros of Pfaffians."""

from __future__ import annotations

import math

import numpy as np
import pytest

from latticear.exact.pfaffian import Front


def assemble(matrices: np.ndarray, sizes: list[int]) -> Front:
    """A dense `(3, n, n)` series, whose variables come in groups and are all closed with the last of them."""
    front, slots = Front(), []
    for size in sizes:
        start = len(slots)
        slots += front.add(matrices[:, start : start + size, start : start + size])
        for i in range(start):
            for j in range(start, start + size):
                front.couple(slots[i], slots[j], matrices[:, i, j])
    front.close(*slots)
    front.eliminate()
    return front


def value(front: Front) -> float:
    pfaffian = front.pfaffian()
    return math.exp(pfaffian.log.value) * pfaffian.last.value


def derivatives(front: Front) -> list[float]:
    """The Pfaffian and its first two derivatives."""
    pfaffian = front.pfaffian()
    product = pfaffian.log.exp() * pfaffian.last
    return [product.value, product.first, product.second]


def recursive(a: np.ndarray) -> float:
    """The definition: expansion along the first row."""
    if len(a) == 0:
        return 1.0
    total = 0.0
    for j in range(1, len(a)):
        keep = [k for k in range(1, len(a)) if k != j]
        total += (-1) ** (j - 1) * a[0, j] * recursive(a[np.ix_(keep, keep)])
    return total


def antisymmetric(n: int, seed: int) -> np.ndarray:
    a = np.random.default_rng(seed).normal(size=(3, n, n))
    return a - a.swapaxes(1, 2)


@pytest.mark.parametrize("sizes", [[2], [4], [2, 2], [1, 3, 2], [8], [2, 4, 2]])
@pytest.mark.parametrize("seed", range(5))
def test_equals_the_expansion(sizes, seed):
    a = antisymmetric(sum(sizes), seed)
    assert value(assemble(a, sizes)) == pytest.approx(recursive(a[0]), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_derivatives_are_those_of_a_polynomial(seed):
    a, step = antisymmetric(6, seed), 1e-3

    def along(x: float) -> float:
        return recursive(a[0] + x * a[1] + x**2 / 2 * a[2])

    first = (8 * (along(step) - along(-step)) - along(2 * step) + along(-2 * step)) / (12 * step)
    second = (along(step) - 2 * along(0) + along(-step)) / step**2
    assert derivatives(assemble(a, [6])) == pytest.approx([along(0), first, second], rel=1e-3)
    assert derivatives(assemble(a, [6]))[1] == pytest.approx(first, rel=1e-8)


def test_a_zero_pivot_waits_for_what_comes_later():
    """The first two variables have no entry between them: an elimination that insists on them divides by zero."""
    a = antisymmetric(4, 1)
    a[:, 0, 1] = a[:, 1, 0] = 0
    front = Front()
    slots = front.add(a[:, :2, :2])
    late = front.add(a[:, 2:, 2:])
    for i in range(2):
        for j in range(2):
            front.couple(slots[i], late[j], a[:, i, 2 + j])
    front.close(*slots)
    front.eliminate()
    assert not front._pivots
    front.close(*late)
    front.eliminate()
    assert value(front) == pytest.approx(recursive(a[0]), rel=1e-13)


def test_order_of_elimination_does_not_change_the_sign():
    a = antisymmetric(12, 3)
    early, late = Front(), assemble(a, [12])
    slots: list[int] = []
    for k in range(12):
        slots += early.add(a[:, k : k + 1, k : k + 1])
        for i in range(k):
            early.couple(slots[i], slots[k], a[:, i, k])
    for k in (11, 3, 7, 0, 5, 1, 2, 10, 9, 4, 6, 8):
        early.close(slots[k])
        early.eliminate()
    assert value(early) == pytest.approx(value(late), rel=1e-11)


def test_one_zero_keeps_its_derivative_and_two_give_zero():
    block = np.zeros((3, 2, 2))
    block[1, 0, 1], block[1, 1, 0] = 2, -2  # the series 2 x at x = 0
    front = Front()
    for slots in (front.add(block), front.add(np.array([[[0, 3], [-3, 0]], np.zeros((2, 2)), np.zeros((2, 2))]))):
        front.close(*slots)
    front.eliminate()
    assert derivatives(front) == [0, pytest.approx(6), 0]
    front.close(*front.add(block))
    front.eliminate()
    assert derivatives(front)[:2] == [0, 0]


def test_refuses_entries_that_underflow():
    front = assemble(antisymmetric(4, 0) * 1e-295, [4])
    with pytest.raises(ArithmeticError, match="underflow"):
        front.pfaffian()
