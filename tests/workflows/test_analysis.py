"""The analysis of a scan: what it finds in points with known exponents, and what it says where it cannot."""

import json
import math

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from support.verbs import invoke, refusal, succeed

import latticear as la
from latticear.checksums import read_json
from latticear.estimation.estimates import Estimates
from latticear.estimation.quantity import Estimate
from latticear.exact.result import QUANTITIES
from latticear.workflows.analysis.figures import _draw_collapses
from latticear.workflows.analysis.run import analyse_scan
from latticear.workflows.analysis.table import analysis_table
from latticear.workflows.scan.averages import average_at
from latticear.workflows.scan.plan import plan_scan
from latticear.workflows.scan.records import write_record
from latticear.workflows.scan.refined import all_points, choose_round, read_refinement, want
from latticear.workflows.scan.run import open_scan

SIZES = (8, 16, 32)
GRID = np.linspace(2.1, 2.5, 9).tolist()
N = 1000


def values(size, t):
    """Value and error of each quantity, with the exponents of the Ising model."""
    x = (t - la.T_C) * size
    found = dict.fromkeys(QUANTITIES, (0.5, 0.001))
    found["binder_cumulant"] = 0.61 - 0.3 * math.tanh(0.3 * x), 0.002
    found["abs_magnetization"] = size**-0.125 * (1 - 0.6 * math.tanh(0.3 * x)), 0.002
    found["susceptibility"] = size**1.75 * 0.1 * math.exp(-((x - 1.5) ** 2) / 30), 0.001 * size**1.75
    found["heat_capacity_per_site"] = (0.2 + 0.5 * math.log(size)) * math.exp(-((x - 0.5) ** 2) / 60), 0.005
    return found


def make_scan(out, shapes=tuple((size, size) for size in SIZES), grid=GRID, points=None, seed=0, **changes):
    """A scan whose points have these values with normal errors; `changes` of (size, t) replace parts of them."""
    plan = plan_scan(out, None, ["model.name=tensor_network"], {}, temperatures=grid, shapes=shapes, n=N)
    open_scan(plan, resume=False)
    rng = np.random.default_rng(seed)
    for point in plan.points[:points]:
        entries = {}
        for name, (value, error) in values(point.shape[0], point.temperature).items():
            entries[name] = Estimate(value + error * rng.standard_normal(), error, n=N, ess=1.0)
        estimates = Estimates(entries, temperature=point.temperature, n=N, diagnostics={"ess": 0.9})
        content = {"shape": list(point.shape), "temperature": point.temperature, "steps": 0, "seconds": 0.0}
        content |= {"estimates": estimates.to_dict(), "monte_carlo": None}
        write_record(point.record, content)
    return plan


def change(plan, k, edit):
    """Change the record of a point by a function of its content."""
    record = plan.points[k].record
    content = read_json(record)[0]
    edit(content["estimates"])
    write_record(record, {key: value for key, value in content.items() if key != "sha256"})


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    out = tmp_path_factory.mktemp("analysis") / "scan"
    make_scan(out)
    return out


def test_known_exponents_are_found(scan):
    found = analyse_scan(scan)
    assert found.known.temperature == la.T_C
    crossed = found.crossings["binder_cumulant"].critical_temperature
    assert abs(crossed.value - la.T_C) < 4 * crossed.error
    wanted = {"binder_cumulant": 0.0, "abs_magnetization": -0.125, "susceptibility": 1.75}
    assert found.collapses.keys() == wanted.keys()
    for name, kappa in wanted.items():
        result = found.collapses[name]
        assert abs(result.critical_temperature.value - la.T_C) < 4 * result.critical_temperature.error
        assert abs(result.inverse_nu.value - 1) < 4 * result.inverse_nu.error
        assert abs(result.exponent.value - kappa) < 4 * result.exponent.error + 1e-12
    growth = found.peaks["susceptibility"].growth
    assert abs(growth.exponent - 1.75) < 4 * growth.error


