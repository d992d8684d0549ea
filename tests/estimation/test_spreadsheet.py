"""Estimates as CSV: a row for each number, at every temperature."""

import csv
import math

import numpy as np
import pytest

from latticear.estimation.estimates import Estimates
from latticear.estimation.quantity import Estimate
from latticear.estimation.spreadsheet import COLUMNS, check_new, csv_of, csv_of_likelihood


def rows_of(content):
    return list(csv.DictReader(content.decode().splitlines()))


def estimates(temperature=2.0):
    values = {
        "log_z": Estimate(1.25, 0.5, 100, 0.9, exact=1.0),
        "pairs": Estimate(np.array([[0.1, 0.2], [0.3, 0.4]]), np.full((2, 2), 0.01), 90, 0.9),
        "lost": Estimate(math.nan, math.nan, 100, 0.9),
    }
    return Estimates(values, temperature=temperature, n=100, diagnostics={})


def test_a_row_for_each_number():
    rows = rows_of(csv_of([estimates(), estimates(2.5)]))
    assert tuple(rows[0]) == COLUMNS
    assert [row["temperature"] for row in rows] == ["2.0"] * 6 + ["2.5"] * 6
    assert rows[0] | {"verdict": ""} == dict(
        zip(COLUMNS, ("2.0", "log_z", "", "1.25", "0.5", "1.0", "0.5", "", "100"), strict=True)
    )
    assert rows[0]["verdict"] == str(estimates()["log_z"].verdict)
    assert [(row["index"], float(row["value"])) for row in rows[1:5]] == [
        ("0 0", 0.1),
        ("0 1", 0.2),
        ("1 0", 0.3),
        ("1 1", 0.4),
    ]
    assert rows[1]["n"] == "90"
    assert (rows[5]["value"], rows[5]["error"], rows[5]["exact"]) == ("", "", "")


def test_a_likelihood_has_no_temperature():
    (row,) = rows_of(
        csv_of_likelihood({"nll": {"value": 1.5, "error": 0.25}, "n": 7, "data": "a.h5", "held_out": True})
    )
    assert (row["quantity"], row["value"], row["error"], row["n"]) == ("nll", "1.5", "0.25", "7")
    assert row["temperature"] == row["verdict"] == ""


def test_only_a_new_file_in_a_folder(tmp_path):
    check_new(tmp_path / "a.csv")
    (tmp_path / "a.csv").touch()
    with pytest.raises(FileExistsError, match="already exists; name another file"):
        check_new(tmp_path / "a.csv")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        check_new(tmp_path / "none" / "a.csv")
