"""`latticear estimate FILE`: averages of chains of one's own, and the verdict on them."""

import json

import numpy as np
import pytest
from support.verbs import invoke, refusal, succeed

import latticear as la

pytestmark = pytest.mark.filterwarnings("ignore::latticear.data.loading.ConversionNote")

ISING, T = la.Ising((4, 4)), 2.3
SYSTEM = ("--size", "4", "--temperature", "2.3")


def made(temperature, *, n=800, n_chains=8, seed=0):
    """Spins (T, n, H, W) of heat-bath chains."""
    options = {"n_chains": n_chains, "thermalization": 100, "thinning": 1, "method": "heat-bath", "seed": seed}
    batches = la.monte_carlo(ISING, temperature, n=n, **options)
    return np.stack([ISING.spins(batch.tokens).numpy() for batch in batches]).astype(np.int8)


@pytest.fixture(scope="module")
def chain():
    return made(T, n=8000, seed=3)


@pytest.fixture
def file(chain, tmp_path):
    np.save(tmp_path / "chain.npy", chain)
    return tmp_path / "chain.npy"


def shown(*words):
    """Standard output of a command that succeeds; how an array was read is said on standard error."""
    code, stdout, stderr = invoke(*words)
    assert code == 0, stderr
    return stdout


def reasons(array, tmp_path, *options):
    np.save(tmp_path / "a.npy", array)
    return json.loads(invoke("estimate", tmp_path / "a.npy", *SYSTEM, "--json", *options)[1])["warnings"]


def test_averages_and_verdict(file, chain):
    text = shown("estimate", file, *SYSTEM)
    assert "abs_magnetization" in text
    assert "the chain fits this Hamiltonian at T = 2.3: energy balance" in text
    found = json.loads(invoke("estimate", file, *SYSTEM, "--json")[1])
    expected = la.estimate_chains(chain, ISING, T)
    assert found["abs_magnetization"]["error"] == expected["abs_magnetization"].error
    assert found["energy_per_site"]["tau_int"] > 0.8
    assert found["reliable"]
    assert abs(expected["energy_per_site"].deviation) < 4
    assert la.estimate_chain is la.estimate_chains


def test_skip_and_chains_in_turn(chain, tmp_path):
    np.save(tmp_path / "turn.npy", np.concatenate([chain[:50], chain]).reshape(-1, 4, 4))
    options = ("--chains", "8", "--skip", "50", "--json")
    found = json.loads(invoke("estimate", tmp_path / "turn.npy", *SYSTEM, *options)[1])
    assert found["energy_per_site"]["error"] == la.estimate_chains(chain, ISING, T)["energy_per_site"].error


def test_other_systems(tmp_path):
    potts = la.Potts((4, 4), q=3)
    batches = la.monte_carlo(potts, 1.2, n=2000, n_chains=10, seed=0)
    np.save(tmp_path / "a.npy", np.stack([batch.tokens.numpy() for batch in batches]))
    options = ("--hamiltonian", "potts", "--size", "4", "--temperature", "1.2", "--set", "hamiltonian.q=3")
    assert "the chain fits this Hamiltonian" in shown("estimate", tmp_path / "a.npy", *options)
    other = invoke("estimate", tmp_path / "a.npy", *options, "--set", "hamiltonian.coupling=-1", "--json")[1]
    assert "does not fit this Hamiltonian" in json.loads(other)["warnings"][0]


def test_a_file_that_states_its_system_needs_no_options(tmp_path):
    succeed("mc", *SYSTEM, "-n", "2000", "--chains", "10", "-o", tmp_path / "mc.h5")
    assert "fits this Hamiltonian at T = 2.3" in succeed("estimate", tmp_path / "mc.h5")
    assert "not at the requested 2.4" in refusal("estimate", tmp_path / "mc.h5", "--temperature", "2.4")


