"""Files of configurations other than HDF5: what is in them, and that none is there half."""

import json
import signal

import numpy as np
import pytest
import torch
from support.verbs import refusal, succeed

import latticear as la
from latticear.data.exports import writer_for
from latticear.runs.directory import load_model

PHI4 = la.Phi4((2, 3), levels=4)
PARTS = la.Components(la.AshkinTeller((2, 3)))


@pytest.mark.parametrize(
    "space", [la.Ising((2, 3)), PHI4, PARTS, la.Grid((2, 3), 5)], ids=lambda space: type(space).__name__
)
def test_every_ending_holds_the_same_configurations(tmp_path, space):
    tokens = torch.randint(space.n_tokens, (7, *space.size), dtype=torch.uint8)
    log_q, energy = torch.rand(7, dtype=torch.float64), space.token_energy(tokens)
    spins = space.spins(tokens).numpy()
    for ending in ("npy", "npz", "csv"):
        with writer_for(tmp_path / f"s.{ending}", space, attributes={"seed": 0}) as writer:
            for rows in (slice(0, 3), slice(3, 7)):
                part = None if energy is None else energy[rows]
                writer.write(la.Samples(tokens[rows], log_q[rows], 0), part)
        known = ["log_q"] if energy is None else ["log_q", "energy"]
        assert (writer.n_written, writer.left_out) == (7, "" if ending == "npz" else " and ".join(known))
    found = np.load(tmp_path / "s.npy")
    np.testing.assert_array_equal(found, spins)
    assert found.dtype == (np.float64 if space is PHI4 else np.int8)
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "s.csv", delimiter=","), spins.reshape(7, -1))
    with np.load(tmp_path / "s.npz") as archive:
        assert sorted(archive) == sorted(["spins", *known])
        np.testing.assert_array_equal(archive["spins"], spins)
        np.testing.assert_array_equal(archive["log_q"], log_q)
        if energy is not None:
            np.testing.assert_array_equal(archive["energy"], energy)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "s.csv",
        "s.csv.sha256",
        "s.npy",
        "s.npy.sha256",
        "s.npz",
    ]


@pytest.mark.parametrize("ending", ["npy", "npz", "csv"])
def test_what_goes_wrong_leaves_no_file(tmp_path, ending):
    ising, path = la.Ising((2, 2)), tmp_path / f"s.{ending}"
    samples = la.Samples(torch.zeros(3, 2, 2, dtype=torch.uint8), None, 0)
    for error, message in (
        (ValueError("wrong"), "wrong"),
        (KeyboardInterrupt(), rf"s\.partial\.{ending} holds the 3 configurations drawn so far"),
    ):
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(type(error), match=message):
            _interrupted(path, ising, error, samples)
    digests = [f"s.partial.{ending}.sha256"] if ending != "npz" else []
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"s.partial.{ending}", *digests]
    with pytest.raises(KeyboardInterrupt, match="nothing was written to"):
        _interrupted(path, ising, KeyboardInterrupt())
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"s.partial.{ending}", *digests]


def _interrupted(path, space, error, *batches):
    with writer_for(path, space) as writer:
        for batch in batches:
            writer.write(batch)
        raise error


def _configurations(path):
    return np.loadtxt(path, delimiter=",").reshape(-1, 4, 4) if path.suffix == ".csv" else np.load(path)


@pytest.mark.parametrize("ending", ["npy", "csv"])
def test_samples_of_a_run(run, tmp_path, ending):
    out = tmp_path / f"s.{ending}"
    lines = succeed("sample", run, "-n", "1500", "-o", out).splitlines()
    assert lines == [f"{out} has no place for log_q and energy: a .npz or .h5 file has", f"{out}: 1500 configurations"]
    np.testing.assert_array_equal(_configurations(out), 2.0 * load_model(run).sample(1500).tokens.numpy() - 1)
    assert refusal("sample", run, "-o", out) == f"{out} already exists; name another file"


def test_an_archive_has_everything(run, tmp_path):
    out = tmp_path / "s.npz"
    assert succeed("sample", run, "-n", "50", "-o", out) == f"{out}: 50 configurations\n"
    with np.load(out) as archive:
        np.testing.assert_array_equal(archive["log_q"], load_model(run).sample(50).log_q)


@pytest.mark.parametrize("method", [None, "population-annealing"])
def test_monte_carlo(tmp_path, method):
    options = () if method is None else ("--method", method)
    system = ("mc", "--size", "4", "--temperature", "1.5", "-n", "200", *options)
    lines = succeed(*system, "-o", tmp_path / "m.npy").splitlines()
    said = "method: swendsen-wang, since nothing is frustrated and clusters can be flipped"
    assert (said in lines) == (method is None)
    assert f"{tmp_path / 'm.npy'} has no place for energy: a .npz or .h5 file has" in lines
    succeed(*system, "-o", tmp_path / "m.h5")
    stored = 2.0 * la.load_configurations(tmp_path / "m.h5", la.Ising((4, 4))).numpy() - 1
    np.testing.assert_array_equal(np.load(tmp_path / "m.npy"), stored)


def test_what_a_file_cannot_be(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ending = "the ending of {} must say what to write, one of .h5, .hdf5, .npy, .npz, .csv; got {!r}"
    for name, suffix in (("s.txt", ".txt"), ("s", ""), ("s.nc", ".nc")):
        assert refusal("sample", run, "-o", name) == ending.format(name, suffix)
        assert refusal("mc", "--size", "4", "-o", name) == ending.format(name, suffix)
    line = refusal("sample", run, "-o", "s.npy", "--append")
    assert line == "--append continues an HDF5 file, got s.npy: write .h5, or leave --append out"
    line = refusal("sample", run, "-o", "s.csv", "--given", "given.h5")
    assert line == "s.csv cannot hold which sites were held fixed (/where): write .h5 or .npz"
    assert refusal("mc", "--size", "4", "-o", "no/s.npy") == "no/s.npy cannot be made: No such file or directory"
    assert list(tmp_path.iterdir()) == []


def test_a_signal_keeps_what_was_drawn_under_another_name(server, copy, tmp_path):
    words = ("sample", "copy", "-n", "1e6", "-o", "s.npy")
    done = server.run(tmp_path, *words, once=".s.npy.new", number=signal.SIGINT)
    assert done.code == 130
    kept = np.load(tmp_path / "s.partial.npy")
    assert done.stdout == f"interrupted: s.partial.npy holds the {len(kept)} configurations drawn so far\n"
    assert not (tmp_path / "s.npy").exists()
    expected = load_model(copy).sample(len(kept)).tokens.numpy()
    np.testing.assert_array_equal(kept, 2 * expected.astype(np.int8) - 1)


def test_a_full_disk_is_one_line_and_no_file(server, copy, tmp_path):
    done = server.run(tmp_path, "sample", "copy", "-n", "1e5", "-o", "s.npz", max_bytes=100_000)
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith("error: writing s.npz failed (File too large); nothing is kept")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.glob("*s.*")) == []


def test_json_stays_alone_on_standard_output(server, tmp_path):
    done = server.run(tmp_path, "mc", "--size", "4", "-n", "200", "-o", "m.csv", "--json")
    assert json.loads(done.stdout)["energy_per_site"]["value"] < 0
    assert done.stderr.splitlines()[0].startswith("method: swendsen-wang, since")
