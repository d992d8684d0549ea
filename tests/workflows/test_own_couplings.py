"""Runs with couplings from a file: they keep a copy, notice every change, and need the file no more."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from support import tiny
from support.verbs import refusal, succeed

import latticear as la
from latticear.runs.config import load_config, parse_config
from latticear.runs.directory import RunDirectory

GLASSES = la.EdwardsAndersonDisorder((4, 4), "gaussian", seed=7).draw(3)
SYSTEM = ["hamiltonian.name=edwards_anderson", "hamiltonian.couplings=glasses.h5", "hamiltonian.index=2"]
SETS = [word for key in (*SYSTEM, *tiny.SETS) for word in ("--set", key)]
WORDS = ["--size", "4", "--temperature", "1", *SETS]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _write("glasses.h5", GLASSES)
    return tmp_path


def _write(path: str | Path, values: torch.Tensor) -> None:
    with h5py.File(path, "w") as h5:
        h5["couplings"] = values.numpy()


def _system(path: str) -> la.EdwardsAnderson:
    return load_config(RunDirectory(path).config_path).target.system


def test_a_run_has_its_couplings_and_needs_the_file_no_more(folder):
    succeed("train", *WORDS, "--out", "whole")
    assert torch.equal(_system("whole").couplings, GLASSES[2])
    section = (folder / "whole" / "run.toml").read_text()
    assert 'couplings = "couplings.h5"' in section
    assert "index" not in section
    record = json.loads((folder / "whole" / "environment.json").read_text())["couplings"]
    assert record["file"] == str(folder / "glasses.h5")
    assert f'couplings_digest = "{record["digest"]}"' in section

    shutil.copytree("whole", "elsewhere/half")
    shutil.rmtree("elsewhere/half/checkpoints/step-12")
    (folder / "glasses.h5").unlink()
    succeed("train", "--out", "elsewhere/half", "--resume")
    assert tiny.content(folder / "elsewhere" / "half") == tiny.content(folder / "whole")
    shutil.rmtree("whole")
    found = json.loads(succeed("estimate", "elsewhere/half", "-n", "500", "--json"))
    exact = la.exact_result(la.EdwardsAnderson((4, 4), GLASSES[2].tolist()), 1.0)
    assert found["log_z"]["exact"] == pytest.approx(exact.log_z, rel=1e-12)


def test_a_file_that_has_changed_is_refused_in_one_line(folder):
    succeed("train", *WORDS, "--out", "a")
    _write("other.h5", GLASSES[1])
    np.save("same.npy", GLASSES[2])
    same = ["train", "--out", "a", "--resume", "--set", "hamiltonian.couplings=same.npy"]
    assert "finished: a" in succeed(*same)
    for words in (["other.h5"], ["glasses.h5", "--set", "hamiltonian.index=0"]):
        line = refusal(*same[:-1], f"hamiltonian.couplings={words[0]}", *words[1:])
        assert "--resume continues a run as it was: hamiltonian.couplings_digest is" in line
    line = refusal("train", "--out", "a", "--resume", "--set", "hamiltonian.couplings=[[[1]]]")
    assert len(line) < 400

    _write("a/couplings.h5", GLASSES[0])
    for words in (
        ["estimate", "a"],
        ["train", "--out", "a", "--resume"],
        ["report", "a"],
        ["sample", "a", "-o", "s.h5"],
    ):
        assert "a/couplings.h5 has changed: its couplings have the digest" in refusal(*words)
    (folder / "a" / "couplings.h5").unlink()
    assert refusal("estimate", "a", "-n", "100").endswith("a/couplings.h5: No such file or directory")


def test_the_config_of_a_run_begins_others(folder):
    succeed("train", *WORDS, "--out", "a")
    (folder / "glasses.h5").unlink()
    _write("other.h5", GLASSES[1])
    succeed("train", "--from", "a", "--temperature", "0.9", "--out", "b")
    succeed("train", "a/run.toml", "--out", "c")
    succeed("train", "a/run.toml", "--set", "hamiltonian.couplings=other.h5", "--out", "d")
    assert all(torch.equal(_system(path).couplings, GLASSES[2]) for path in "bc")
    assert torch.equal(_system("d").couplings, GLASSES[1])
    config = load_config("a/run.toml")
    assert parse_config(config.to_dict()) == config


def test_a_file_lies_beside_its_config(folder):
    (folder / "configs").mkdir()
    shutil.move("glasses.h5", "configs/glasses.h5")
    lines = ['hamiltonian.name = "edwards_anderson"', "hamiltonian.shape = [4, 4]", "hamiltonian.index = 1"]
    Path("configs/a.toml").write_text("\n".join([*lines, 'hamiltonian.couplings = "glasses.h5"']), encoding="utf-8")
    _write("glasses.h5", GLASSES.flip(0) + 1)
    assert torch.equal(load_config("configs/a.toml").target.system.couplings, GLASSES[1])
    shutil.move("configs/glasses.h5", "glasses.h5")
    assert torch.equal(load_config("configs/a.toml").target.system.couplings, GLASSES[1])
    (folder / "glasses.h5").unlink()
    with pytest.raises(FileNotFoundError, match=r"configs/glasses\.h5"):
        load_config("configs/a.toml")


def test_a_scan_and_a_comparison_go_on_when_the_file_has_moved(folder):
    points = ["scan", *WORDS[:2], "--temperature", "1,2", *SETS, "-n", "100", "--out", "scan"]
    succeed(*points)
    shutil.move("glasses.h5", "moved.h5")
    moved = [word.replace("glasses.h5", "moved.h5") for word in points]
    shutil.rmtree("scan/4x4/T1")
    for name in ("points/4x4-T1.json", "table.csv"):
        (folder / "scan" / name).unlink()
    succeed(*moved, "--resume")
    _write("moved.h5", GLASSES.flip(0))
    assert "couplings_digest is" in refusal(*moved, "--resume")
    Path("a.toml").write_text("", encoding="utf-8")
    words = ["compare", "a.toml", *WORDS, "--minutes", "0.001", "-n", "100"]
    words = [word.replace("glasses.h5", "moved.h5") for word in words]
    succeed(*words)
    assert torch.equal(_system("runs/compare/a").couplings, GLASSES[0])


@pytest.mark.parametrize(
    ("system", "words"),
    [
        ("sherrington_kirkpatrick", ("--size", "2x3")),
        ("pair", ("--size", "2x3", "--set", "hamiltonian.periodic=false")),
    ],
)
def test_a_matrix_and_a_list_of_bonds(folder, system, words):
    glass = la.SherringtonKirkpatrick((2, 3), seed=5)
    i, j = glass.bonds.T
    rows = torch.stack([i, j, glass.matrix[i, j]], dim=1)
    np.savetxt("list.txt", rows)
    np.save("matrix.npy", glass.matrix + glass.matrix.T)
    for file in ("list.txt", "matrix.npy"):
        sets = ("--set", f"hamiltonian.couplings={file}")
        found = json.loads(succeed("exact", "--hamiltonian", system, *words, "--temperature", 1, *sets, "--json"))
        assert found["log_z"] == pytest.approx(la.exact_result(glass, 1.0).log_z, rel=1e-12)
    made = ["--model", "made", "--steps", 4, "--set", "training.batch_size=16", *sets]
    succeed("train", "--hamiltonian", system, *words, "--temperature", 1, *made, "--out", system)
    Path("matrix.npy").unlink()
    content = json.loads(succeed("estimate", system, "-n", "100", "--json"))
    assert content["log_z"]["exact"] == pytest.approx(found["log_z"], rel=1e-12)


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (["name=ising"], "hamiltonian.couplings is a file for edwards_anderson, sherrington_kirkpatrick, pair, got"),
        (["name=edwards_anderson_disorder"], "its runs take couplings by --instance"),
        (["name=edwards_anderson"], "glasses.h5 holds 3 instances: choose one by hamiltonian.index = 0..2"),
        (["name=edwards_anderson", "index=3"], "glasses.h5 holds instances 0..2, got 3"),
        (["name=edwards_anderson", "index=x"], "hamiltonian.index must be a whole number, got 'x'"),
        (["name=edwards_anderson", "index=1", "couplings_digest=1"], "hamiltonian.couplings_digest must be a text"),
        (["name=edwards_anderson", "index=1", "couplings_digest=abc"], "this config was made for abc"),
        (["name=edwards_anderson", "couplings=none.npy"], "none.npy: No such file or directory"),
        (
            ["name=edwards_anderson", "shape=[5,5]"],
            "must hold numbers of shape (2, 5, 5) or (n, 2, 5, 5), or a",
        ),
        (["name=pair"], "couplings must be a list of bonds i, j, J, shape (n, 3), or a matrix (16, 16), got"),
        (["name=pair", "index=1"], "the bonds of a pair Hamiltonian are one instance, got index 1"),
        (["name=pair", "couplings=list.txt", "bonds=[[0,1]]"], "has bonds, and hamiltonian.bonds is given besides"),
        (["name=pair", "couplings=twice.txt"], "twice, as (0, 1) in row 1 and as (1, 0) in row 2"),
        (["name=pair", "couplings=1.0", "bonds=[[0,1],[1,0]]"], "each pair of sites once, got (0, 1) and (1, 0)"),
    ],
)
def test_what_is_no_file_of_couplings(folder, sets, words):
    Path("list.txt").write_text("0 1 1.0\n", encoding="utf-8")
    Path("twice.txt").write_text("0 1 1.0\n1 0 1.0\n", encoding="utf-8")
    settings = ["couplings=glasses.h5", *sets]
    options = [word for setting in settings for word in ("--set", f"hamiltonian.{setting}")]
    assert words in refusal("exact", "--size", 4, "--temperature", 1, *options)


def test_a_coupling_for_each_bond_of_the_lattice(folder):
    lattice = la.Lattice((3, 3))
    np.save("bonds.npy", np.arange(18.0))
    sets = ["hamiltonian.name=pair", "hamiltonian.shape=[3, 3]", "hamiltonian.couplings=bonds.npy"]
    system = load_config(None, sets).target.system
    assert torch.equal(system.bonds, lattice.bonds)
    assert torch.equal(system.bond_energies[:, 0, 1], torch.arange(18.0, dtype=torch.float64))
