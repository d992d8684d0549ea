"""Scans: chains that follow from the grid alone, points that are what their runs say, ends that lose nothing."""

import json
import math
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray
from matplotlib.figure import Figure
from support import tiny
from support.verbs import invoke, refusal, succeed

import latticear as la
from latticear.checksums import read_json
from latticear.cli.options import grid_temperatures_of, shapes_of
from latticear.estimation.estimates import quiet
from latticear.exact.result import QUANTITIES
from latticear.plotting import LABELS
from latticear.runs.directory import RunDirectory, load_model
from latticear.workflows.scan import run as scan
from latticear.workflows.scan.figure import scan_figure
from latticear.workflows.scan.plan import Share, plan_scan
from latticear.workflows.scan.run import finish_scan, scan_run

N = 200
SETS = ["model.kernel_size=7", *tiny.SETS]
GRID = [2.0, 2.3, 2.6]
SHAPES = [(3, 3), (4, 4)]
WORDS = ["--temperature", "2:2.6:3", "--size", "3,4", "-n", str(N), "--chains", "2"]
WORDS += [word for key in SETS for word in ("--set", key)]


def planned(out, *sets, temperatures=GRID, shapes=SHAPES, n_chains=2, n=N, values=None, **options):
    options |= {"temperatures": temperatures, "shapes": shapes, "n": n, "n_chains": n_chains}
    return plan_scan(out, None, [*SETS, *sets], values or {}, **options)


def done(plan, resume=False, share=None):
    return list(scan_run(plan, resume=resume, report=tiny.silent, share=share))


def results(out):
    """All that a scan must reproduce bit for bit: points and table but for the clock, and every run."""
    points = {path.name: json.loads(path.read_text()) for path in (out / "points").glob("*.json")}
    for point in points.values():
        del point["seconds"], point["sha256"]  # the digest is also that of the time
    runs = {str(path.parent.relative_to(out)): tiny.content(path.parent) for path in sorted(out.rglob("run.toml"))}
    with xarray.open_dataset(out / "table.h5", engine="h5netcdf") as table:
        return points, runs, repr(table.drop_vars("seconds").to_dict())  # NaN is not equal to itself


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("scan") / "out"
    plan = planned(out)
    rows = done(plan)
    return plan, rows, finish_scan(plan, report=tiny.silent)


# the plan


def test_chains_follow_from_the_grid_and_cool():
    plan = planned(Path("o"), temperatures=np.linspace(1.5, 3.5, 21), n_chains=None)
    assert [len(chain) for chain in plan.chains] == [14, 14, 14]  # 7 temperatures at both sizes
    first = plan.chains[0]
    assert [point.shape for point in first] == [(3, 3)] * 7 + [(4, 4)] * 7
    assert [point.temperature for point in first[:7]] == pytest.approx([2.1, 2.0, 1.9, 1.8, 1.7, 1.6, 1.5])
    assert [point.source for point in first] == [None] + [p.run for p in first[:6]] + [first[0].run] + [
        p.run for p in first[7:13]
    ]
    assert [point.number for point in plan.points] == list(range(42))
    keys = [(point.shape, point.temperature) for point in plan.points]
    assert keys == sorted(keys)


def test_sizes_whose_weights_do_not_fit_are_chains_of_their_own():
    options = {"temperatures": GRID, "shapes": [(4, 4), (3, 3), (3, 4)]}
    plan = plan_scan(Path("o"), None, ["model.name=made", "model.width=4"], {}, **options)
    assert [[point.shape for point in chain] for chain in plan.chains] == [[s] * 3 for s in [(3, 3), (3, 4), (4, 4)]]
    assert [chain[0].source for chain in plan.chains] == [None] * 3


def test_later_points_take_a_quarter_of_the_steps_and_larger_sizes_train_as_when_they_grow():
    plan = planned(Path("o"), "training.batch_size=100", "training.steps=10", n_chains=1)
    training = [point.config.training for point in plan.chains[0]]
    assert [t["steps"] for t in training] == [10, 3, 3, 10, 3, 3]
    assert [t["anneal"] for t in training] == [0.3, 0, 0, 0, 0, 0]
    assert [t["batch_size"] for t in training] == [100] * 3 + [50] * 3
    assert [t["learning_rate"] for t in training] == pytest.approx([3e-3] * 3 + [3e-4] * 3)


