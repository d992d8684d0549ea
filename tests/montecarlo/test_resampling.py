"""The effective fraction of weights: that of arrays, row by row."""

import numpy as np
import pytest
import torch

from latticear.estimation.weights import effective_sample_size
from latticear.montecarlo.resampling import effective_fraction


def test_tensors_and_arrays_have_the_same_effective_fraction():
    log_w = 3 * np.random.default_rng(0).normal(size=(4, 500)) - 1000 * np.arange(4)[:, None]
    found = effective_fraction(torch.from_numpy(log_w))
    assert found.shape == (4,)
    assert found.tolist() == pytest.approx([effective_sample_size(row) for row in log_w], rel=1e-11)
    assert effective_fraction(torch.tensor([0.0, 0.0, 0.0]).double()).item() == pytest.approx(1)
    assert effective_fraction(torch.tensor([0.0, -1e4, -1e4]).double()).item() == pytest.approx(1 / 3)
