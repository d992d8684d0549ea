"""Observables by name: against enumeration and other formulas, in every estimator, and wrong requests."""

import json
import math

import numpy as np
import pytest
import torch

import latticear as la
from latticear.estimation import stretches
from latticear.estimation.completion import summed
from latticear.estimation.estimates import quiet
from latticear.estimation.measurement import evaluate_named
from latticear.estimation.named.request import Request, check_names
from latticear.estimation.spreadsheet import csv_of
from latticear.exact import exact_result, magnetization_resolved
from latticear.exact.slopes import exact_slopes
from latticear.exact.tabulated import Tabulated
from latticear.observables import correlation
from latticear.samples import Samples

T = 2.0
FERRO = [name for name in la.OBSERVABLES if not name.startswith("staggered")]

SYSTEMS = {
    "field": la.Ising((3, 3), field=0.3),
    "open": la.Ising((2, 4), periodic=False),
    "antiperiodic": la.Ising((4, 2), antiperiodic=(True, False)),
    "diagonals": la.Ising((3, 3), coupling=-1.0, next_nearest=0.4),
    "glass": la.EdwardsAnderson((3, 3)),
    "all to all": la.SherringtonKirkpatrick((2, 4)),
    "potts": la.Potts((2, 3), q=3),
    "blume-capel": la.BlumeCapel((2, 3), crystal_field=0.8),
    "components": la.AshkinTeller((2, 2)),
    "triangular": la.Ising((3, 3), geometry="triangular"),
}


def existing(system) -> list[str]:
    names = []
    for name, observable in la.OBSERVABLES.items():
        if observable.of_pairs:
            continue
        try:
            Request.of([name], system)
        except ValueError:
            continue
        names.append(name)
    return names


@pytest.mark.parametrize("key", SYSTEMS)
def test_sums_over_all_configurations(key):
    """Heat-bath averages have the plain averages exactly (Callen); exact values by other methods agree."""
    system = SYSTEMS[key]
    table, names = Tabulated(system, T), existing(system)
    values, _ = summed(names, table)
    p, vectors = np.exp(table.log_p), system.vectors_of(table.tokens)
    m = system.magnetization(table.tokens).numpy()
    plain = {
        "heat_bath_energy_per_site": p @ table.energy / system.n_sites,
        "heat_bath_magnetization_squared": p @ m**2,
        "heat_bath_correlation": p @ correlation(vectors, system.lattice).numpy(),
        "heat_bath_neighbour_correlation": values["neighbour_correlation"],
        **({"heat_bath_magnetization": p @ m} if vectors.shape[-1] == 1 else {}),
    }
    assert [name for name in names if name.startswith("heat_bath")] != []
    for name, expected in plain.items():
        np.testing.assert_allclose(values[name], expected, rtol=1e-12, atol=1e-12, err_msg=name)
    known = exact_result(system, T)
    for observable in Request.of(names, system).named.values():
        for name, expected in observable.exact(system, T, known).items():
            np.testing.assert_allclose(values[name], expected, rtol=1e-6, atol=1e-8, err_msg=name)


def test_heat_baths_leave_held_sites_as_they_are():
    """The distribution with two sites fixed, summed over all configurations."""
    system = la.Ising((3, 3), field=0.2)
    tokens = Tabulated(system, T).tokens
    where = torch.zeros(3, 3, dtype=torch.bool)
    where[0, 0] = where[1, 2] = True
    tokens = tokens[(tokens[:, 0, 0] == 1) & (tokens[:, 1, 2] == 0)]
    p = torch.softmax(-system.token_energy(tokens) / T, 0).numpy()
    batch = Samples(tokens, None, 0, where=where.expand(tokens.shape))
    m = system.magnetization(tokens).numpy()
    plain = {
        "heat_bath_energy_per_site": system.token_energy(tokens).numpy() / 9,
        "heat_bath_magnetization": m,
        "heat_bath_magnetization_squared": m**2,
        "heat_bath_correlation": correlation(system.vectors_of(tokens), system.lattice).numpy(),
    }
    for name, values in plain.items():
        found = evaluate_named(la.OBSERVABLES[name](), batch, system, T)[name]
        np.testing.assert_allclose(p @ found, p @ values, rtol=1e-12, err_msg=name)
        free = evaluate_named(la.OBSERVABLES[name](), Samples(tokens, None, 0), system, T)[name]
        assert not np.allclose(p @ free, p @ values, rtol=1e-3), name