def test_the_command_writes_a_table_a_file_and_figures(scan):
    lines = succeed("analyse", scan).splitlines()
    text = "\n".join(lines)
    assert lines[0] == "Ising, 8x8, 16x16, 32x32"
    for words in ("T_c, crossings of binder_cumulant", "1/nu, collapse of binder_cumulant", "gamma/nu, maxima"):
        assert words in text
    assert "2.26919" in text  # exact T_c
    beta = next(line for line in lines if line.startswith("beta, collapse of abs_magnetization"))
    assert beta.split()[-4] == "0.125"
    assert "exact: Onsager 1944" in text
    for name in ("analysis.json", "crossing.png", "collapse.png", "peaks.png", "thermodynamics.png", "report.html"):
        assert (scan / name).stat().st_size > 1000
        assert str(scan / name) in lines[-1]
    page = (scan / "report.html").read_text()
    assert "From 27 points by latticear analyse." in page
    assert page.count("<figure") == 4
    stored = read_json(scan / "analysis.json")[0]
    printed = json.loads(succeed("analyse", scan, "--json"))
    assert printed == {key: value for key, value in stored.items() if key != "sha256"}
    assert printed["exact"]["gamma_over_nu"] == 1.75
    assert printed["left_out"] == []
    assert printed["warnings"] == ["susceptibility: L = 8 has no maximum inside its temperatures, from T = 2.1 to 2.5"]


def test_one_size_has_maxima_and_thermodynamics(tmp_path):
    make_scan(tmp_path / "s", [(16, 16)])
    text = succeed("analyse", tmp_path / "s")
    assert "one size: T_c and exponents need two or more" in text
    found = json.loads(succeed("analyse", tmp_path / "s", "--json"))
    assert found["crossings"] == found["collapse"] == {}
    assert found["peaks"]["susceptibility"]["peaks"][0]["size"] == 16
    curves = found["thermodynamics"]["16x16"]
    assert len(curves["entropy_per_site"]["error"]) == len(curves["temperature"])


def test_further_temperatures_are_chosen_at_the_crossing(tmp_path):
    plan = make_scan(tmp_path / "s", grid=np.linspace(2.0, 2.6, 5).tolist(), seed=3)
    want(plan, 3)
    assert choose_round(plan).startswith("T = ")
    (chosen,) = read_refinement(plan.out).rounds
    assert len(chosen["temperatures"]) == 2
    assert all(abs(t - la.T_C) < 0.15 for t in chosen["temperatures"])
    assert chosen["features"][0].startswith("crossing of binder_cumulant of L = 8 and 16 at T = 2.2")
    points = all_points(plan)
    assert [point.temperature for point in points if point.shape == (8, 8)] == sorted(
        [2.0, 2.15, 2.3, 2.45, 2.6, *chosen["temperatures"]]
    )
    new = sorted((point for point in points if point.number >= 15), key=lambda point: point.number)
    assert [point.shape[0] for point in new] == [8, 16, 32] * 2
    nearest = min((2.0, 2.15, 2.3, 2.45, 2.6), key=lambda t: abs(t - new[0].temperature))
    assert new[0].source.name == f"T{nearest:g}"
    assert "unfinished: 15 of 21 points" in succeed("analyse", plan.out, "--quantity", "binder_cumulant")


def test_errors_of_derived_exponents(scan):
    """beta = (beta/nu) / (1/nu): by the same covariance as a sample of it."""
    found = analyse_scan(scan, "abs_magnetization")
    collapse = found.collapses["abs_magnetization"]
    row = next(row for row in analysis_table(found).rows if row[0].startswith("beta, "))
    mean = collapse.critical_temperature.value, collapse.inverse_nu.value, collapse.exponent.value
    drawn = np.random.default_rng(0).multivariate_normal(mean, collapse.covariance, 20_000)
    beta = -drawn[:, 2] / drawn[:, 1]
    digits = row[1].rstrip(")").split("(")
    decimals = len(digits[0].partition(".")[2])
    assert int(digits[1]) / 10**decimals == pytest.approx(beta.std(), rel=0.5)
    assert float(digits[0]) == pytest.approx(beta.mean(), abs=0.01)


