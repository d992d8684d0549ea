"""The files, keys, datasets and columns that the page of file formats names are those that there are, all of them."""

import json
import re

import h5py
import pytest
from support import tiny
from support.examples import DOCS
from support.verbs import invoke

from latticear.exact.result import QUANTITIES

PAGE = (DOCS / "reference" / "files.md").read_text()
SIZE = f"{tiny.SIZE[0]}x{tiny.SIZE[1]}"

FEW = ["--set", "training.n_monte_carlo=200"]

SOMETIMES = {
    "couplings.h5",
    "measured/DIGEST.safetensors",
    "instances/DIGEST.json",
    "refined.json",
    *("minutes", "lookahead", "nll_held_out"),
    *("exact_error", "reliable", "tau_int", "unvaried_in", "fixed", "wanted", "reached", "labels", "thermal_error"),
    *("/tokens", "/states", "/condition", "/log_q_given", "/where", "/chains/ladder", "grid"),
    *("NAME_0", "NAME_1", "..."),
}
"""What a run has only where it was asked for."""


def named(after, column=0):
    """What stands in backquotes in the first column of the first table after a line of the page."""
    start = PAGE.index(f"\n{after}") + 1
    rows = re.search(r"(?:^\|.*\n)+", PAGE[start:], re.MULTILINE)[0].splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", re.split(r"(?<!\\)\|", row)[1 + column])}


def check(there, after):
    """All that is there is named, and what is named is there or marked as rare."""
    assert there - named(after) == set()
    assert named(after) - there - SOMETIMES == set()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    commands = [
        ["train", *tiny.OPTIONS, "--objective", "forward-reverse-kl", *FEW, "--out", folder / "run"],
        ["estimate", folder / "run", "-n", 500],
        ["report", folder / "run"],
        ["sample", folder / "run", "-n", 20, "-o", folder / "samples.h5"],
        ["mc", *tiny.OPTIONS[:4], "-n", 40, "-o", folder / "mc.h5"],
        ["scan", *tiny.OPTIONS, "-n", 100, "--out", folder / "scan"],
    ]
    for command in commands:
        code, _, stderr = invoke(*command)
        assert code == 0, stderr
    return folder


def test_files_of_a_run(folder):
    run = folder / "run"
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    files = {re.sub(r"step-\d+", "step-N", re.sub(r"^figures/.*", "figures/", file)) for file in files}
    check(files, "## A run")


def test_keys_of_its_json_files(folder):
    run = folder / "run"
    check(set(json.loads((run / "environment.json").read_text())), "### environment.json")
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    check({key for row in rows for key in row}, "### metrics.jsonl")
    content = json.loads((run / "estimates.json").read_text())
    quantities = {key: value for key, value in content.items() if isinstance(value, dict) and "value" in value}
    check({key for value in quantities.values() for key in value}, "| key of a quantity")
    check(content.keys() - quantities.keys(), "| key of the whole")
    text = PAGE[PAGE.index("\nEach quantity") : PAGE.index("| key of a quantity")]
    assert set(re.findall(r"`(\w+)`", text)) == set(quantities)
    of_diagnostics = re.search(r"\| `diagnostics` \|(.*)\n", PAGE)[1]
    assert set(re.findall(r"`(\w+)`", of_diagnostics)) <= content["diagnostics"].keys()


def test_datasets_and_attributes(folder):
    datasets, attributes = set(), set()
    for name in ("samples.h5", "mc.h5"):
        with h5py.File(folder / name) as h5:
            h5.visititems(lambda path, item: datasets.add(f"/{path}") if isinstance(item, h5py.Dataset) else None)
            attributes |= set(h5.attrs)
    check(datasets, "| dataset")
    check(attributes, "| attribute")


def test_files_and_columns_of_a_scan(folder):
    scan = folder / "scan"
    files = {str(path.relative_to(scan)) for path in scan.rglob("*") if path.is_file()}
    files = {re.sub(rf"^{SIZE}/T[^/]+/.*", "SIZE/TT/", file) for file in files}
    files = {re.sub(rf"{SIZE}-T[\d.]+\.json", "SIZE-TT.json", file) for file in files}
    check(files, "## A scan")
    assert json.loads((scan / "scan.json").read_text()).keys() - {"sha256"} == named_in("`scan.json`")
    columns = set((scan / "table.csv").read_text().splitlines()[0].split(","))
    pattern = "|".join(QUANTITIES)
    check({re.sub(rf"^({pattern})(?=_|$)", "NAME", name) for name in columns - {"size", "temperature"}}, "| column")
    with h5py.File(scan / "table.h5") as h5:
        assert columns | {"width"} == set(h5)


def named_in(row):
    """What stands in backquotes in the second column of a row."""
    cells = re.split(r"(?<!\\)\|", next(line for line in PAGE.splitlines() if line.startswith(f"| {row}")))
    return set(re.findall(r"`([^`]+)`", cells[2]))
