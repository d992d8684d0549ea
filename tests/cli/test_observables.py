"""`--observable` of `estimate` and `mc`: names, what is written, and wrong ones."""

import csv
import json

import pytest
from support.verbs import invoke, refusal, succeed

import latticear as la

ASKED = ("--observable", "structure_factor,correlation_length", "--observable", "heat_capacity_slope")
NAMES = ["structure_factor", "correlation_length", "heat_capacity_slope"]


def test_of_a_run(copy, tmp_path):
    content = json.loads(succeed("estimate", copy, "-n", "300", *ASKED, "--json", "--csv", tmp_path / "a.csv"))
    assert set(NAMES) <= set(content)
    stored = la.load_run(copy).estimates
    assert stored["structure_factor"].labels["ky"].tolist() == content["structure_factor"]["labels"]["ky"]
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    shown = [float(row["value"]) for row in rows if row["quantity"] == "structure_factor"]
    assert shown == content["structure_factor"]["value"]
    chains = json.loads(succeed("estimate", copy, "-n", "300", "--method", "mcmc", *ASKED, "--json"))
    assert set(NAMES) <= set(chains)


def test_of_monte_carlo_and_of_its_file(tmp_path):
    file = tmp_path / "chains.h5"
    code, stdout, stderr = invoke("mc", "--size", "2x4", "-n", "400", "-o", file, *ASKED, "--json")
    assert code == 0, stderr
    of_mc = json.loads(stdout)
    of_file = json.loads(succeed("estimate", file, *ASKED, "--json"))
    for name in NAMES:
        assert of_file[name]["value"] == pytest.approx(of_mc[name]["value"], rel=1e-12)


def test_wrong_names(copy, tmp_path):
    message = refusal("estimate", copy, "--observable", "structure_facto")
    assert "did you mean 'structure_factor'?" in message
    assert all(name in message for name in la.OBSERVABLES)
    open_boundary = ("mc", "--size", "4", "--set", "hamiltonian.periodic=false", "-o", tmp_path / "a.h5")
    assert "needs a periodic boundary" in refusal(*open_boundary, "--observable", "correlation_length")
    assert not (tmp_path / "a.h5").exists()
