"""A chain of one's own: averages with errors from its autocorrelation, and whether it fits the Hamiltonian and T."""

import warnings

import numpy as np
import pytest
import torch

import latticear as la
from latticear.data import ConversionNote
from latticear.estimation.consistency import consistency
from latticear.estimation.residuals import LIMIT
from latticear.exact import all_configurations
from latticear.exact.tabulated import Tabulated

T = 2.4
ISING = la.Ising((6, 6), field=0.05)

pytestmark = pytest.mark.filterwarnings("ignore::latticear.data.loading.ConversionNote")


def metropolis(length, temperature, n_chains=4, *, couplings=(1.0, 1.0), field=0.05, wraps=True, therm=100, seed=0):
    """Spins `(length, n_chains, 6, 6)` by checkerboard Metropolis updates written without any code of the package."""
    rng = np.random.default_rng(seed)
    s = np.ones((n_chains, 6, 6))
    odd = np.add.outer(np.arange(6), np.arange(6)) % 2
    out = []
    for t in range(-therm, length):
        for colour in (0, 1):
            padded = np.pad(s, ((0, 0), (1, 1), (1, 1)), mode="wrap" if wraps else "constant")
            y = padded[:, 2:, 1:-1] + padded[:, :-2, 1:-1]
            x = padded[:, 1:-1, 2:] + padded[:, 1:-1, :-2]
            change = 2 * s * (couplings[0] * y + couplings[1] * x + field)
            flips = (rng.random(s.shape) < np.exp(-change / temperature)) & (odd == colour)
            s = np.where(flips, -s, s)
        if t >= 0:
            out.append(s)
    return np.stack(out)


@pytest.fixture(scope="module")
def chain():
    return metropolis(2000, T)


def test_averages_agree_with_the_exact_ones(chain):
    exact = la.exact_result(ISING, T)
    found = la.estimate_chain(chain, ISING, T, exact=exact, observables={"corner": lambda s: s[:, 0, 0]})
    assert found.reliable, found.warnings
    assert found.n == 8000
    assert 0 < found.diagnostics["misfit"] < LIMIT
    for name in ("energy_per_site", "abs_magnetization", "magnetization_squared", "heat_capacity_per_site"):
        assert abs(found[name].deviation) < 4, name
        assert found[name].tau_int > 0.5
    assert abs(found["corner"].value - chain.mean()) < 5 * found["corner"].error


def test_every_way_to_hand_over_a_chain_gives_the_same_numbers(chain, tmp_path):
    expected = la.estimate_chain(chain, ISING, T)["abs_magnetization"]
    np.save(tmp_path / "a.npy", chain.astype(np.int8))
    interleaved = chain.reshape(-1, 36)
    for given, options in (
        (torch.from_numpy(chain), {}),
        ((chain > 0).astype(int), {}),
        (tmp_path / "a.npy", {}),
        (interleaved, {"n_chains": 4}),
        (np.concatenate([chain[:100], chain]), {"skip": 100}),
    ):
        found = la.estimate_chain(given, ISING, T, **options)["abs_magnetization"]
        assert (found.value, found.error, found.tau_int) == (expected.value, expected.error, expected.tau_int)
    with pytest.warns(ConversionNote, match=r"shape \(8000, 36\) as \(n, H\*W\), values -1, 1 as spins") as caught:
        la.estimate_chain(interleaved, ISING, T, n_chains=4)
    assert caught[0].filename == __file__


def test_a_file_of_chains_knows_how_many_there_are(tmp_path):
    from support.verbs import succeed

    file = tmp_path / "mc.h5"
    system = ("--size", "6", "--temperature", "2.4", "--set", "hamiltonian.field=0.05")
    succeed("mc", *system, "-n", "4000", "--chains", "8", "-o", file)
    ours = la.estimate_chain(file, ISING, T)
    batches = list(la.data.read_batches(file, 8))
    theirs = la.estimation.estimate_chains(batches, ISING, T)
    for name in ("energy_per_site", "abs_magnetization"):
        assert ours[name].value == pytest.approx(theirs[name].value, rel=1e-12)
        assert ours[name].error == pytest.approx(theirs[name].error, rel=1e-9)
    with pytest.raises(ValueError, match=r"at temperature 2\.4, not at the requested 2\.5"):
        la.estimate_chain(file, ISING, 2.5)


def test_another_temperature_is_noticed_and_named(chain):
    with pytest.warns(la.UnreliableEstimateWarning, match=r"does not fit .* at T = 2\.2: .* it would fit T = "):
        found = la.estimate_chain(chain, ISING, 2.2)
    value, error = found.warnings[0].split("it would fit T = ")[1].split(")")[0].split("(")
    digits = len(value.split(".")[1])
    assert abs(float(value) - T) < 4 * float(error) * 10.0**-digits
    assert not found["abs_magnetization"].reliable
    assert "differ from the exact values" in found.warnings[1]


WRONG = {
    "no field": {"field": 0.4},
    "anisotropic": {"couplings": (1.2, 0.8)},
    "antiferromagnet": {"couplings": (-1.0, -1.0), "field": 0.0},
    "open": {"wraps": False},
}


@pytest.mark.parametrize("case", WRONG)
def test_another_hamiltonian_is_noticed(case):
    chain = metropolis(1000, T, **WRONG[case])
    with pytest.warns(la.UnreliableEstimateWarning, match="no temperature fits: check couplings, field, boundary"):
        la.estimate_chain(chain, ISING, T)


def test_flipped_spins_in_a_field_are_noticed(chain):
    with pytest.warns(la.UnreliableEstimateWarning, match="does not fit"):
        la.estimate_chain(metropolis(1000, T, field=0.2) * -1, la.Ising((6, 6), field=0.2), T)


