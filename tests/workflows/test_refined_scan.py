"""Scans with further temperatures, named observables and wanted errors: the same after a stop, and what is refused."""

import csv
import json

import pytest
from matplotlib.figure import Figure
from support import tiny
from support.verbs import invoke, refusal

from latticear.workflows.scan.plan import Share, plan_scan
from latticear.workflows.scan.refined import read_refinement
from latticear.workflows.scan.run import finish_scan, scan_run

GRID = [1.8, 2.2, 2.6, 3.0]
WORDS = ["scan", "--model", "tensor_network", "--temperature", "1.8:3:4", "-n", "200"]


@pytest.fixture(scope="module", autouse=True)
def without_figures():
    """A figure takes longer than all points; it is tested in test_scan.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("latticear.workflows.scan.run._draw", lambda plan, *_: _picture(plan.out / "scan.png"))
        yield


def _picture(path):
    figure = Figure(figsize=(1, 1))
    figure.savefig(path)


def planned(out, grid=GRID, sets=("model.name=tensor_network",), **options):
    return plan_scan(out, None, list(sets), {}, temperatures=grid, shapes=[(3, 3)], n=200, **options)


def run(plan, refine=None, stop=None, said=None, **options):
    """The rows of a scan; `stop` ends it after as many, as a signal would."""
    say = (lambda _: None) if said is None else said.append
    rows = []
    for row in scan_run(plan, resume=True, report=tiny.silent, refine=refine, say=say, **options):
        rows.append(row)
        if len(rows) == stop:
            return rows
    finish_scan(plan, report=tiny.silent)
    return rows


def points(out):
    found = {path.name: json.loads(path.read_text()) for path in (out / "points").glob("*.json")}
    return {name: {key: each[key] for key in ("temperature", "estimates")} for name, each in found.items()}


@pytest.fixture(scope="module")
def refined(tmp_path_factory):
    plan, said = planned(tmp_path_factory.mktemp("refined") / "a"), []
    rows = run(plan, 3, said=said)
    return plan, rows, said


def test_the_table_has_all_temperatures_in_order(refined):
    plan, rows, said = refined
    chosen = read_refinement(plan.out).temperatures
    assert len(rows) == 7
    assert len(chosen) == 3
    assert "for the maximum of " in said[0]
    with (plan.out / "table.csv").open() as file:
        table = [float(row["temperature"]) for row in csv.DictReader(file)]
    assert table == sorted([*GRID, *chosen])
    assert "7 of 7 points" in (plan.out / "report.html").read_text()


def test_a_scan_that_was_stopped_chooses_the_same(refined, tmp_path):
    plan = planned(tmp_path / "b")
    run(plan, 3, stop=2)
    run(plan, stop=5)  # in the first round; how many are wanted is known
    run(plan)
    assert read_refinement(plan.out) == read_refinement(refined[0].out)
    assert points(plan.out) == points(refined[0].out)


def test_a_finished_scan_is_refined(refined, tmp_path):
    plan = planned(tmp_path / "c")
    run(plan)
    before = (plan.out / "table.csv").read_bytes()
    run(plan, 2)
    assert (plan.out / "table.csv").read_bytes() != before
    run(plan, 3)
    assert points(plan.out) == points(refined[0].out)
    run(plan, 3)  # nothing is left to do
    assert len(points(plan.out)) == 7


def test_one_network_takes_them_without_training(tmp_path):
    sets = [*tiny.SETS, "model.kernel_size=7"]
    plan = planned(tmp_path / "d", sets=sets, one_network=True)
    rows = run(plan, 1)
    assert len(rows) == 5
    assert sorted(path.name for path in plan.out.iterdir() if path.is_dir()) == ["3x3", "points"]


def test_processes_share_each_round(refined, tmp_path):
    plan = planned(tmp_path / "e")
    both = [scan_run(plan, resume=True, report=tiny.silent, refine=3, share=Share(rank, 2)) for rank in (0, 1)]
    first, second = both
    rows = [next(first) for _ in range(4)]  # one chain: the second process has nothing to do in the grid
    rows.append(next(first))
    rows.append(next(second))
    rows += [*first]
    rows += [*second]
    finish_scan(plan, report=tiny.silent, share=Share(1, 2))
    assert len(rows) == 7
    assert points(plan.out) == points(refined[0].out)


def test_where_there_is_nothing_to_refine_a_line_says_so(tmp_path):
    said = []
    rows = run(planned(tmp_path / "f", grid=[0.4, 0.45, 0.5]), 2, said=said)
    assert len(rows) == 3
    assert "no crossing and no maximum lies between T = 0.4 and 0.5" in said[0]
    assert (tmp_path / "f" / "table.csv").exists()


def test_wrong_numbers_are_one_line(refined, tmp_path):
    words = [*WORDS, "--size", "3"]
    assert "--refine must be a whole number" in refusal(*words, "--refine", "0", "--out", tmp_path / "x")
    assert "--refine must be from 1 to 1000" in refusal(*words, "--refine", "5000", "--out", tmp_path / "x")
    again = refusal(*words, "--refine", "2", "--resume", "--out", refined[0].out)
    assert "has 3 further temperatures, got --refine 2" in again
    one = ["scan", "--model", "tensor_network", "--size", "3", "--temperature", "2", "--refine", "2"]
    assert "the grid has T = 2 alone" in refusal(*one, "--out", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_errors_and_observables_of_a_scan(tmp_path):
    out = tmp_path / "g"
    words = ["scan", "--model", "tensor_network", "--size", "2,3", "--temperature", "2.5", "--out", out]
    words += ["--error", "energy_per_site=2%", "--observable", "structure_factor"]
    rows = json.loads(invoke(*words, "--json")[1])["rows"]
    assert [row["size"] for row in rows] == ["2", "3"]
    for row in rows:
        assert row["energy_per_site_error"] <= 0.0201 * abs(row["energy_per_site"])
        assert row["structure_factor_0"] > 0
        assert row["correlation_length_per_size"] > 0
    other = refusal(*words[:-4], "--error", "energy_per_site=1%", "--observable", "structure_factor", "--resume")
    assert "holds another scan: error.energy_per_site is '2%' there, got '1%'" in other
    assert "did you mean" in refusal(*words[:-1], "structure_factors")
