"""The tables of papers beside latticear: their arithmetic, the rows, and the command at a tiny size."""

import json
import math
import re
import runpy
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import latticear as la
from latticear.exact import enumerate_states

ROOT = Path(__file__).parents[1]
STUDY = runpy.run_path(str(ROOT / "benchmarks" / "published.py"))
TABLES = tomllib.loads((ROOT / "benchmarks" / "published.toml").read_text())
ROWS = STUDY["rows"](TABLES)
RESULTS = ROOT / "benchmarks" / "results" / "published_2cores_2026-11-30.txt"

GOLDEN = {0: 24.009678992569153, 3: 21.975518400222242}
GOLDEN_SUM = -42

TINY = """
[papers.tiny]
cite = "Nobody, Nowhere 1 (2000) 1"
read = "a table"
machine = "paper"

[rows.tiny]
paper = "tiny"
system = "Ising 3x3"
hamiltonian = { name = "ising", shape = [3, 3] }
betas = [0.4, 0.5]
models = [{ name = "tensor_network", bond_dimension = 8, n = 2000, check = 100 }]
figures = [
    { by = "one", quantity = "ess", value = 0.5, error = 0.1 },
    { by = "other", quantity = "energy_per_site", value = -1.0, error = 1e-9 },
    { quantity = "log_z" },
]
"""


def _values(quantity, value, error, off=0.0):
    return {"log_z": {"value": 1.0, "error": 0.1, "off": off}, quantity: {"value": value, "error": error}}


@pytest.mark.parametrize(
    ("quantity", "printed", "ours", "said"),
    [
        ("ess", (0.9, 0.01), (0.95, 0.01), "better"),  # five hundredths, twice the error of both is 0.028
        ("ess", (0.9, 0.01), (0.92, 0.01), "equal"),
        ("ess", (0.9, 0.01), (0.85, 0.01), "worse"),
        ("ess", (0.9, None), (0.901, 0.0001), "better"),
        ("energy_per_site", (-1.0, 0.02), (-1.1, 0.01), "better: error / 2"),
        ("energy_per_site", (-1.0, 0.0105), (-1.1, 0.01), "equal"),
        ("energy_per_site", (-1.0, 0.01), (-1.1, 0.02), "worse: error x 2"),
    ],
)
def test_who_is_better_follows_from_values_and_errors(quantity, printed, ours, said):
    figure = {"quantity": quantity, "value": printed[0]} | ({"error": printed[1]} if printed[1] else {})
    assert STUDY["compared"](figure, _values(quantity, *ours)) == said
    assert STUDY["compared"](figure, _values(quantity, *ours, off=4.5)) == "worse: wrong"


@pytest.mark.parametrize("name", ROWS)
def test_each_row_is_complete_and_its_figures_are_possible(name):
    row = ROWS[name]
    assert row["paper"] in TABLES["papers"]
    assert all(model["n"] >= 10_000 for model in row["models"])
    assert all({"bond_dimension", "steps"} & set(model) and model["name"] in la.MODELS for model in row["models"])
    assert "x".join(map(str, STUDY["section"](row)["shape"])) in row["system"]
    for figure in row.get("figures", []):
        assert figure["quantity"] in (*STUDY["QUANTITIES"], "ess")
        assert figure["quantity"] != "ess" or 0 < figure["value"] < 1


def test_printed_free_energies_agree_with_exact_ones():
    """In the convention of latticear, each printed value with an error lies within four errors of the exact one."""
    compared = 0
    for row in ROWS.values():
        for figure in row.get("figures", []):
            if figure["quantity"] in ("log_z", "free_energy_per_site") and "by" in figure:
                exact = la.kaufman(tuple(row["hamiltonian"]["shape"]), 1 / row["beta"])
                assert abs(figure["value"] - getattr(exact, figure["quantity"])) < 4 * figure["error"]
                compared += 1
    assert compared == 9


def test_the_potts_temperature_is_critical_for_an_energy_of_minus_one_a_pair_of_equal_states():
    assert ROWS["mdns-potts-100"]["beta"] == pytest.approx(math.log(1 + math.sqrt(3)), abs=1e-4)
    assert float(la.Potts((4, 4)).energy(la.Potts((4, 4)).states[np.zeros((1, 4, 4), int)])) == -32


def test_couplings_of_twobo():
    """Golden: ln Z at T = 1 of instances made with networkx 3.6.1, by another program; the sum of L = 24 besides."""
    for index, log_z in GOLDEN.items():
        system = la.EdwardsAnderson((4, 4), couplings=STUDY["twobo_couplings"](4, index).tolist())
        assert enumerate_states(system, 1.0).log_z == pytest.approx(log_z, rel=1e-12)
    assert int(STUDY["twobo_couplings"](24, 9).sum()) == GOLDEN_SUM
    with pytest.raises(ValueError, match="no instances of size 5"):
        STUDY["twobo_couplings"](5, 0)


def _run(monkeypatch, capsys, *options):
    monkeypatch.setattr(sys, "argv", ["published.py", *map(str, options)])
    monkeypatch.setattr("torch.set_num_threads", lambda n: None)
    monkeypatch.setitem(STUDY["main"].__globals__, "warm_up", lambda: None)
    STUDY["main"]()
    return capsys.readouterr()


def test_the_command_stores_each_line_and_goes_on(tmp_path, monkeypatch, capsys):
    tables, store = tmp_path / "tables.toml", tmp_path / "store.jsonl"
    tables.write_text(TINY)
    common = ("--tables", tables, "--store", store)
    out = _run(monkeypatch, capsys, *common, "--only", "tiny-0.4").out
    *text, last = out.splitlines()
    (line,) = json.loads(last)["rows"]
    assert line["values"]["ess"]["value"] > 0.99
    assert abs(line["values"]["log_z"]["off"]) < 4
    assert any(re.search(r"ess \| 0\.50\(10\) one \| - \| .* \| better \|", each) for each in text)
    assert any(re.search(r"energy_per_site \| .* other \| .* worse: error x ", each) for each in text)
    assert any(re.search(r"log_z \| not read \| [\d.]+ \| ", each) for each in text)
    assert len(store.read_text().splitlines()) == 1
    listed = _run(monkeypatch, capsys, *common, "--list").out.splitlines()
    assert [each.endswith("stored") for each in listed] == [True, False]
    *_, missing, last = _run(monkeypatch, capsys, *common, "--stored").out.splitlines()
    assert missing == "not measured: tiny-0.5 tensor_network chi 8"
    assert len(json.loads(last)["rows"]) == 1
    assert len(json.loads(_run(monkeypatch, capsys, *common).out.splitlines()[-1])["rows"]) == 2
    _run(monkeypatch, capsys, *common, "--again", "--only", "tiny-0.5")
    assert len(store.read_text().splitlines()) == 3
    assert len(json.loads(_run(monkeypatch, capsys, *common).out.splitlines()[-1])["rows"]) == 2
    with pytest.raises(SystemExit):
        _run(monkeypatch, capsys, *common, "--only", "huge")
    assert "no row contains huge" in capsys.readouterr().err


def test_each_line_of_the_tables_in_the_documentation_stands_in_the_results():
    results = set(RESULTS.read_text().splitlines())
    lines = [line for line in (ROOT / "docs" / "published.md").read_text().splitlines() if line.startswith("|")]
    assert len(lines) > 50
    assert [line for line in lines if line not in results] == []