def test_texts_of_a_grid():
    assert grid_temperatures_of("1.5:3.5:21")[2] == 1.7  # not 1.7000000000000002
    assert grid_temperatures_of("2:3:2") == [2, 3]
    assert grid_temperatures_of("2.5,2") == [2.5, 2]
    assert shapes_of("8,4x6") == [(8, 8), (4, 6)]


# the results


def test_each_point_is_a_run_and_the_table_says_what_it_estimates(finished):
    plan, _, table = finished
    columns = table.columns
    for point in plan.points:
        i, k = SHAPES.index(point.shape), GRID.index(point.temperature)
        run = RunDirectory(point.run)
        stored = run.read_json("estimates.json")
        assert (stored["temperature"], stored["n"], stored["seed"]) == (point.temperature, N, point.number)
        assert load_model(point.run).shape == point.shape
        exact = la.exact_result(la.Ising(point.shape), point.temperature).to_dict()
        for name in QUANTITIES:
            assert columns[name][i, k] == stored[name]["value"]
            assert columns[f"{name}_error"][i, k] == stored[name]["error"]
            assert columns[f"{name}_exact"][i, k] == pytest.approx(exact[name])
            assert abs(columns[name][i, k] - exact[name]) < 5 * columns[f"{name}_error"][i, k] or not stored["reliable"]
        assert columns["ess"][i, k] == stored["ess"]["value"]
        assert columns["reliable"][i, k] == stored["reliable"]
        assert columns["steps"][i, k] == len(run.metrics()) == point.config.training["steps"]
        assert columns["seconds"][i, k] == run.metrics()[-1]["elapsed"]
        origin = run.read_json("environment.json").get("from", {})
        assert origin.get("run") == (None if point.source is None else str(point.source))


def test_rows_come_in_the_order_of_the_chains(finished):
    plan, rows, _ = finished
    assert [(tuple(row["shape"]), row["temperature"]) for row in rows] == [
        (point.shape, point.temperature) for chain in plan.chains for point in chain
    ]


def test_both_files_hold_the_table(finished):
    plan, _, table = finished
    with xarray.open_dataset(plan.out / "table.h5", engine="h5netcdf") as stored:
        assert stored["energy_per_site"].dims == ("size", "temperature")
        assert stored["size"].values.tolist() == stored["width"].values.tolist() == [3, 4]
        assert stored["temperature"].values.tolist() == GRID
        for name, column in table.columns.items():
            np.testing.assert_array_equal(stored[name], column)
        assert json.loads(stored.attrs["settings"]) == read_json(plan.out / "scan.json")[0]
    text = np.genfromtxt(plan.out / "table.csv", delimiter=",", names=True)
    assert text["size"].tolist() == [3, 3, 3, 4, 4, 4]
    assert text["temperature"].tolist() == 2 * GRID
    for name, column in table.columns.items():
        np.testing.assert_array_equal(text[name], column.ravel())


def test_a_rectangle_is_named_by_both_extents(finished):
    _, _, table = finished
    rows = table._replace(shapes=[(3, 4), (4, 4)]).rows()
    assert [row["size"] for row in rows] == ["3x4"] * 3 + ["4"] * 3


def test_where_nothing_is_known_a_markov_chain_stands_beside(tmp_path, monkeypatch):
    for module in ("scan.run", "estimate", "training_steps"):
        monkeypatch.setattr(f"latticear.workflows.{module}.exact_result", lambda *_: None)
    plan = planned(tmp_path / "out", shapes=[(4, 4)], temperatures=[2.3], n_chains=1)
    done(plan)
    table = finish_scan(plan, report=tiny.silent)
    exact = la.exact_result(la.Ising((4, 4)), 2.3).to_dict()
    assert all(math.isnan(table.columns[f"{name}_exact"][0, 0]) for name in QUANTITIES)
    for name in ("energy_per_site", "abs_magnetization", "susceptibility", "binder_cumulant"):
        value, error = (table.columns[f"{name}_{what}"][0, 0] for what in ("monte_carlo", "monte_carlo_error"))
        assert abs(value - exact[name]) < 5 * error  # one in 1e6 for each
    assert "free_energy_per_site_monte_carlo" not in table.columns
    assert table.rows()[0]["energy_per_site_exact"] is None


