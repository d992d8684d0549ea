"""Configurations of other programs on the command line."""

import json

import h5py
import numpy as np
import pytest
from support import tiny
from support.verbs import invoke, succeed

import latticear as la
from latticear.runs.config import load_config
from latticear.runs.directory import RunDirectory


@pytest.fixture
def spins(data):
    return la.Ising(tiny.SIZE).spins(la.load_configurations(data, la.Ising(tiny.SIZE))).numpy()


def _metrics(run):
    return [(row["loss"], row.get("nll_held_out")) for row in RunDirectory(run).metrics()]


def test_one_data_set_in_many_forms_trains_the_same_network(tmp_path, data, spins):
    np.savetxt(tmp_path / "a.csv", spins.reshape(-1, 16), fmt="%d", delimiter=",")
    with h5py.File(tmp_path / "b.h5", "w") as h5:
        h5["run1/magnets"], h5["run2/magnets"] = 7 * spins, spins
    forms = {
        "ours": (["--data", data], ""),
        "text": (
            ["--data", tmp_path / "a.csv"],
            "400 configurations: shape (400, 16) as (n, H*W), values -1, 1 as spins",
        ),
        "named": (
            ["--data", tmp_path / "b.h5", "--dataset", "run1/magnets", "--set", "data.values={-7 = 0, 7 = 1}"],
            "400 configurations: dataset run1/magnets, values -7, 7 as tokens 0, 1",
        ),
    }
    for name, (options, note) in forms.items():
        code, _, stderr = invoke("train", *tiny.OPTIONS, *options, "--out", tmp_path / name)
        assert code == 0
        assert stderr == (f"note: {options[1]}: {note}\n" if note else "")
        assert _metrics(tmp_path / name) == _metrics(tmp_path / "ours")
    assert load_config(tmp_path / "named" / "run.toml").data == {
        "dataset": "run1/magnets",
        "values": {"-7": 0, "7": 1},
    }
    assert "[data]" not in (tmp_path / "text" / "run.toml").read_text()
    code, _, stderr = invoke("train", "--out", tmp_path / "named", "--resume")
    assert (code, stderr.count("note: ")) == (0, 1)

    expected = json.loads(succeed("estimate", tmp_path / "ours", "-n", "100", "--data", data, "--json"))
    code, stdout, stderr = invoke("estimate", tmp_path / "ours", "-n", "100", "--data", tmp_path / "a.csv", "--json")
    assert json.loads(stdout)["forward_ess"]["value"] == expected["forward_ess"]["value"]
    assert stderr.startswith("note: ")
    found = json.loads(invoke("estimate", tmp_path / "named", "-n", "100", "--data", tmp_path / "b.h5", "--json")[1])
    assert found["forward_ess"]["value"] == expected["forward_ess"]["value"]


def test_a_grid_takes_the_same_section(tmp_path, spins):
    np.savez(tmp_path / "a.npz", x=7 * spins.reshape(400, 4, 4, 1), y=spins)
    options = ["--set", "model.width=8", "--set", "training.steps=4", "--set", "training.batch_size=8"]
    reading = ["--dataset", "x", "--set", "data.values={-7 = 1, 7 = 0}"]
    for more in ([], ["--size", "4"]):
        out = tmp_path / f"run{len(more)}"
        data = ["--data", tmp_path / "a.npz", "--levels", "2"]
        code, _, stderr = invoke("train", *data, *reading, *more, *options, "--out", out)
        assert (code, stderr.count("note: ")) == (0, 1)
        assert load_config(out / "run.toml").space["shape"] == (4, 4)
        assert json.loads(invoke("estimate", out, "--json")[1])["n"] == 40


def test_info_lists_what_any_file_holds(tmp_path, spins):
    with h5py.File(tmp_path / "a.h5", "w") as h5:
        h5["run1/spins"], h5["run2/spins"] = spins, spins
        h5["energy"] = np.zeros(400)
        h5.attrs["made_by"] = "someone"
    np.savetxt(tmp_path / "b.txt", spins.reshape(-1, 16))
    np.savez(tmp_path / "c.npz", x=np.zeros(3))
    found = json.loads(succeed("info", tmp_path / "a.h5", "--json"))
    assert found["datasets"]["run1/spins"] == {"shape": [400, 4, 4], "dtype": "float64"}
    assert found["attributes"] == {"made_by": "someone"}
    assert "choose one of the arrays run1/spins (400, 4, 4), run2/spins (400, 4, 4)" in found["problem"]
    text = json.loads(succeed("info", tmp_path / "b.txt", "--json"))
    assert (text["n_samples"], text["shape"], "problem" in text) == (400, [16], False)
    lacking = json.loads(succeed("info", tmp_path / "c.npz", "--json"))
    assert lacking["datasets"] == {"x": {"shape": [3], "dtype": "float64"}}
    assert "must have a dataset /spins" in lacking["problem"]
