"""Sums over stretches go on from a state as if they had never been interrupted."""

import numpy as np
import pytest

from latticear.estimation.stretches import Stretches


@pytest.mark.parametrize("k", [1, 8192])
def test_sums_continue_from_a_state(k):
    """Of long arrays, which have fewer stretches, too."""
    rng = np.random.default_rng(0)
    whole, continued = Stretches(), Stretches()
    for number in range(8):
        values, log_w = rng.random((400, k)), rng.random(400)
        whole.add(values, log_w)
        if number < 4:
            continued = Stretches()
            continued.restore(whole.state())
        else:
            continued.add(values, log_w)
    a, b = whole.result(0.0), continued.result(0.0)
    assert a.step == b.step
    np.testing.assert_array_equal(a.sums, b.sums)
