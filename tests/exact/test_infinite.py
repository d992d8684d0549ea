"""Onsager's lattice against high-precision numbers, derivatives and limits."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from latticear.exact import T_C, critical_temperature, onsager

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "ising.json").read_text())
CATALAN = 0.915965594177219015


@pytest.mark.parametrize("temperature", [2.0, 2.3, 3.0])
def test_golden(temperature):
    result = onsager(temperature)
    found = [result.free_energy_per_site, result.energy_per_site, result.heat_capacity_per_site]
    assert found == pytest.approx(GOLDEN[f"onsager_{temperature}"]["value"], rel=1e-14)


def test_critical_point():
    result = onsager(T_C)
    assert -result.free_energy_per_site / T_C == pytest.approx(math.log(2) / 2 + 2 * CATALAN / math.pi, rel=1e-15)
    assert result.energy_per_site == pytest.approx(-math.sqrt(2), rel=1e-15)
    assert result.heat_capacity_per_site == math.inf
    assert result.spontaneous_magnetization == 0


@pytest.mark.parametrize("coupling", [0.3, -1.0, 7.0])
def test_the_coupling_sets_the_unit(coupling):
    scaled, unit = onsager(abs(coupling) * 1.9, coupling), onsager(1.9)
    assert scaled.free_energy_per_site == pytest.approx(abs(coupling) * unit.free_energy_per_site, rel=1e-14)
    assert scaled.energy_per_site == pytest.approx(abs(coupling) * unit.energy_per_site, rel=1e-14)
    assert scaled.entropy_per_site == pytest.approx(unit.entropy_per_site, rel=1e-12)
    assert scaled.heat_capacity_per_site == pytest.approx(unit.heat_capacity_per_site, rel=1e-12)
    assert scaled.spontaneous_magnetization == pytest.approx(unit.spontaneous_magnetization, rel=1e-14)
    assert onsager(critical_temperature(coupling), coupling).heat_capacity_per_site == math.inf


@pytest.mark.parametrize("temperature", [0.7, 1.8, 2.2, 2.35, 4.0])
def test_energy_and_heat_capacity_are_derivatives(temperature):
    beta, step = 1 / temperature, 1e-4
    below, above = (onsager(1 / b) for b in (beta - step, beta + step))
    free = ((beta + step) * above.free_energy_per_site - (beta - step) * below.free_energy_per_site) / (2 * step)
    assert onsager(temperature).energy_per_site == pytest.approx(free, rel=1e-6)
    slope = (below.energy_per_site - above.energy_per_site) / (2 * step)
    assert onsager(temperature).heat_capacity_per_site == pytest.approx(beta**2 * slope, rel=1e-4)


@pytest.mark.parametrize("temperature", [0.01, 0.05, 0.2])
def test_low_temperatures(temperature):
    result, flip = onsager(temperature), math.exp(-8 / temperature)
    assert result.energy_per_site == pytest.approx(-2 + 8 * flip, abs=1e-15)
    assert result.heat_capacity_per_site == pytest.approx(64 / temperature**2 * flip, rel=1e-7)
    assert result.free_energy_per_site == pytest.approx(-2 - temperature * flip, rel=1e-15)
    assert result.spontaneous_magnetization == pytest.approx(1 - 2 * flip, rel=1e-15)


@pytest.mark.parametrize("temperature", [1e4, 1e6, 1e30])
def test_high_temperatures(temperature):
    result = onsager(temperature)
    assert result.entropy_per_site == pytest.approx(math.log(2), abs=1e-7)
    assert result.energy_per_site == pytest.approx(-2 / temperature, rel=1e-7)
    assert result.heat_capacity_per_site == pytest.approx(2 / temperature**2, rel=1e-7)
    assert result.spontaneous_magnetization == 0


def test_no_interaction():
    result = onsager(1.0, coupling=0.0)
    assert result.free_energy_per_site == pytest.approx(-math.log(2), rel=1e-15)
    assert (result.energy_per_site, result.heat_capacity_per_site) == (0, 0)


def test_heat_capacity_diverges_logarithmically():
    """C = -A ln|1 - T/T_c| + ..., A = 8 K_c^2 / pi on both sides (Onsager 1944)."""
    for side in (-1, 1):
        near, nearer = (onsager(T_C * (1 + side * x)).heat_capacity_per_site for x in (1e-6, 1e-8))
        assert (nearer - near) / math.log(100) == pytest.approx(8 / math.pi / T_C**2, rel=1e-4)


def test_magnetization():
    assert onsager(2.0).spontaneous_magnetization == pytest.approx(
        GOLDEN["onsager_2.0_magnetization"]["value"], rel=1e-14
    )
    assert onsager(T_C * (1 - 1e-12)).spontaneous_magnetization == pytest.approx(0, abs=0.05)
    assert onsager(T_C * (1 + 1e-12)).spontaneous_magnetization == 0


def test_every_temperature_is_finite_without_a_warning():
    near = np.geomspace(1e-15, 1e-2, 40)
    grid = np.concatenate([np.geomspace(1e-3, 1e3, 60), T_C * (1 + near), T_C * (1 - near)])
    for temperature in grid:
        result = onsager(float(temperature))
        assert math.isfinite(result.free_energy_per_site)
        assert -2 <= result.energy_per_site < 0
        assert result.heat_capacity_per_site >= 0
        assert result.entropy_per_site > -1e-12


def test_refuses():
    with pytest.raises(ValueError, match="coupling must be a finite number, got nan"):
        onsager(2.0, coupling=math.nan)
    with pytest.raises(ValueError, match="temperature must be positive"):
        onsager(0.0)
