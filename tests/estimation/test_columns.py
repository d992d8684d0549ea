"""Arrays that grow batch by batch."""

import numpy as np

from latticear.estimation.columns import Columns


def test_rows_arrive_in_order():
    rng, columns, parts = np.random.default_rng(0), Columns(), []
    for size in (3, 1, 40, 7):
        parts.append((rng.normal(size=size), rng.normal(size=(size, 2))))
        columns.add(*parts[-1])
    assert len(columns) == 51
    for found, given in zip(columns.arrays(), zip(*parts, strict=True), strict=True):
        np.testing.assert_array_equal(found, np.concatenate(given))


def test_nothing_yet():
    assert len(Columns()) == 0
    assert Columns().arrays() == []