def test_the_figure_shows_the_table_and_marks_what_cannot_be_trusted(finished):
    plan, _, table = finished
    assert (plan.out / "scan.png").stat().st_size > 50_000
    columns = table.columns | {"reliable": np.array([[1, 0, 1], [1, 1, 1]])}
    columns |= {name: np.full((2, 3), 0.5) for name in columns if "_monte_carlo" in name}
    columns["energy_per_site_exact"] = np.full((2, 3), np.nan)
    figure = Figure(figsize=(13, 6))
    scan_figure(figure, table._replace(columns=columns), [[], []])
    for ax, name in zip(figure.axes, LABELS, strict=True):
        drawn = {}
        for container in ax.containers:
            line = container.lines[0]
            kind = line.get_marker() if line.get_mfc() != "white" else "hollow"
            drawn.setdefault(kind, []).extend(zip(*line.get_data(), strict=True))
        values = [list(zip(GRID, row, strict=True)) for row in columns[name].tolist()]
        assert drawn["hollow"] == [values[0][1]]
        assert sorted(drawn["o"]) == sorted([values[0][0], values[0][2], *values[1]])
        assert drawn.get("x", []) == ([(t, 0.5) for t in 2 * GRID] if name == "energy_per_site" else [])


def test_one_network_serves_a_size_and_is_sampled_at_each_temperature(tmp_path):
    out = tmp_path / "out"
    words = [word for word in WORDS if word not in ("--chains", "2")]
    lines = succeed("scan", *words, "--one-network", "--out", out).splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == [f"{s}x{s} T = {t:g}" for s in (3, 4) for t in GRID]
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["3x3", "4x4", "points"]
    assert RunDirectory(out / "4x4").read_json("environment.json")["from"]["run"] == str(out / "3x3")
    model = load_model(out / "4x4")
    energies = []
    for number, t in zip((3, 4, 5), GRID, strict=True):
        condition = torch.tensor([t], dtype=torch.float64)
        point = json.loads((out / "points" / f"4x4-T{t:g}.json").read_text())["estimates"]
        with quiet():
            ours = la.estimate(model.sample(N, seed=number, condition=condition), la.Ising((4, 4)), t)
        assert point["free_energy_per_site"]["value"] == ours["free_energy_per_site"].value
        energies.append(point["energy_per_site"]["value"])
    assert energies == sorted(energies)


def test_a_config_that_has_a_range_serves_the_grid_within(tmp_path):
    file = tmp_path / "range.toml"
    file.write_text("temperature = [1.5, 3.5]\n[hamiltonian]\nshape = [4, 4]")
    plan = plan_scan(tmp_path / "out", file, SETS, {}, temperatures=[2.0, 3.0])
    assert {point.config.place["temperature"] for point in plan.points} == {(1.5, 3.5)}
    with pytest.raises(ValueError, match=r"covers T = 1\.5:3\.5, got 3\.6"):
        plan_scan(tmp_path / "out", file, SETS, {}, temperatures=[2.0, 3.6])
    with pytest.raises(ValueError, match="--chains divides the temperatures, and one network"):
        plan_scan(tmp_path / "out", file, SETS, {}, temperatures=[2.0, 3.0], n_chains=2)


# ends


def test_finished_points_are_not_repeated(finished, monkeypatch):
    plan, rows, table = finished
    before = (plan.out / "table.csv").stat().st_mtime_ns
    for name in ("train_run", "estimate_run", "scan_figure"):
        monkeypatch.setattr(scan, name, None)
    assert done(plan, resume=True) == rows
    assert finish_scan(plan, report=tiny.silent).rows() == table.rows()
    assert (plan.out / "table.csv").stat().st_mtime_ns == before


def test_a_scan_killed_at_random_moments_ends_bit_for_bit_as_if_not(server, tmp_path, finished):
    command = ("scan", *WORDS, "--out", "a", "--resume")
    rng = random.Random(0)
    for once in ("a", "a/4x4/T2.6/checkpoints/step-4", "a/points/4x4-T2.6.json"):
        assert server.run(tmp_path, *command, once=once).code == -signal.SIGKILL
        assert not (tmp_path / "a" / "table.csv").exists()
    for attempt in range(60):
        ended = server.run(tmp_path, *command, after=rng.uniform(0, 0.5 + attempt / 2))
        if ended.code == 0:
            break
        assert (ended.code, ended.stderr) == (-signal.SIGKILL, "")
    assert ended.code == 0
    assert results(tmp_path / "a") == results(finished[0].out)


