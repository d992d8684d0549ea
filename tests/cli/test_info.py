"""`latticear info`: at most twenty lines that a person reads, whatever there is; all of it with --json."""

import json
import shutil
from pathlib import Path

import h5py
import pytest
from support import tiny
from support.verbs import succeed

from latticear.cli.summary import MOST, file_lines, run_lines
from latticear.estimation.estimates import with_error
from latticear.runs.directory import RunDirectory
from latticear.workflows import describe, save_estimates


def _lines(*words) -> list[str]:
    lines = succeed("info", *words).splitlines()
    assert len(lines) <= MOST
    assert all(len(line) <= 140 and not line.endswith(" ") for line in lines)
    return lines


def _row(lines: list[str], label: str) -> str:
    (line,) = (line for line in lines if line.startswith(f"  {label} "))
    return line.removeprefix(f"  {label} ").strip()


def test_a_run_before_and_after_its_estimates(copy):
    lines = _lines(copy)
    described = describe(copy)
    assert lines[0] == f"{copy}: ising 4x4, periodic, T = {tiny.TEMPERATURE}"
    assert _row(lines, "network") == f"pixelcnn, {described['n_parameters']:,} parameters, width 8, depth 2"
    assert _row(lines, "training") == "reverse-kl, batch of 32, learning rate 0.003, seed 0"
    assert _row(lines, "progress").startswith(f"step {tiny.STEPS} of {tiny.STEPS}, ")
    last = described["last_step"]
    bound = with_error(last["free_energy_per_site"], last["free_energy_error"])
    assert f"F/N <= {bound} (a variational bound), ESS {last['ess']:.3f}" == _row(lines, "last batch")
    assert "thread" in _row(lines, "made by")
    assert _row(lines, "next") == f"latticear estimate {copy}"
    save_estimates(copy, tiny.estimated(copy, 80), seed=0)  # too few, whatever the weights
    stored = json.loads((copy / "estimates.json").read_text())
    lines = _lines(copy)
    assert _row(lines, "estimates") == "n = 80: not trusted"
    shown = dict(line.split(maxsplit=1) for line in lines if line.startswith("    "))
    for name in ("free_energy_per_site", "abs_magnetization", "susceptibility"):
        entry = stored[name]
        assert shown[name] == f"{with_error(entry['value'], entry['error'])}, exact {entry['exact']:.8g}"
    assert _row(lines, "next") == f"latticear report {copy}"


def test_an_interrupted_run_says_how_to_go_on(copy):
    run = RunDirectory(copy)
    kept = run.read_json("environment.json")
    del kept["finished"], kept["seconds"]
    run.write_json("environment.json", kept)
    shutil.rmtree(copy / "checkpoints")
    metrics = (copy / "metrics.jsonl").read_text().splitlines()
    (copy / "metrics.jsonl").write_text("\n".join(metrics[:5]) + "\n")
    lines = _lines(copy)
    assert _row(lines, "progress").startswith(f"step 5 of {tiny.STEPS}, ")
    assert " so far, begun " in _row(lines, "progress")
    assert _row(lines, "next") == f"latticear train --out {copy} --resume"
    (copy / "metrics.jsonl").write_text("")
    assert _row(_lines(copy), "progress") == f"step 0 of {tiny.STEPS}, not begun"


def test_json_has_all_and_lines_have_what_a_person_reads(data):
    assert json.loads(succeed("info", data, "--json")) == describe(data)
    lines = _lines(data)
    assert lines[0] == f"{data}: 400 configurations of 4x4"
    assert _row(lines, "system") == "ising 4x4, periodic"
    assert any(line.split() == ["dataset", "spins:", "400x4x4", "int8"] for line in lines)
    assert _row(lines, "temperature") == str(tiny.TEMPERATURE)


def test_a_file_of_many_attributes_is_cut(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as h5:
        h5["spins"] = [[[1, -1], [1, 1]]]
        h5.attrs["note"] = "a long text\nof two lines " * 20
        for k in range(30):
            h5.attrs[f"number {k}"] = k
    lines = _lines(tmp_path / "a.h5")
    assert len(lines) == MOST
    assert _row(lines, "note").endswith(" ...")
    assert lines[-1] == "  and 14 more lines: --json shows all"


def test_keys_that_are_new_are_shown_too():
    lines = file_lines(Path("a.h5"), {"datasets": {"a": "something else"}, "layout": {"n": 3}, "attributes": {}})
    assert lines == ["a.h5", "  dataset  a: something else", "  layout   n 3"]


@pytest.mark.parametrize("n", [1, 30])
def test_a_range_has_a_line_for_each_temperature(n):
    point = {"temperature": 2.5, "reliable": False}
    point |= {name: {"value": -1.0, "error": 0.1} for name in ("free_energy_per_site", "ess")}
    content = {
        "config": {
            "temperature": (1.5, 3.5),
            "seed": 0,
            "hamiltonian": {"name": "ising", "shape": (8, 8), "periodic": (True, False), "field": 0.3},
            "model": {"name": "pixelcnn"},
            "training": {"objective": "reverse-kl", "batch_size": 16, "learning_rate": 0.01, "steps": 5},
        },
        "last_step": None,
        "estimates": {"estimates": [point] * n},
    }
    lines = run_lines(Path("a"), content)
    assert lines[0] == "a: ising 8x8, periodic in y, open in x, field 0.3, T = 1.5 to 3.5"
    assert f"T = 2.5: F/N {with_error(-1.0, 0.1)}, ESS {with_error(-1.0, 0.1)}, not trusted" in lines[7]
    assert len(lines) <= MOST