def test_the_structure_factor_by_its_definition():
    system = la.Potts((3, 4), q=3)
    tokens = torch.randint(3, (5, 3, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    observable = la.OBSERVABLES["structure_factor"]()
    values = evaluate_named(observable, Samples(tokens, None, 0), system, T)["structure_factor"]
    labels = observable.labels(system)["structure_factor"]
    vectors = system.vectors_of(tokens).numpy()
    y, x = np.mgrid[:3, :4]
    seen = set()
    for k, (ky, kx) in enumerate(zip(labels["ky"], labels["kx"], strict=True)):
        wave = np.exp(1j * (ky * y + kx * x))
        amplitude = np.einsum("byxd,yx->bd", vectors, wave)
        np.testing.assert_allclose(values[:, k], (np.abs(amplitude) ** 2).sum(1) / 12, rtol=1e-12, atol=1e-12)
        seen |= {(round(s * ky / (2 * math.pi / 3)) % 3, round(s * kx / (2 * math.pi / 4)) % 4) for s in (1, -1)}
    assert len(seen) == 12  # with -k all wave vectors
    assert len(values[0]) == 7  # 2 of them, (0, 0) and (0, pi), are their own negatives


def test_lengths_from_the_structure_factor():
    """xi from S(k), on a torus and on a cylinder, whose open direction has no waves."""
    torus = Tabulated(la.Ising((3, 3)), 3.0)
    values, _ = summed(["structure_factor", "correlation_length", "correlation_length_per_size"], torus)
    s = values["structure_factor"]  # (0, 0), (1, 0), then k_x = 1: n_y = 0, 1, 2
    expected = math.sqrt(2 * s[0] / (s[1] + s[2]) - 1) / (2 * math.sin(math.pi / 3))
    assert values["correlation_length"] == pytest.approx(expected, rel=1e-12)
    assert values["correlation_length_per_size"] == pytest.approx(expected / 3, rel=1e-12)
    cylinder, _ = summed(
        ["structure_factor", "correlation_length"], Tabulated(la.Ising((3, 4), periodic=(False, True)), 3.0)
    )
    s = cylinder["structure_factor"]
    expected = math.sqrt(s[0] / s[2] - 1) / (2 * math.sin(math.pi / 4))
    assert cylinder["correlation_length"] == pytest.approx(expected, rel=1e-12)
    gauge = [la.Ising((2, 4), coupling=sign) for sign in (1, -1)]
    ferro, _ = summed(["correlation_length"], Tabulated(gauge[0], 3.0))
    anti, _ = summed(["staggered_correlation_length"], Tabulated(gauge[1], 3.0))
    assert anti["staggered_correlation_length"] == pytest.approx(ferro["correlation_length"], rel=1e-12)


def test_slopes_are_differences_of_temperatures():
    """Of larger systems by exact methods; Onsager's specific heat is steep near T_c."""
    for system, t in ((la.Ising((16, 16)), 2.3), (la.Ising((4, 4), field=0.2), 2.0)):
        slope = exact_slopes(system, t)["heat_capacity_per_site"]
        low, high = (exact_result(system, t + d).heat_capacity_per_site for d in (-1e-4, 1e-4))
        assert slope == pytest.approx((high - low) / 2e-4, rel=1e-5)
    assert exact_slopes(la.Ising((32, 32), field=0.1), 2.3) == {}


def test_importance_sampling_agrees_with_exact_values(ising, model):
    found = la.estimate(model.sample(6000, seed=3), ising, T, observables=FERRO)
    assert set(FERRO) <= set(found)
    assert not set(found) & {"S(0)", "e^3", "|m| e"}  # what was measured for others only
    for name in FERRO:
        assert found[name].largest_deviation < 4, name
        assert found[name].verdict != "not trusted", name
    ratio = la.derived(found, lambda a: a["correlation_length"] / a["correlation_length_per_size"])
    assert (ratio.value, ratio.error) == (pytest.approx(3.0), pytest.approx(0.0, abs=1e-12))


def test_several_temperatures_and_functions_beside_names(ising, model):
    """Heat baths have the temperature of the target; own functions stand beside names."""
    asked = {"mine": lambda spins: spins.mean((1, 2)), "heat_bath_magnetization": None}
    results = la.reweight(model.sample(5000, seed=4), ising, [1.9, 2.1], observables=asked)
    for found in results:
        assert found["heat_bath_magnetization"].largest_deviation < 4
        assert abs(found["mine"].value - found["heat_bath_magnetization"].value) < 4 * found["mine"].error
    one = la.estimate(model.sample(5000, seed=4), ising, 2.1, observables=["heat_bath_magnetization"])
    assert one["heat_bath_magnetization"].value == results[1]["heat_bath_magnetization"].value


def test_what_nobody_asked_for_stays_as_it_is(ising, model):
    samples = model.sample(1000, seed=5)
    plain, more = (la.estimate(samples, ising, T, observables=each).to_dict() for each in (None, ["structure_factor"]))
    assert {name: more[name] for name in plain} == plain


def test_chains(ising, model, tmp_path):
    asked = ["correlation_length", "heat_bath_energy_per_site", "heat_bath_magnetization"]
    found = la.neural_mcmc(model.sample(4000, seed=6), ising, T, observables=asked)
    batches = list(la.monte_carlo(ising, T, n=2000, seed=1))
    array = np.stack([ising.spins(batch.tokens).numpy() for batch in batches])
    with pytest.warns(la.data.ConversionNote):
        of_array = la.estimate_chains(array, ising, T, observables=asked)
    by_batch = la.estimate_chains(batches, ising, T, observables=asked)
    for name in asked:
        assert found[name].largest_deviation < 4, name
        assert by_batch[name].largest_deviation < 4, name
        assert of_array[name].value == pytest.approx(by_batch[name].value, rel=1e-12)


def test_islands_and_ladders():
    ising = la.Ising((2, 4), field=0.1)
    asked = ["correlation_length", "heat_bath_magnetization_squared", "abs_magnetization_slope"]
    with quiet():
        annealed = la.population_annealing(ising, 2.5, n=1000, n_sweeps=3, seed=1, observables=asked)
        tempered = la.parallel_tempering(ising, 2.5, n=400, thermalization=50, seed=1, observables=asked)
        model = la.MultiscalePixelCNN((4, 4), bias=la.Ising((4, 4)).bias(2.5), width=4)
        more = {"observables": asked, "exact": None, "n_pilot": 100}
        particles = la.sequential_monte_carlo(model, la.Ising((4, 4)), 2.5, n=200, **more)
    for name in asked:
        assert annealed[name].largest_deviation < 5, name
        assert tempered[name].largest_deviation < 4, name
        assert np.isfinite(particles[name].error), name


def test_chains_of_one_phase_are_noticed():
    """A signed observable tells two phases apart; the others do not blame such chains."""
    ising, generator = la.Ising((4, 4)), torch.Generator().manual_seed(0)
    up = torch.rand(60, 4, 4, 4, generator=generator) < 0.95
    batches = [Samples(tokens.to(torch.uint8), None, 0) for tokens in up]
    asked = ["heat_bath_magnetization", "correlation_length"]
    with quiet():
        found = la.estimate_chains(batches, ising, 1.0, observables=asked, exact=None)
    assert any("flip" in reason for reason in found["heat_bath_magnetization"].verdict.reasons)
    assert not any("flip" in reason for reason in found["correlation_length"].verdict.reasons)


def test_a_length_that_there_is_not():
    anti = la.Ising((2, 4), coupling=-1.0)
    batches = la.monte_carlo(anti, 2.0, n=400, seed=0)
    found = la.estimate_chains(batches, anti, 2.0, observables=["correlation_length"])["correlation_length"]
    assert math.isnan(found.value)
    assert found.exact is None
    assert "staggered_correlation_length" in found.verdict.reasons[0]
    assert json.dumps(found.to_dict()).count("null") == 2


def test_labels_are_stored(ising, model):
    found = la.estimate(model.sample(500, seed=7), ising, T, observables="structure_factor", exact=None)
    labels = la.OBSERVABLES["structure_factor"]().labels(ising)["structure_factor"]
    read = la.Estimates.from_dict(json.loads(json.dumps(found.to_dict())), 9)
    for estimates in (found, read):
        assert {name: list(each) for name, each in estimates["structure_factor"].labels.items()} == labels
    lines = csv_of([found]).decode().splitlines()
    assert lines[0].endswith(",n,labels")
    assert lines[-1].endswith(f"ky={labels['ky'][-1]:.8g} kx={labels['kx'][-1]:.8g}")
    data = found.to_xarray()
    assert data["structure_factor_ky"].values.tolist() == labels["ky"]
    assert data["structure_factor_ky"].dims == data["structure_factor"].dims


def test_a_magnetic_slope_of_a_strip():
    """d<|m|>/dT by the magnetisation-resolved transfer matrix, against samples of a tensor network."""
    ising = la.Ising((4, 5))
    model = la.TensorNetwork((4, 5), bias=ising.bias(2.4), bond_dimension=4)
    asked = ["abs_magnetization_slope", "binder_cumulant_slope", "heat_capacity_slope"]
    found = la.estimate(model.sample(3000, seed=1), ising, 2.4, observables=asked)
    low, high = (magnetization_resolved(ising, 2.4 + d).abs_magnetization for d in (-1e-3, 1e-3))
    assert found["abs_magnetization_slope"].exact == pytest.approx((high - low) / 2e-3, rel=1e-5)
    assert all(found[name].largest_deviation < 4 for name in asked)


@pytest.mark.parametrize(
    ("asked", "system", "message"),
    [
        (["structure_facto"], SYSTEMS["field"], "did you mean 'structure_factor'"),
        ("xyz", SYSTEMS["field"], "there are structure_factor, .*correlation_length, .*"),
        ({"nothing": None}, SYSTEMS["field"], "there is no observable 'nothing'"),
        ([3], SYSTEMS["field"], "observables must be functions by name.*got list"),
        (len, SYSTEMS["field"], "observables must be functions by name"),
        (["correlation_length"], SYSTEMS["open"], "needs a periodic boundary"),
        (["correlation_length"], SYSTEMS["triangular"], "needs a square lattice, got a triangular one"),
        (["staggered_correlation_length"], SYSTEMS["field"], "needs even extents, got 3x3"),
        (["diagonal_correlation"], SYSTEMS["triangular"], "needs a square lattice"),
        (["diagonal_correlation"], la.Ising((1, 4), periodic=False), "has no such pairs"),
        (["heat_bath_magnetization"], SYSTEMS["potts"], "use heat_bath_magnetization_squared"),
        (
            ["heat_bath_energy_per_site"],
            la.FixedComposition(la.Ising((2, 4)), [4, 4]),
            "does not keep a fixed composition",
        ),
        (["abs_magnetization_slope"], la.FixedComposition(la.Ising((2, 4)), [4, 4]), "at fixed composition"),
        ({"structure_factor": None, "S(0)": len, "correlation_length": None}, SYSTEMS["field"], "your observable"),
    ],
)
def test_wrong_requests(asked, system, message):
    with pytest.raises(ValueError, match=message):
        Request.of(asked, system)


def test_names_of_the_command_line():
    assert check_names(["structure_factor"]) == ["structure_factor"]
    with pytest.raises(ValueError, match="did you mean"):
        check_names(["structure"])


def test_an_observable_of_ones_own(ising, model):
    """A class beside those of the package: named parts, a function of them, and labels."""

    class Rows(la.estimation.AbstractObservable):
        name = "rows"
        parts = ("row",)

        def measure(self, batch, hamiltonian, temperature):
            return {"row": hamiltonian.spins(batch.tokens).mean(2)}

        def functions(self, hamiltonian, temperature):
            return {"rows": lambda a: a["row"] ** 2}

        def labels(self, hamiltonian):
            return {"rows": {"y": range(hamiltonian.shape[0])}}

    found = la.estimate(model.sample(3000, seed=8), ising, T, observables=[Rows()])["rows"]
    assert found.largest_deviation < 4
    assert found.labels["y"].tolist() == [0, 1, 2]


def test_long_arrays_take_little_memory(monkeypatch):
    """They have fewer stretches; the sums over blocks of stretches stay the same."""
    values = np.random.default_rng(0).normal(size=(3000, 3))
    parts = []
    for numbers in (stretches.MOST_NUMBERS, 2**10):
        monkeypatch.setattr(stretches, "MOST_NUMBERS", numbers)
        sums = stretches.Stretches()
        for batch in np.split(values, 3):
            sums.add(batch, np.zeros(len(batch)))
        parts.append(sums.result(0.0))
    short, merged = parts
    assert (short.step, merged.step, len(merged.sums)) == (1, 4, 750)
    np.testing.assert_allclose(short.sums.reshape(750, 4, 3).sum(1), merged.sums, atol=1e-12)