def test_one_quantity_alone(scan):
    found = json.loads(succeed("analyse", scan, "--quantity", "heat_capacity_per_site", "--json"))
    assert found["crossings"] == found["collapse"] == {}
    peaks = found["peaks"]["heat_capacity_per_site"]
    assert abs(peaks["logarithm"]["exponent"] - 0.5) < 4 * peaks["logarithm"]["error"]
    assert "must be one of" in refusal("analyse", scan, "--quantity", "entropy")
    assert "did you mean 'binder_cumulant'" in refusal("analyse", scan, "--quantity", "binder_cumulants")


def test_values_that_are_not_trusted_are_left_out(tmp_path):
    plan = make_scan(tmp_path / "s", [(8, 8), (16, 16)])

    def distrust(estimates):
        estimates |= {"verdict": "not trusted", "reliable": False, "reasons": ["too few"], "warnings": ["too few"]}

    change(plan, 3, distrust)
    change(plan, 10, lambda estimates: estimates["binder_cumulant"].update(error=None))
    code, text, _ = invoke("analyse", tmp_path / "s")
    assert code == 0
    assert "left out: 8x8 T = 2.25: not trusted: too few" in text
    assert "left out: binder_cumulant 16x16 T = 2.15: no error bar" in text
    left_out = json.loads(succeed("analyse", tmp_path / "s", "--json"))["left_out"]
    assert [entry["temperature"] for entry in left_out] == [2.25, 2.15]
    everything = json.loads(succeed("analyse", tmp_path / "s", "--include-untrusted", "--json"))["left_out"]
    assert [entry["reason"] for entry in everything] == ["no error bar"]
    for k in range(9):
        change(plan, k, distrust)
    line = refusal("analyse", tmp_path / "s")
    assert "fewer than two sizes have 4 temperatures with values to analyse" in line
    assert "8x8 T = 2.1: not trusted: too few" in line
    assert "--include-untrusted" in line


def test_a_scan_that_is_not_finished_is_analysed_as_far_as_it_is(tmp_path):
    make_scan(tmp_path / "s", points=22)
    assert "unfinished: 22 of 27 points" in succeed("analyse", tmp_path / "s")


def test_scans_that_cannot_be_analysed(tmp_path, scan):
    assert "is not the folder of a scan" in refusal("analyse", tmp_path / "nowhere")
    make_scan(tmp_path / "one", [(8, 8)], points=3)
    assert "one size needs 4 temperatures or more, got 8x8: 3 of 9" in refusal("analyse", tmp_path / "one")
    assert "has no correlation_length_per_size" in refusal("analyse", scan, "--quantity", "correlation_length_per_size")
    make_scan(tmp_path / "few", grid=[2.2, 2.3, 2.4])
    assert "two sizes need 4 temperatures or more each, got 8x8: 3" in refusal("analyse", tmp_path / "few")
    make_scan(tmp_path / "begun", points=5)
    assert "continue the scan with --resume" in refusal("analyse", tmp_path / "begun")
    make_scan(tmp_path / "shapes", [(8, 8), (8, 16)])
    assert "the same ratio of height to width" in refusal("analyse", tmp_path / "shapes")
    plan = make_scan(tmp_path / "damaged")
    plan.points[4].record.write_text("{")
    line = refusal("analyse", tmp_path / "damaged")
    assert "8x8-T2.3.json is damaged" in line
    assert "26 of the 26 other points stand" in line


def test_the_collapse_is_drawn_where_it_was_fitted(scan):
    found = analyse_scan(scan, "binder_cumulant")
    figure = Figure()
    _draw_collapses(found, figure)
    (ax,) = figure.axes
    master = next(line for line in ax.lines if line.get_label() == "master curve")
    low, high = found.collapses["binder_cumulant"].window
    assert (master.get_xdata()[0], master.get_xdata()[-1]) == pytest.approx((low, high))
    y = master.get_ydata()
    assert y.max() < 1
    assert y.min() > 0


