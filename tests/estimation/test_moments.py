"""Streaming weighted averages against the plain formula."""

import numpy as np
import pytest

from latticear.estimation.moments import WeightedMoments


@pytest.mark.parametrize("shape", [(1000,), (1000, 3)])
def test_streamed_is_plain(shape):
    rng = np.random.default_rng(0)
    values = rng.normal(100, 1, size=shape)
    log_w = np.sort(rng.normal(700, 3, size=1000))  # ever larger: each batch moves the scale; exp would overflow
    sums = WeightedMoments()
    for part in np.split(np.arange(1000), 10):
        sums.add(values[part], log_w[part])
    mean, error = sums.result()
    w = np.exp(log_w - log_w.max()).reshape(-1, *[1] * (values.ndim - 1))
    plain = (w * values).sum(0) / w.sum()
    assert mean == pytest.approx(plain, rel=1e-12)
    assert error == pytest.approx(np.sqrt(1000 / 999 * (w**2 * (values - plain) ** 2).sum(0)) / w.sum(), rel=1e-9)
    assert np.shape(mean) == shape[1:]


def test_what_varies_by_rounding_alone_has_no_rare_events():
    """The correlation of a site with itself is one, but for the last bits."""
    rng = np.random.default_rng(0)
    rest = rng.normal(size=5000)
    sums = WeightedMoments()
    sums.add(np.stack([1 + 1e-16 * rest, rest], 1), rng.normal(0, 0.3, size=5000))
    constant, varied = sums.events()
    assert constant == np.inf
    assert 500 < varied < np.inf