def test_ctrl_c_saves_and_says_how_to_go_on(server, tmp_path):
    command = ("scan", *WORDS, "--out", "a", "--set", "training.steps=40")
    ended = server.run(tmp_path, *command, once="a/4x4/T2.6/checkpoints/step-*", number=signal.SIGINT)
    assert (ended.code, ended.stderr) == (130, "")
    n_done = len(list((tmp_path / "a" / "points").glob("[34]*")))
    assert n_done
    remedy = "continue with the same command and --resume"
    assert ended.stdout.endswith(f"interrupted: {n_done} of 6 points are done; {remedy}\n")
    assert len(ended.stdout.splitlines()) == n_done + 1
    ended = server.run(tmp_path, *command, "--resume")
    assert ended.stdout.endswith("finished: a/table.h5, table.csv, scan.png and report.html\n")


# several processes


def test_processes_share_the_chains_and_the_last_writes_the_table(tmp_path, finished):
    plan = planned(tmp_path / "out")
    first, second = (Share(rank, world=2, local=rank) for rank in (0, 1))
    done(plan, share=first)
    assert finish_scan(plan, report=tiny.silent, share=first) is None
    assert len(list((plan.out / "points").iterdir())) == 4  # two temperatures at both sizes
    done(plan, share=second)  # without resume: the first has made the folder
    assert finish_scan(plan, report=tiny.silent, share=second) is not None
    assert finish_scan(plan, report=tiny.silent, share=first) is None  # it is said once
    assert results(plan.out) == results(finished[0].out)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch has no torchrun")
def test_torchrun_gives_the_same_results(tmp_path):
    words = ["scan", "--temperature", "2,2.6", "--size", "3", "-n", str(N), "--chains", "2"]
    succeed(*words, "--out", tmp_path / "alone")
    command = [sys.executable, "-m", "latticear", *words, "--out", "out", "--workers", "2"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("F/N") == 2
    assert "finished: out/table.h5" in ended.stdout
    assert results(tmp_path / "out") == results(tmp_path / "alone")


def test_each_process_takes_the_gpu_of_its_number(finished, monkeypatch):
    taken = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    for local in (0, 1, 2):
        assert done(finished[0], resume=True, share=Share(rank=5, world=6, local=local)) == []
    assert taken == [0, 1, 0]


def test_torchrun_says_who_a_process_is(monkeypatch):
    assert Share.of_environment() == Share(0, 1, 0)
    for key, value in (("RANK", "5"), ("WORLD_SIZE", "8"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(key, value)
    assert Share.of_environment() == Share(5, 8, 1)


def test_a_process_that_waits_in_vain_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(scan, "PATIENCE", 0.0)
    with pytest.raises(FileNotFoundError, match="was not made by the first process in 0 s"):
        done(planned(tmp_path / "out"), share=Share(1, 2, 1))


# refused


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "scan needs --temperature, LOW:HIGH:N or numbers"),
        (["--temperature", "1.5:3.5"], "--temperature must be LOW:HIGH:N with N >= 2, or numbers"),
        (["--temperature", "3:2:5"], "must be LOW:HIGH:N"),
        (["--temperature", "2:3:1"], "must be LOW:HIGH:N"),
        (["--temperature", "2:nan:3"], "must be LOW:HIGH:N"),
        (["--temperature", "2:3:4:5"], "must be LOW:HIGH:N"),
        (["--temperature", "x"], "--temperature must be one or several numbers"),
        (["--temperature", "0:2:3"], "temperature must be positive and finite"),
        (["--temperature", "2", "2"], "temperature 2 is given twice"),
        (["--temperature", "2", "2.00000000000004"], "temperature 2 is given twice"),  # one folder for both
        (["--temperature", "2", "3", "--size", "4,4"], "size 4x4 is given twice"),
        (["--temperature", "2", "3", "--size", "4,x"], "--size must be L or HxW"),
        (["--temperature", "2", "3", "--chains", "3"], "--chains must be from 1 to the 2 temperatures, got 3"),
        (["--temperature", "2", "3", "-n", "5"], "an error bar needs at least 10 samples, got 5"),
        (["--temperature", "2", "--one-network"], "--one-network needs a range of temperatures, got one temperature"),
        (["--temperature", "2", "--set", "training.data=x.h5"], "a scan draws its own configurations"),
        (["--temperature", "2", "--set", "grid.levels=3"], "this needs a Hamiltonian at a temperature"),
        (["--temperature", "2", "--set", "model.widht=3"], "unknown key 'model.widht'"),
        (["--temperature", "2", "--device", "tpu"], "device"),
    ],
)
def test_mistakes_are_one_line(tmp_path, words, expected):
    size = [] if "--size" in words else ["--size", "4"]
    assert expected in refusal("scan", *size, *words, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_is_needed_and_what_is_there_is_kept(tmp_path, finished):
    out = finished[0].out
    assert "scan needs --out" in refusal("scan", *WORDS)
    assert "already exists; continue it with --resume" in refusal("scan", *WORDS, "--out", out)
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file"):
        assert "already exists and is not the folder of a scan" in refusal("scan", *WORDS, "--out", path, "--resume")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--temperature", "2:2.7:3"], "temperatures is [2.0, 2.3, 2.6] there, got [2.0, 2.35, 2.7]"),
        (["--seed", "1"], "configs.3x3.seed is 0 there, got 1"),
        (["-n", "300"], "n is 200 there, got 300"),
        (["--size", "3"], "sizes is ['3x3', '4x4'] there, got ['3x3']"),
        (["--chains", "1"], "chains is 2 there, got 1"),
        (["--set", "model.width=9"], "configs.3x3.model.width is 8 there, got 9"),
    ],
)
def test_another_scan_in_the_same_folder_is_refused(finished, words, expected):
    out = finished[0].out
    others = list(WORDS)
    if words[0] in others and words[0] != "--set":
        place = others.index(words[0])
        del others[place : place + 2]
    refused = refusal("scan", *others, *words, "--out", out, "--resume")
    assert f"{out} holds another scan: {expected}" in refused