def test_exchanged_axes_are_noticed(chain, tmp_path):
    (reason,) = reasons(chain.swapaxes(0, 1), tmp_path)
    assert "neighbouring chains are correlated" in reason
    assert "exchange its axes by np.swapaxes(chain, 0, 1)" in reason
    assert reasons(chain, tmp_path) == []


def test_chains_in_turn_read_as_one_are_noticed(chain, tmp_path):
    (reason,) = reasons(chain.reshape(-1, 4, 4), tmp_path)
    assert "this looks like 8 chains in turn; say so by n_chains=8 (--chains 8)" in reason
    (reason,) = reasons(chain.swapaxes(0, 1).reshape(-1, 4, 4), tmp_path, "--chains", "8")
    assert "8 chains are read in turn" in reason


def test_chains_that_drift_are_noticed(tmp_path):
    """An annealing from T = 3.3 to 1.7, given as chains at 2.3; one that ends at 2.3 has a wrong start alone."""
    early = np.concatenate([made(t, n=320, seed=k) for k, t in enumerate((4.0, 3.3, 2.7, 2.3))])
    assert "first measurements are not in equilibrium" in reasons(early, tmp_path)[0]
    slow = np.concatenate([made(t, n=320, seed=k) for k, t in enumerate((3.3, 2.6, 2.0, 1.7))])
    assert any("the chains drift: energy_per_site is -" in reason for reason in reasons(slow, tmp_path))


def test_chains_that_disagree_are_noticed(tmp_path):
    """Four chains, two of which stay in another part of the distribution: here at another temperature."""
    found = reasons(np.concatenate([made(t, n=2000, n_chains=2) for t in (1.8, 3.2)], 1), tmp_path)
    assert any("the chains disagree: energy_per_site is -" in reason for reason in found)


def test_few_and_short_chains_are_told(chain, tmp_path):
    np.save(tmp_path / "a.npy", chain[:10])
    found = json.loads(invoke("estimate", tmp_path / "a.npy", *SYSTEM, "--json")[1])
    assert found["verdict"] == "unchecked"
    assert any("too short for its autocorrelation time" in reason for reason in found["reasons"])
    np.save(tmp_path / "one.npy", chain[:, 0])
    text = shown("estimate", tmp_path / "one.npy", *SYSTEM)
    assert "one chain does not show what it missed: run several that begin independently" in text


def test_what_does_not_go_with_a_file_is_refused(file, tmp_path, run):
    for options, message in (
        (("--size", "4"), "needs the temperature of the chains in"),
        (("--temperature", "2.3"), "does not state its system: give --size L"),
        ((*SYSTEM, "-n", "100"), "is a file of configurations, not a run: -n means nothing here"),
        ((*SYSTEM, "--method", "is"), "--method means nothing here"),
        (("--size", "4", "--temperature", "2.1,2.3"), "chains have one temperature"),
        (("--size", "5", "--temperature", "2.3"), "must hold numbers of shape"),
        ((*SYSTEM, "--skip", "999"), "needs at least two measurements, got 1000 of 8 chains and skip = 999"),
    ):
        code, stdout, stderr = invoke("estimate", file, *options)
        assert (code, stdout) == (1, "")
        assert message in stderr.splitlines()[-1]
    assert "is a run, which knows its system: --size means nothing here" in refusal("estimate", run, "--size", "4")
    assert "is not a run directory" in refusal("estimate", tmp_path / "missing.npy", *SYSTEM)
    with pytest.raises(ValueError, match="n_chains, dataset and values are for an array or a file"):
        la.estimate_chains(la.monte_carlo(ISING, T, n=100), ISING, T, n_chains=2)


def test_samples_of_a_network_are_no_chain(tmp_path, run):
    succeed("sample", run, "-n", "50", "-o", tmp_path / "s.h5")
    assert "holds samples of a network, which need weights" in refusal("estimate", tmp_path / "s.h5", *SYSTEM)
