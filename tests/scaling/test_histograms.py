"""Multiple histograms: exact equations, exact values, right errors, and warnings."""

import numpy as np
import pytest
import torch

import latticear as la
from latticear.scaling import multiple_histograms
from latticear.scaling.free_energies import free_energies

SHAPE, N = (3, 3), 9


@pytest.fixture(scope="module")
def states():
    """Energies and magnetisations of all 512 configurations."""
    ising = la.Ising(SHAPE)
    tokens = torch.cartesian_prod(*[torch.arange(2)] * N).reshape(-1, *SHAPE)
    return ising.token_energy(tokens).numpy(), ising.magnetization(tokens).numpy()


def drawn(states, temperatures, n, seed, repeat=1):
    """Chains from the exact distribution, each configuration `repeat` times."""
    rng, found = np.random.default_rng(seed), []
    for t in temperatures:
        p = np.exp(-(states[0] - states[0].min()) / t)
        found.append(np.repeat(rng.choice(len(p), n, p=p / p.sum()), repeat))
    return [states[0][k] for k in found], [states[1][k] for k in found]


def test_infinite_data_give_exact_free_energies(states):
    """Histograms that are the exact probabilities solve the equations with the exact free energies."""
    beta, n = np.array([0.2, 0.4, 0.6]), np.array([100.0, 200.0, 300.0])
    level, degeneracy = np.unique(states[0], return_counts=True)
    log_z = np.log(np.exp(-beta[:, None] * level) @ degeneracy)
    count = (n[:, None] * np.exp(-beta[:, None] * level - log_z[:, None]) * degeneracy).sum(axis=0)
    f, log_denominator = free_energies(level, count, beta, n)
    np.testing.assert_allclose(f, -(log_z - log_z[0]), atol=1e-10)
    # the density of states follows, up to a factor
    density = count / np.exp(log_denominator)
    np.testing.assert_allclose(density / density[0], degeneracy / degeneracy[0], rtol=1e-8)


def test_every_temperature_between_agrees_with_the_exact_values(states):
    temperatures = [1.8, 2.4, 3.2]
    energies, ms = drawn(states, temperatures, 3000, seed=0)
    names = ("energy_per_site", "heat_capacity_per_site", "abs_magnetization", "susceptibility", "binder_cumulant")
    found = multiple_histograms(
        energies, temperatures, n_sites=N, magnetizations=ms, grid=[2.0, 2.7], observables={"m^2": [m**2 for m in ms]}
    )
    exact = [la.exact.magnetization_resolved(la.Ising(SHAPE), t) for t in (2.0, 2.7)]
    for name in names:
        true = [getattr(result, name) for result in exact]
        assert (np.abs(found.values[name] - true) < 4 * found.errors[name]).all(), name
        assert (found.errors[name] < 0.1).all()
    np.testing.assert_allclose(found.values["m^2"], found.values["magnetization_squared"])
    at = [la.kaufman(SHAPE, t).log_z for t in temperatures]
    off = found.log_z - (np.array(at) - at[0])
    assert (np.abs(off[1:]) < 4 * found.log_z_error[1:]).all()
    assert found.log_z[0] == 0
    assert found.warnings == ()


def test_order_of_temperatures_and_of_chains_is_of_no_matter(states):
    energies, _ = drawn(states, [2.0, 2.6], 500, seed=1)
    first = multiple_histograms(energies, [2.0, 2.6], n_sites=N, grid=[2.3])
    turned = multiple_histograms(energies[::-1], [2.6, 2.0], n_sites=N, grid=[2.3])
    assert first.values["energy_per_site"] == turned.values["energy_per_site"]
    several = multiple_histograms([e.reshape(-1, 5) for e in energies], [2.0, 2.6], n_sites=N, grid=[2.3])
    np.testing.assert_allclose(several.values["energy_per_site"], first.values["energy_per_site"])


def test_one_temperature_is_simple_reweighting(states):
    energies, _ = drawn(states, [2.2], 2000, seed=2)
    found = multiple_histograms(energies, [2.2], n_sites=N, grid=[2.2, 2.3])
    weights = np.exp(-(1 / 2.3 - 1 / 2.2) * energies[0])
    np.testing.assert_allclose(
        found.values["energy_per_site"], [energies[0].mean() / N, np.average(energies[0], weights=weights) / N]
    )
    assert "T = 2.3 lies outside the measured temperatures" in found.warnings[0]


def test_errors_contain_the_correlation_of_the_chains(states):
    """40 repeats, each configuration four times; the rate of false alarms is below 1e-3."""
    exact = la.kaufman(SHAPE, 2.2)
    z = []
    for seed in range(40):
        energies, _ = drawn(states, [2.0, 2.5], 200, seed=seed, repeat=4)
        found = multiple_histograms(energies, [2.0, 2.5], n_sites=N, grid=[2.2], n_bootstrap=50, seed=seed)
        z.append([(found.values[name][0] - getattr(exact, name)) / found.errors[name][0] for name in NAMES])
    assert (np.abs(np.mean(z, axis=0)) < 0.7).all()
    assert (np.std(z, axis=0) > 0.6).all()
    assert (np.std(z, axis=0) < 1.5).all()


NAMES = ("energy_per_site", "heat_capacity_per_site")


def test_the_maximum(states):
    energies, _ = drawn(states, [1.8, 2.4, 3.2], 4000, seed=3)
    peak = multiple_histograms(energies, [1.8, 2.4, 3.2], n_sites=N).peak("heat_capacity_per_site", 3)
    t = np.linspace(2.0, 2.8, 401)
    values = [la.kaufman(SHAPE, x).heat_capacity_per_site for x in t]
    assert abs(peak.temperature - t[int(np.argmax(values))]) < 4 * peak.error
    assert abs(peak.height - max(values)) < 4 * peak.height_error


def test_temperatures_that_do_not_overlap_are_named():
    rng = np.random.default_rng(0)
    energies = [rng.normal(-150, 5, 1000), rng.normal(-60, 5, 1000)]
    found = multiple_histograms(energies, [1.0, 3.0], n_sites=100, grid=[2.0])
    assert "T = 1 and 3 hardly overlap" in found.warnings[0]
    short = multiple_histograms([rng.normal(-1, 1, 30)], [1.0], n_sites=1, grid=[1.0])
    assert "independent blocks; errors need 20" in short.warnings[0]


@pytest.mark.parametrize(
    ("energies", "temperatures", "options", "words"),
    [
        ([[1.0, 2.0]], [1.0, 2.0], {}, "one array for each temperature, got 1 and 2"),
        ([[1.0, 2.0]] * 2, [1.0, 1.0], {}, "positive and different"),
        ([[1.0, np.inf]], [1.0], {}, "energies must be finite"),
        ([[1.0, 2.0]], [1.0], {"magnetizations": [[1.0]]}, "must have shape"),
        ([[1.0, 2.0]], [1.0], {"magnetizations": [[1.0, 2.0, 3.0]]}, "the shapes of the energies"),
        ([[1.0, 2.0]], [1.0], {"grid": [-1.0]}, "grid must hold positive temperatures"),
    ],
)
def test_wrong_input_is_refused(energies, temperatures, options, words):
    with pytest.raises(ValueError, match=words):
        multiple_histograms(energies, temperatures, n_sites=4, **options)
