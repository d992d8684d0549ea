"""Scans over instances: points of their own, averages that are exact, the same after a stop, and what is refused."""

import itertools
import json
import signal

import h5py
import numpy as np
import pytest
import torch
import xarray
from matplotlib.figure import Figure
from support import tiny
from support.verbs import refusal, succeed

import latticear as la
from latticear.checksums import read_json
from latticear.estimation.estimates import Estimates, quiet
from latticear.exact import all_configurations
from latticear.runs.directory import RunDirectory
from latticear.workflows.scan.figure import scan_figure
from latticear.workflows.scan.plan import Share, plan_scan
from latticear.workflows.scan.run import finish_scan, scan_run

N, SEED, CHOSEN, GRID = 400, 5, (0, 2, 3), (1.0, 2.0)
GLASSES = {size: la.EdwardsAndersonDisorder((size, size), "gaussian", seed=size).draw(5) for size in (3, 4)}
TENSOR = ["--model", "tensor_network", "--set", "model.bond_dimension=16"]
WORDS = ["scan", "--hamiltonian", "edwards_anderson", *TENSOR, "-n", str(N), "--seed", str(SEED)]
WORDS += ["--temperature", "1,2", "--observable", "overlap"]
MEASURED = ("energy_per_site", "heat_capacity_per_site", "overlap_squared", "overlap_binder_cumulant")