def test_a_start_far_from_equilibrium_is_noticed():
    """Of 24 chains that begin at infinite temperature and move slowly, the first measurements are left out."""
    rng = np.random.default_rng(0)
    hot = np.stack([rng.choice([-1, 1], size=(24, 6, 6)) for _ in range(40)])
    chain = np.concatenate([hot, metropolis(400, T, 24)])
    with pytest.warns(la.UnreliableEstimateWarning, match=r"first measurements are not in equilibrium .* skip=220"):
        la.estimate_chain(chain, ISING, T)
    assert la.estimate_chain(chain, ISING, T, skip=220).reliable


SYSTEMS = [
    (la.Potts((5, 5), q=3), 1.2),
    (la.BlumeCapel((5, 5), crystal_field=0.5), 1.3),
    (la.AshkinTeller((4, 4)), 2.5),
    (la.EdwardsAnderson((5, 5), seed=1), 1.5),
    (la.Phi4((4, 4)), 1.0),
]


@pytest.mark.parametrize(("system", "temperature"), SYSTEMS, ids=lambda value: getattr(value, "name", None))
def test_chains_of_other_systems_fit_at_their_temperature_alone(system, temperature):
    batches = la.monte_carlo(
        system, temperature, n=4000, n_chains=16, thermalization=200, thinning=2, method="heat-bath", seed=3
    )
    tokens = torch.stack([batch.tokens for batch in batches])
    assert not consistency(tokens, system, temperature).problem
    found = consistency(tokens, system, 1.2 * temperature)
    assert found.worst > 2 * LIMIT
    assert "it would fit T = " in found.remedy


def test_a_hamiltonian_without_bonds():
    system = la.CustomHamiltonian(lambda s: -(s * s.roll(1, 1)).sum((1, 2)), states=[-1, 1], shape=(3, 3))
    tokens = all_configurations((3, 3), 2)
    weights = (-system.token_energy(tokens) / 2.0).softmax(0)
    drawn = tokens[torch.multinomial(weights, 4000, replacement=True)][:, None]
    assert not consistency(drawn, system, 2.0).problem
    assert "it would fit T = " in consistency(drawn, system, 3.0).remedy


def test_chains_that_fit_are_seldom_refused():
    """20 chains that fit: the worst of some twenty averages is above the limit of 4.5 errors in 1e-4 of cases each."""
    batches = la.monte_carlo(ISING, T, n=40_000, n_chains=10, thermalization=200, thinning=2, seed=0)
    parts = torch.stack([batch.tokens for batch in batches]).chunk(20)
    worst = [consistency(part, ISING, T).worst for part in parts]
    assert max(worst) < LIMIT
    assert 1 < np.median(worst) < 3


@pytest.mark.filterwarnings("ignore::latticear.estimation.estimates.UnreliableEstimateWarning")
def test_chains_that_say_too_little():
    frozen = la.estimate_chain(np.ones((500, 6, 6)), ISING, T)
    assert "nothing varies" in frozen.warnings[0]
    assert "too short" in la.estimate_chain(metropolis(10, T, 1), ISING, T).warnings[0]
    for chain, options in ((np.ones((1, 6, 6)), {}), (np.ones((6, 6)), {}), (np.ones((9, 6, 6)), {"skip": 8})):
        with pytest.raises(ValueError, match="a chain needs at least two measurements, got"):
            la.estimate_chain(chain, ISING, T, **options)
    with pytest.raises(ValueError, match=r"the array has 3 chains, \(T, n, H, W\), got n_chains = 2"):
        la.estimate_chain(np.ones((9, 3, 6, 6)), ISING, T, n_chains=2)


@pytest.mark.parametrize("given", [np.ones((20, 6, 6)), torch.ones(20, 6, 6), "mc.h5", [np.ones((20, 6, 6))]])
@pytest.mark.parametrize("function", [la.estimate, la.neural_mcmc])
def test_functions_for_samples_name_the_one_for_arrays(function, given):
    with pytest.raises(ValueError, match=r"samples must be la.Samples.*la\.estimate_chain\(array_or_file"):
        function(given, ISING, T)


def test_a_chain_that_fits_is_said_to():
    ising = la.Ising((4, 4))
    batches = la.monte_carlo(ising, 2.5, n=4000, n_chains=20, thinning=5, seed=0)
    chain = np.stack([batch.tokens.numpy() for batch in batches])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", la.data.ConversionNote)
        found = la.estimate_chain(chain, ising, 2.5)
    assert "the chain fits this Hamiltonian at T = 2.5" in str(found)
    assert "tau_int" in found._repr_html_()
    with pytest.raises(KeyError, match="there is no estimate 'magnetization'; did you mean 'abs_magnetization'"):
        found["magnetization"]


@pytest.mark.parametrize(
    ("system", "temperature", "n"),
    [
        (la.Ising((3, 3), coupling=-1), 0.3, 5000),  # frustrated: ground states that differ in what a heat bath expects
        (la.Ising((3, 3), coupling=-1), 0.5, 1000),
        (la.Ising((4, 4)), 1.0, 10_000),  # twenty excitations, two of which are some distance apart by accident
        (la.EdwardsAnderson((4, 4), seed=0), 0.4, 20_000),
    ],
    ids=["antiferromagnet 0.3", "antiferromagnet 0.5", "ising", "glass"],
)
@pytest.mark.parametrize("seed", range(3))
def test_rare_excitations_of_right_configurations_are_no_fault(system, temperature, n, seed):
    drawn = system.spins(Tabulated(system, temperature).draw(n, seed)).numpy()
    assert la.estimate_chain(drawn, system, temperature).verdict != "not trusted"
