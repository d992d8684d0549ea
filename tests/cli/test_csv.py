"""`latticear estimate --csv FILE`: the numbers that are printed, as rows of a new file."""

import csv
import json

import pytest
from support.verbs import invoke, refusal, succeed


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_several_temperatures_in_one_file(copy, tmp_path):
    words = ("estimate", copy, "-n", "200", "--temperature", "2.2", "2.4")
    content = json.loads(succeed(*words, "--json", "--csv", tmp_path / "a.csv"))
    rows = rows_of(tmp_path / "a.csv")
    for estimates in content["estimates"]:
        found = {
            row["quantity"]: row
            for row in rows
            if float(row["temperature"]) == estimates["temperature"] and not row["index"]
        }
        for name, row in found.items():
            assert float(row["value"]) == estimates[name]["value"]
            assert row["verdict"] == estimates[name]["verdict"]
            assert float(row["exact"] or "nan") == pytest.approx(
                estimates[name].get("exact", float("nan")), nan_ok=True
            )
    series = [float(row["value"]) for row in rows if row["quantity"] == "correlation"]
    assert series == [value for estimates in content["estimates"] for value in estimates["correlation"]["value"]]
    assert "already exists; name another file" in refusal(*words, "--csv", tmp_path / "a.csv")
    assert rows_of(tmp_path / "a.csv") == rows
    assert "there is no folder" in refusal(*words, "--csv", tmp_path / "none" / "a.csv")


def test_nothing_is_lost_if_nobody_reads_what_is_printed(copy, tmp_path, monkeypatch):
    """As in `latticear estimate RUN --csv FILE | head -1`: the files are there before anything is printed."""

    def closed(*_):
        raise BrokenPipeError

    monkeypatch.setattr("latticear.cli.estimate.print_estimates", closed)
    (copy / "estimates.json").unlink(missing_ok=True)
    invoke("estimate", copy, "-n", "200", "--csv", tmp_path / "a.csv")
    assert rows_of(tmp_path / "a.csv")
    assert (copy / "estimates.json").exists()


@pytest.mark.filterwarnings("ignore::latticear.data.loading.ConversionNote")
def test_chains_of_a_file(data, tmp_path):
    code, _, stderr = invoke(
        "estimate", data, "--size", "4", "--temperature", "2.269", "--csv", tmp_path / "a.csv", "--json"
    )
    assert code == 0, stderr
    rows = rows_of(tmp_path / "a.csv")
    assert {"energy_per_site", "abs_magnetization"} <= {row["quantity"] for row in rows}
    assert {row["temperature"] for row in rows} == {"2.269"}