@pytest.fixture(scope="module", autouse=True)
def without_figures():
    """A figure takes longer than all points; one test draws it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "latticear.workflows.scan.run._draw", lambda plan, *_: Figure((1, 1)).savefig(plan.out / "scan.png")
        )
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("glasses")
    for size, couplings in GLASSES.items():
        with h5py.File(path / f"g{size}.h5", "w") as h5:
            h5["couplings"] = couplings
    return path


@pytest.fixture(scope="module")
def finished(folder):
    words = [*WORDS, "--size", "4", "--instances", f"{folder / 'g4.h5'}:0,2-3", "--out", folder / "scan"]
    return folder / "scan", succeed(*words), words


def glass(k, size=4):
    return la.EdwardsAnderson((size, size), GLASSES[size][k].tolist())


def enumerated(k, t):
    """Energy, heat capacity and moments of the overlap of one instance by a sum over all configurations."""
    system, tokens = glass(k), all_configurations((4, 4), 2)
    energy = system.token_energy(tokens)
    p = torch.softmax(-energy / t, 0)
    spins = (2.0 * tokens.flatten(1) - 1).double()
    mean = float((p * energy).sum())
    two = (spins * p[:, None]).T @ spins  # <s_i s_j>
    pairs = torch.stack([spins[:, i] * spins[:, j] for i, j in itertools.combinations_with_replacement(range(16), 2)])
    counts = torch.tensor([1.0 if i == j else 2.0 for i, j in itertools.combinations_with_replacement(range(16), 2)])
    four = (pairs * p) @ pairs.T  # <s_i s_j s_k s_l>
    return {
        "energy_per_site": mean / 16,
        "heat_capacity_per_site": (float((p * energy**2).sum()) - mean**2) / t**2 / 16,
        "overlap_squared": float((two**2).sum()) / 16**2,
        "overlap_fourth": float((counts[:, None] * counts * four**2).sum()) / 16**4,
    }


def content(out):
    """All results but the clock: points and averages, and both tables."""
    points = {str(path.relative_to(out)): read_json(path)[0] for path in sorted((out / "points").rglob("*.json"))}
    for point in points.values():
        del point["seconds"]
        point.pop("instance", None)  # where the file is
    tables = []
    for group in (None, "instances"):
        with xarray.open_dataset(out / "table.h5", group=group, engine="h5netcdf") as table:
            tables.append(repr(table.drop_vars("seconds").to_dict()))
    return points, tables


def test_averages_are_those_of_all_configurations(finished):
    out, _, _ = finished
    with xarray.open_dataset(out / "table.h5", engine="h5netcdf") as table:
        for t in GRID:
            exact = [enumerated(k, t) for k in CHOSEN]
            row = table.sel(size=4, temperature=t)
            assert int(row["n_instances"]) == 3
            for name in ("energy_per_site", "heat_capacity_per_site", "overlap_squared"):
                values = [each[name] for each in exact]
                thermal = float(row[f"{name}_thermal_error"])
                assert abs(float(row[name]) - np.mean(values)) < 4 * thermal
                assert abs(float(row[f"{name}_error"]) - np.std(values, ddof=1) / 3**0.5) < 4 * thermal
                assert float(row[f"{name}_exact"]) == pytest.approx(np.mean(values), rel=1e-9)
            second, fourth = (np.mean([each[name] for each in exact]) for name in ("overlap_squared", "overlap_fourth"))
            assert float(row["overlap_binder_cumulant_exact"]) == pytest.approx((3 - fourth / second**2) / 2, rel=1e-9)


def test_averages_are_those_of_the_runs(finished):
    """By `la.disorder_average`, from the estimates of each run, which has its own couplings and seed."""
    out, _, _ = finished
    for t in GRID:
        stored = read_json(out / "points" / f"4x4-T{t:g}.json")[0]
        runs = [RunDirectory(out / "4x4" / f"instance-{k}" / f"T{t:g}") for k in CHOSEN]
        each = [run.read_json("estimates.json") for run in runs]
        average = la.disorder_average([Estimates.from_dict(one, 16) for one in each])
        for name in MEASURED:
            assert stored["estimates"][name]["value"] == average[name].value
            assert stored["estimates"][name]["error"] == average[name].error
        assert [row["index"] for row in stored["instances"]] == list(CHOSEN)
        assert [row["overlap_squared"] for row in stored["instances"]] == [
            one["overlap_squared"]["value"] for one in each
        ]
        seeds = [one["seed"] for one in each]
        assert len(set(seeds)) == 3
        assert t != GRID[0] or seeds == [SEED + k for k in CHOSEN]
        for k, run in zip(CHOSEN, runs, strict=True):
            loaded = la.load_run(run.path)
            assert torch.equal(loaded.hamiltonian.maps, GLASSES[4][k])
            assert loaded.config.seed == SEED + k


def test_what_is_printed_and_written(finished):
    out, text, _ = finished
    assert text.count("instance 2: F/N ") == 2
    assert "Averages over instances" in text
    assert "±" in text
    assert "table.csv, instances.csv, scan.png" in text
    with xarray.open_dataset(out / "table.h5", group="instances", engine="h5netcdf") as each:
        assert each["overlap_squared"].dims == ("size", "temperature", "instance")
        assert each["instance"].values.tolist() == list(CHOSEN)
        csv = np.genfromtxt(out / "instances.csv", delimiter=",", names=True)
        assert csv["instance"].tolist() == [*CHOSEN, *CHOSEN]
        np.testing.assert_array_equal(csv["overlap_squared"], each["overlap_squared"].values.ravel())
    page = (out / "report.html").read_text()
    assert "Averages over instances" in page
    assert "3 of 4x4" in page
    assert "all as written" in succeed("info", out, "--check")


def test_a_scan_that_was_killed_goes_on_bit_for_bit(server, tmp_path, finished, folder):
    command = [*finished[2][:-1], "a", "--resume"]
    for once in ("a/points/4x4-T2/instance-0.json", "a/4x4/instance-3/T1/run.toml", "a/points/4x4-T2.json"):
        assert server.run(tmp_path, *map(str, command), once=once).code == -signal.SIGKILL
    assert server.run(tmp_path, *map(str, command)).code == 0
    assert content(tmp_path / "a") == content(finished[0])


def planned(out, folder, *texts, sizes=(4,), sets=("model.name=tensor_network", "model.bond_dimension=8"), **options):
    options = {"n": 100} | options
    values = {"hamiltonian": {"name": options.pop("name", "edwards_anderson")}, "seed": SEED}
    files = [str(folder / text) for text in texts]
    shapes = [(size, size) for size in sizes]
    return plan_scan(out, None, list(sets), values, shapes=shapes, instances=files, **options)


def done(plan, share=None):
    return list(scan_run(plan, resume=True, report=tiny.silent, share=share))


def test_processes_share_the_instances(tmp_path, folder):
    """With several sizes, whose files are found by what they hold; the results are those of one process."""
    both = [planned(tmp_path / out, folder, "g4.h5:0-1", "g3.h5:1,4", sizes=(3, 4), temperatures=[1.0]) for out in "ab"]
    assert [[str(point) for point in chain] for chain in both[0].chains] == [
        *([f"3x3 T = 1, instance {k}"] for k in (1, 4)),
        *([f"4x4 T = 1, instance {k}"] for k in (0, 1)),
    ]
    done(both[0])
    assert finish_scan(both[0], report=tiny.silent) is not None
    shares = [Share(rank, 2, rank) for rank in (0, 1)]
    assert [len(done(both[1], share)) for share in shares] == [2, 2]
    assert finish_scan(both[1], report=tiny.silent, share=shares[1]) is not None
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_more_instances_may_follow(tmp_path, folder):
    options = {"temperatures": [1.5], "sizes": (3,)}
    few, more = (planned(tmp_path / "a", folder, f"g3.h5:{k}", **options) for k in ("1-2", "0-3"))
    done(few)
    finish_scan(few, report=tiny.silent)
    before = (few.points[0].record.read_text(), read_json(tmp_path / "a/points/3x3-T1.5.json")[0])
    done(more)
    table = finish_scan(more, report=tiny.silent)
    assert table.columns["n_instances"].tolist() == [[4]]
    assert few.points[0].record.read_text() == before[0]
    assert read_json(tmp_path / "a/points/3x3-T1.5.json")[0]["instances"][1:3] == before[1]["instances"]
    straight = planned(tmp_path / "b", folder, "g3.h5:0-3", **options)
    done(straight)
    finish_scan(straight, report=tiny.silent)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    with pytest.raises(ValueError, match=r"instance 3 of 3x3 is left out now; give all instances that it has"):
        done(planned(tmp_path / "a", folder, "g3.h5:0-2", **options))
    with h5py.File(tmp_path / "g3.h5", "w") as h5:
        h5["couplings"] = GLASSES[3].flip(0)
    with pytest.raises(ValueError, match=r"instance 0 of 3x3 has other couplings now"):
        done(planned(tmp_path / "a", tmp_path, "g3.h5:0-3", **options))
    with pytest.raises(ValueError, match=r"holds another scan, over --instances"):
        done(planned(tmp_path / "a", folder, **options))


def test_a_network_for_all_instances_is_trained_once_for_each_temperature(tmp_path, folder):
    sets = ["model.name=pixelcnn", "model.width=8", "model.depth=2", "training.steps=3", "training.batch_size=32"]
    plan = planned(
        tmp_path / "a",
        folder,
        "g4.h5:1,4",
        name="edwards_anderson_disorder",
        sets=[*sets, "model.bond_dimension=3"],
        temperatures=[1.5, 2.0],
    )
    assert len({point.run for point in plan.points}) == 2
    done(plan)
    table = finish_scan(plan, report=tiny.silent)
    point = plan.points[1]
    assert (point.temperature, point.instance.number, point.seed) == (1.5, 4, SEED + 4)
    stored = read_json(point.record)[0]
    words = ("--instance", folder / "g4.h5", "--index", "4", "-n", "100", "--seed", str(SEED + 4), "--json")
    assert json.loads(succeed("estimate", point.run, *words))["log_z"] == stored["estimates"]["log_z"]
    exact = [la.exact_result(glass(k), 1.5).free_energy_per_site for k in (1, 4)]
    assert table.columns["free_energy_per_site_exact"][0, 0] == pytest.approx(np.mean(exact), rel=1e-12)


def test_one_network_for_all_temperatures_of_an_instance(tmp_path, folder):
    sets = [*tiny.SETS, "training.steps=3"]
    options = {"temperatures": [1.5, 2.0], "one_network": True, "sets": sets}
    plan = planned(tmp_path / "a", folder, "g3.h5:0-1", sizes=(3,), **options)
    assert [str(point.run.relative_to(plan.out)) for point in plan.points] == ["3x3/instance-0", "3x3/instance-1"] * 2
    assert plan.points[2].config.couplings.digest == plan.points[0].config.couplings.digest
    assert len({point.seed for point in plan.points}) == 4
    with quiet():
        rows = done(plan)
    assert [row["instance"]["index"] for row in rows] == [0, 0, 1, 1]


def test_until_errors_are_reached(tmp_path, folder):
    plan = planned(tmp_path / "a", folder, "g3.h5:0-1", sizes=(3,), temperatures=[2.0], error={"energy_per_site": 0.02})
    rows = done(plan._replace(n=None))
    assert all(row["estimates"]["energy_per_site"]["reached"] for row in rows)
    assert all(row["estimates"]["energy_per_site"]["error"] <= 0.02 for row in rows)


def test_the_figure_shows_the_averages_beside_exact_ones(finished, folder):
    sets = ("model.name=tensor_network", "model.bond_dimension=16")
    plan = planned(finished[0], folder, "g4.h5:0,2,3", temperatures=GRID, observables=["overlap"], sets=sets, n=N)
    table, figure = finish_scan(plan, report=tiny.silent), Figure()
    scan_figure(figure, table, [[]])
    panels = {ax.get_ylabel(): ax for ax in figure.axes if ax.get_ylabel()}
    assert len(panels) == 12
    drawn = panels["Binder cumulant of the overlap"]
    lines = [line.get_ydata() for line in drawn.lines if len(line.get_ydata()) == len(GRID) and line.get_lw() == 1]
    np.testing.assert_array_equal(lines, table.columns["overlap_binder_cumulant_exact"])
    points = np.concatenate([container.lines[0].get_ydata() for container in drawn.containers])
    assert set(points.tolist()) == set(table.columns["overlap_binder_cumulant"].ravel().tolist())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--size", "3,4", "--instances", "g4.h5"], "no --instances for the size 3x3, got"),
        (["--size", "4", "--instances", "g3.h5"], "(5, 2, 3, 3), which is none of the sizes 4x4"),
        (["--size", "4", "--instances", "g4.h5:0-1", "--instances", "g4.h5:2"], "are both for the size 4x4"),
        (["--size", "4", "--instances", "g4.h5:0-5"], "holds instances 0..4, got 5"),
        (["--size", "4", "--instances", "g4.h5:3"], "a single one by --set hamiltonian.couplings=FILE"),
        (["--size", "4", "--instances", "none.h5"], "No such file"),
        (["--size", "4", "--instances", "g4.h5", "--refine", "2"], "leave it out with --instances"),
        (["--size", "4", "--instances", "g4.h5", "--set", "hamiltonian.couplings=x.h5"], "leave one out"),
        (["--size", "4", "--instances", "g4.h5", "--hamiltonian", "ising"], "this scan is for ising: leave it out"),
        (["--size", "4", "--instances", "g4.h5", "--error", "enrgy_per_site=1%"], "did you mean 'energy_per_site'"),
        (["--size", "4", "--hamiltonian", "edwards_anderson_disorder"], "give their couplings by --instances FILE"),
    ],
)
def test_mistakes_are_one_line(tmp_path, folder, monkeypatch, words, expected):
    monkeypatch.chdir(folder)
    others = [*WORDS[3:]] if "--hamiltonian" in words else [*WORDS[1:]]
    assert expected in refusal("scan", *others, *words, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