def test_json_is_the_table_and_nothing_else(finished):
    plan, _, table = finished
    code, stdout, stderr = invoke("scan", *WORDS, "--out", plan.out, "--resume", "--json")
    assert code == 0
    assert json.loads(stdout) == {"rows": table.rows()}
    assert stderr.count("F/N") == 6


def test_a_damaged_point_says_which(finished, tmp_path):
    plan = planned(tmp_path / "out", shapes=[(3, 3)], temperatures=[2.0], n_chains=1)
    done(plan)
    plan.points[0].record.write_text("{")
    with pytest.raises(ValueError, match=r"3x3-T2\.json is damaged"):
        done(plan, resume=True)


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("points/3x3-T2.json", "[]", r"damaged \(it must hold a JSON object, got list\); remove it and continue with"),
        ("points/3x3-T2.json", "{}", r"3x3-T2\.json is damaged \(it lacks estimates, .*remove it and continue with"),
        ("scan.json", "[]", r"scan\.json is damaged .*; name another --out"),
        ("3x3/T2/metrics.jsonl", "x", r"metrics\.jsonl is damaged: .*remove .*/3x3/T2 and continue with --resume"),
    ],
)
def test_what_is_damaged_and_what_to_do_is_said(tmp_path, file, content, expected):
    plan = planned(tmp_path / "out", shapes=[(3, 3)], temperatures=[2.0], n_chains=1)
    done(plan)
    if "metrics" in file:
        plan.points[0].record.unlink()
    (plan.out / file).write_text(content)
    with pytest.raises(ValueError, match=expected):
        done(plan, resume=True)


def test_a_table_or_figure_that_was_removed_is_made_again(tmp_path):
    plan = planned(tmp_path / "out", shapes=[(3, 3)], temperatures=[2.0], n_chains=1)
    done(plan)
    finish_scan(plan, report=tiny.silent)
    for name in ("scan.png", "table.h5", "table.csv"):
        (plan.out / name).unlink()
        finish_scan(plan, report=tiny.silent)
        assert (plan.out / name).exists()