def make_glasses(out, folder, n=12, seed=0):
    """A scan over instances whose overlaps cross at T = 1, each instance higher or lower at all temperatures alike."""
    rng = np.random.default_rng(seed)
    files = []
    for size in (4, 8):
        files.append(str(folder / f"g{size}.npy"))
        np.save(files[-1], la.EdwardsAndersonDisorder((size, size), seed=size).draw(n).numpy())
    values = {"hamiltonian": {"name": "edwards_anderson"}}
    grid = np.linspace(0.7, 1.3, 7).tolist()
    options = {"temperatures": grid, "shapes": [(4, 4), (8, 8)], "n": N, "instances": files}
    plan = plan_scan(out, None, ["model.name=tensor_network", "model.bond_dimension=4"], values, **options)
    open_scan(plan, resume=False)
    shift = rng.normal(0, 0.02, (2, n))
    for point in plan.points:
        size, k = point.shape[0], point.instance.number
        x = (1 - point.temperature) * size
        second = 0.25 + 0.01 * x + shift[size // 8, k] / 2 + 1e-4 * rng.standard_normal()
        found = dict.fromkeys(QUANTITIES, 0.5)
        found |= {"overlap_squared": second, "overlap_fourth": 2 * second * 0.25}
        found |= {
            "overlap_binder_cumulant": 0.5,
            "glass_susceptibility_k": 1.0,
            "glass_correlation_length": size * second,
        }
        found |= {"glass_susceptibility": 1 + second**2}
        entries = {name: Estimate(value, 1e-4, n=N, ess=1.0) for name, value in found.items()}
        estimates = Estimates(entries, temperature=point.temperature, n=N, diagnostics={"ess": 0.9})
        content = {"shape": list(point.shape), "temperature": point.temperature, "steps": 0, "seconds": 0.0}
        write_record(point.record, content | {"estimates": estimates.to_dict(), "monte_carlo": None})
        average_at(plan, point)
    return plan, shift


def test_overlaps_averaged_over_instances_cross_with_the_error_of_their_spread(tmp_path):
    """The instances are the same at all temperatures, so that many temperatures do not make the error smaller."""
    plan, shift = make_glasses(tmp_path / "s", tmp_path)
    found = analyse_scan(plan.out)
    length = found.crossings["glass_correlation_length_per_size"].crossings[0]
    mean, spread = shift.mean(1) / 2, shift.std(1, ddof=1) / 2 / 12**0.5
    exact = 1 + (mean[1] - mean[0]) / (0.01 * 4)
    assert length.temperature == pytest.approx(exact, abs=0.02)
    assert length.error == pytest.approx(math.hypot(*spread) / (0.01 * 4), rel=0.15)
    binder = found.crossings["overlap_binder_cumulant"].crossings[0]
    assert abs(binder.temperature - exact) < 0.05
    assert binder.error > 0.7 * length.error
    assert found.collapses == found.thermodynamics == {}
    text = succeed("analyse", plan.out)
    assert "T of glass_correlation_length_per_size, crossing of 4 and 8" in text
    assert "averages over the same instances at all temperatures: no collapses and no curves over T" in text
    assert "From 14 points by latticear analyse." in (plan.out / "report.html").read_text()


def test_couplings_of_a_file_do_not_hinder_an_analysis(tmp_path):
    np.save(tmp_path / "g.npy", la.EdwardsAndersonDisorder((3, 3), seed=1).draw(1)[0].numpy())
    words = [
        "scan",
        "--hamiltonian",
        "edwards_anderson",
        "--size",
        "3",
        "--set",
        f"hamiltonian.couplings={tmp_path}/g.npy",
    ]
    words += ["--model", "tensor_network", "--set", "model.bond_dimension=4", "--temperature", "1:2.5:4", "-n", "100"]
    succeed(*words, "--out", tmp_path / "s")
    found = analyse_scan(tmp_path / "s")
    assert torch.equal(found.scan.system.maps, torch.from_numpy(np.load(tmp_path / "g.npy")))
