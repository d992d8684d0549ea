"""Samples with sites held fixed, on disk: what was held is recorded, continued exactly and never taken for free."""

import json
import shutil

import h5py
import numpy as np
import pytest
import torch
import xarray
from support import tiny
from support.files import give
from support.verbs import refusal, succeed

import latticear as la
from latticear.data.reading import read_batches, read_given, read_metadata
from latticear.exact.enumeration import all_configurations
from latticear.runs.directory import load_model
from latticear.samples import Samples
from latticear.workflows import sample_run
from latticear.workflows.held import read_held

ISING = la.Ising(tiny.SIZE)
K = 6


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Six random configurations; each holds a row and another site."""
    rng = np.random.default_rng(0)
    where = np.zeros((K, 4, 4), np.uint8)
    where[:, 1] = 1
    where[range(K), 3, np.arange(K) % 4] = 1
    return give(tmp_path_factory.mktemp("given") / "given.h5", rng.choice([-1, 1], size=(K, 4, 4)), where)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The first row up, a site down."""
    spins, where = np.zeros((1, 4, 4)), np.zeros((4, 4), bool)
    spins[0, 0], spins[0, 2, 1] = 1, -1
    where[0], where[2, 1] = True, True
    return give(tmp_path_factory.mktemp("given") / "one.h5", spins, where)


def _sample(run, out, n, **changes):
    options = {"seed": 5, "append": False, "device": "cpu", "report": tiny.silent} | changes
    return sample_run(run, out, n, **options)


def _stored(path):
    return Samples.cat(list(read_batches(path, 100)))


def _assert_same(samples, others):
    for name in ("tokens", "log_q", "log_q_given", "where"):
        assert torch.equal(getattr(samples, name), getattr(others, name)), name


def test_sample_i_holds_configuration_i_modulo_their_number(run, given, tmp_path):
    n = 300  # more than a block
    assert _sample(run, tmp_path / "s.h5", n, given=given) == n
    tokens, where = read_given(given, ISING)
    rows = torch.arange(n) % K
    samples = _stored(tmp_path / "s.h5")
    _assert_same(samples, load_model(run).sample(n, seed=5, given=tokens[rows], where=where[rows]))
    assert torch.equal(samples.tokens[where[rows]], tokens[rows][where[rows]])
    assert len(samples.tokens.unique(dim=0)) > 100


@pytest.mark.parametrize("start", [0, 1, 255, 256, 600])
def test_a_stream_may_be_cut_anywhere(run, given, start):
    model, held = load_model(run), read_held(given, ISING, K)
    whole = Samples.cat(list(held.sample_batches(model, 700, seed=3)))
    part = Samples.cat(list(held.sample_batches(model, 700 - start, seed=3, start=start)))
    _assert_same(part, whole[start:])


def test_samples_that_are_continued_are_those_of_one_go(run, given, tmp_path):
    whole, parts = tmp_path / "whole.h5", tmp_path / "parts.h5"
    _sample(run, whole, 300, given=given)
    for n in (12, 270, 270, 6, 300):
        _sample(run, parts, n, given=given, append=True)
    _assert_same(_stored(parts), _stored(whole))


def test_the_same_configurations_may_come_from_another_file(run, given, tmp_path):
    """What is held counts, not the path, nor what the file says of the sites that are drawn."""
    other = shutil.copy(given, tmp_path / "other.h5")
    with h5py.File(other, "r+") as h5:
        h5["spins"][...] = np.where(h5["where"], h5["spins"], -h5["spins"][...])
    _sample(run, tmp_path / "s.h5", 12, given=given)
    assert _sample(run, tmp_path / "s.h5", 18, given=other, append=True) == 18


def test_samples_may_be_given_in_turn(run, given, tmp_path):
    first, second = tmp_path / "first.h5", tmp_path / "second.h5"
    _sample(run, first, 12, given=given)
    _sample(run, second, 12, given=first, seed=6)
    before, after = _stored(first), _stored(second)
    assert torch.equal(before.where, after.where)
    assert torch.equal(before.tokens[before.where], after.tokens[before.where])
    assert not torch.equal(before.tokens, after.tokens)
    origin = read_metadata(second)["attributes"]["provenance"]["given"]
    assert (origin["path"], origin["n"]) == (str(first), 12)
    assert origin["provenance"]["given"]["path"] == str(given)


