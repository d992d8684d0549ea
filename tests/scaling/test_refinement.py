"""Further temperatures: between the others, densest at crossings or maxima."""

import numpy as np
import pytest

from latticear.scaling import Curve, Feature, features_of, next_temperatures

T = np.linspace(2.0, 2.6, 7)


def cumulants(t_c=2.27, sizes=(8, 16)):
    return [Curve(size, T, 0.6 - 0.3 * np.tanh(0.3 * (T - t_c) * size), 0.003) for size in sizes]


def maxima(place=2.33):
    return [Curve(8, T, 1 / (1 + (4 * (T - place)) ** 2), 0.002)]


def test_a_crossing_comes_before_maxima():
    found = features_of({"u": cumulants()}, {"c": maxima()})
    assert [feature.name for feature in found] == ["crossing of u of L = 8 and 16"]
    assert abs(found[0].temperature - 2.27) < 4 * found[0].error
    assert 0.05 < found[0].width < 0.3


def test_maxima_where_nothing_crosses_and_nothing_where_neither_is():
    for curves in (cumulants(t_c=3.5), cumulants(sizes=(8,))):
        (found,) = features_of({"u": curves}, {"c": maxima()})
        assert found.name == "maximum of c of L = 8"
        assert found.temperature == pytest.approx(2.33, abs=0.02)
    assert features_of({"u": cumulants(t_c=3.5)}, {"c": maxima(place=3.0)}) == []


def test_few_temperatures_give_a_guess():
    (found,) = features_of({}, {"c": [Curve(8, [2.0, 2.3, 2.6], [1, 2, 1.5], 0.1)]})
    assert (found.temperature, found.width) == (2.3, pytest.approx(0.3))


def test_temperatures_are_new_and_densest_at_the_feature():
    chosen = next_temperatures(T, [Feature(2.27, 0.01, 0.05, "crossing")], 30)
    every = np.sort([*T, *chosen])
    assert len(set(every.tolist())) == 37
    assert T[0] < min(chosen)
    assert max(chosen) < T[-1]
    gaps = np.diff(every)
    here = np.abs((every[1:] + every[:-1]) / 2 - 2.27) < 0.05
    assert gaps[here].max() < gaps[~here].max() / 4
    assert next_temperatures(T, [Feature(2.27, 0.01, 0.05, "crossing")], 1) == chosen[:1]


def test_one_temperature_is_refused():
    with pytest.raises(ValueError, match="between two others or more, got 1"):
        next_temperatures([2.0], [Feature(2.0, 0.1, 0.1, "maximum")], 1)