@pytest.mark.parametrize("change", ["spin", "site", "number", "none"])
def test_samples_are_not_continued_with_something_else_held(run, given, tmp_path, change):
    out, other = tmp_path / "s.h5", tmp_path / "other.h5"
    with h5py.File(given) as h5:
        spins, where = h5["spins"][...], h5["where"][...]
    if change == "spin":
        spins[3, 1, 2] *= -1
    if change == "site":
        where[3, 0, 0] = 1
    n = 3 if change == "number" else K
    give(other, spins[:n], where[:n])
    _sample(run, out, 12, given=given)
    with pytest.raises(ValueError, match=r"cannot be continued: its given is '[0-9a-f]{16}', this run's is "):
        _sample(run, out, 24, given=None if change == "none" else other, append=True)
    assert read_metadata(out)["n_samples"] == 12


def test_free_samples_are_not_continued_with_sites_held(run, given, tmp_path):
    _sample(run, tmp_path / "s.h5", 12)
    with pytest.raises(ValueError, match="cannot be continued: its given is None, this run's is '"):
        _sample(run, tmp_path / "s.h5", 24, given=given, append=True)


# the command line


@pytest.mark.filterwarnings("ignore::latticear.UnreliableEstimateWarning")  # the tail of so short a training
def test_given_on_the_command_line(run, one, tmp_path):
    """Sampled, continued, described; what is read again gives the exact free energy of a fixed boundary."""
    out = tmp_path / "s.h5"
    command = ("sample", run, "--given", one, "-o", out, "--seed", 2)
    assert succeed(*command, "-n", "100") == f"{out}: 100 configurations\n"
    assert succeed(*command, "-n", "2e4", "--append") == f"{out}: 20000 configurations\n"
    found = json.loads(succeed("info", out, "--json"))
    assert found["datasets"]["log_q_given"] == {"shape": [20_000], "dtype": "float64"}
    assert found["datasets"]["where"] == {"shape": [20_000, 4, 4], "dtype": "uint8"}
    assert found["attributes"]["provenance"]["given"] == {"path": str(one), "n": 1, "provenance": None}
    assert len(found["attributes"]["given"]) == 16
    with xarray.open_dataset(out, engine="h5netcdf") as data:
        assert (data["spins"][:, 0] == 1).all()
        assert (data["spins"][:, 2, 1] == -1).all()
        assert (data["where"].sum(("y", "x")) == 5).all()
        assert abs(data["spins"][:, 3, 3].mean()) < 1
    tokens, where = (part[0] for part in read_given(one, ISING))
    every = all_configurations(tiny.SIZE, 2)
    allowed = every[(every[:, where] == tokens[where]).all(1)]
    log_p = -ISING.token_energy(allowed) / tiny.TEMPERATURE
    estimates = la.estimate(read_batches(out, 1000), ISING, tiny.TEMPERATURE)
    for name, exact in (
        ("log_z", log_p.logsumexp(0).item()),
        ("energy_per_site", (log_p.softmax(0) * ISING.token_energy(allowed)).sum().item() / 16),
    ):
        assert abs(estimates[name].value - exact) < 4 * estimates[name].error
        assert estimates[name].error < 0.02


def test_samples_with_sites_held_are_not_taken_for_free_ones(run, one, tmp_path):
    out = tmp_path / "s.h5"
    succeed("sample", run, "--given", one, "-o", out, "-n", "50")
    words = f"{out} holds configurations with sites held fixed (/where), which are no samples of the whole distribution"
    for path in (out, one):
        assert refusal("estimate", run, "-n", "200", "--data", path).startswith(words.replace(str(out), str(path)))
    assert refusal("train", *tiny.OPTIONS, "--data", out, "--out", tmp_path / "a").startswith(words)
    assert not (tmp_path / "a").exists()


def test_mistakes_are_one_line_and_make_no_file(run, given, data, tmp_path):
    np.save(tmp_path / "spins.npy", np.ones((5, 4, 4)))
    small = give(tmp_path / "small.h5", np.ones((1, 4, 6)), np.ones((4, 6)))
    for path, words in (
        (given, "gives 6 configurations: n must be a multiple of 6, got 100"),
        (data, "has no dataset /where, 1 at the sites to hold fixed and 0 elsewhere; add a mask of shape (4, 4)"),
        (tmp_path / "none.h5", "No such file or directory"),
        (tmp_path / "spins.npy", "is a .npy file, which cannot hold a mask /where: write HDF5 with /spins and /where"),
        (small, "must hold numbers of shape (n, 4, 4), got float64 (1, 4, 6)"),
    ):
        assert words in refusal("sample", run, "--given", path, "-n", "100", "-o", tmp_path / "s.h5")
    assert not (tmp_path / "s.h5").exists()
