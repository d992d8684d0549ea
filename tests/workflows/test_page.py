"""The page of a run: one file that is well formed, needs nothing else, and shows the numbers of the run."""

import copy
import json
from pathlib import Path

import h5py
import pytest
from support import tiny
from support.browser import CHROMIUM, opened
from support.pages import Page

import latticear as la
from latticear.estimation.estimates import with_error
from latticear.exact.result import QUANTITIES
from latticear.workflows import describe, estimate_run, likelihood_run, report, save_estimates, train_run
from latticear.workflows.page.diagnostics import diagnostics_of, overall
from latticear.workflows.page.run import run_page
from latticear.workflows.report import report_run
from latticear.workflows.scan.report import report_scan

NAME = 'a <b>bold</b> & "quoted" run'

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")


def _reported(run: Path) -> Page:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "MAX_SITES", 1)
        *figures, page = report_run(run)
    found = Page.read(page)
    found.check_self_contained()
    assert found.images == [figure.read_bytes() for figure in figures]
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose name would be markup if it were not escaped, with estimates."""
    path = tiny.train(tmp_path_factory.mktemp("runs") / NAME)
    save_estimates(path, tiny.estimated(path, 2000), seed=0)
    return path


@pytest.fixture(scope="module")
def page(run):
    return _reported(run)


def test_the_table_has_the_numbers_of_the_run(run, page):
    stored = json.loads((run / "estimates.json").read_text())
    for name in QUANTITIES:
        entry = stored[name]
        value = with_error(entry["value"], entry["error"])
        row = page.row(name)
        assert row[1].removesuffix(f" {entry['verdict']}") == value
        assert row[2] == f"{entry['exact']:.8g}"
        assert row[3] == f"{(entry['value'] - entry['exact']) / entry['error']:+.1f} sigma"
    assert f"{stored['ess']['value']:.4g}, {2000 * stored['ess']['value']:,.0f} of 2,000" == page.row("ESS")[1]
    assert page.row("Pareto k")[1] == f"{stored['pareto_k']['value']:.2f}"


def test_it_says_what_was_trained_on_what_and_how_to_go_on(run, page):
    described = describe(run)
    for words in (
        "Ising 4x4, periodic, T = 2.269",
        f"parameters {described['n_parameters']:,}",
        "objective reverse-kl",
        f"steps {tiny.STEPS} of {tiny.STEPS}",
        "seed 0",
        f"torch {described['environment']['versions']['torch']}",
        f"commit {described['environment']['commit']}",
        "From estimates.json, by latticear estimate: checkpoint step-12, seed 0, n = 2,000.",
        f"latticear estimate {run} -n 1e6",
        f"latticear sample {run} -n 1e5 -o FILE.h5",
    ):
        assert words in page.text.replace("\N{NO-BREAK SPACE}", " ")
    assert f"as {run}:" in page.text
    assert "b" not in page.tags
    assert "--resume" not in page.text


def test_every_diagnostic_has_a_verdict_and_a_sentence(page, run):
    found = diagnostics_of(json.loads((run / "estimates.json").read_text()))
    assert len(found) >= 8
    for diagnostic in found:
        row = page.row(diagnostic.name)
        assert row == [diagnostic.name, diagnostic.value, diagnostic.verdict, diagnostic.meaning]
        assert diagnostic.verdict in ("good", "warn", "bad")
        assert diagnostic.meaning.endswith(".")
        assert " ".join(row) in page.text


def test_without_estimates_those_of_the_figures_are_shown_and_the_command_said(tmp_path):
    path = tiny.train(tmp_path / "run")
    found = _reported(path)
    assert f"no estimates of its own yet: latticear estimate {path} makes them" in found.text
    config = describe(path)["config"]
    exact = la.exact_result(la.Ising(tuple(config["hamiltonian"]["shape"])), tiny.TEMPERATURE)
    assert found.row("free_energy_per_site")[2] == f"{exact.free_energy_per_site:.8g}"
    assert found.row("Forward ESS")[1] != "not computed"


def test_estimates_of_an_earlier_checkpoint_are_called_so(run):
    content = describe(run)
    content["estimates"]["checkpoint"] = "step-8"
    assert "The run has gone on to step-12 since: estimate it again." in Page(run_page(run, content, [], [])).text


def test_a_run_that_was_interrupted_says_how_to_go_on(run):
    content = describe(run)
    del content["environment"]["finished"]
    content["last_step"]["step"] = 7
    found = Page(run_page(Path("a"), content, [], []))
    assert f"steps 7 of {tiny.STEPS}" in found.text
    assert "latticear train --out a --resume" in found.text


GOOD = {
    "verdict": "trusted",
    "reasons": ["the exact value"],
    **{name: {"value": 1.0, "error": 0.01, "exact": 1.01, "jackknife_error": 0.011} for name in QUANTITIES},
    "ess": {"value": 0.9, "error": 0.01},
    "pareto_k": {"value": 0.2, "error": 0.0},
    "forward_ess": {"value": 0.9, "error": 0.01},
    "method": "is",
    "n": 10_000,
    "temperature": 2.0,
    "reliable": True,
    "warnings": [],
    "diagnostics": {
        "n": 10_000,
        "ess": 0.9,
        "ess_half": 0.91,
        "pareto_k": 0.2,
        "max_share": 0.001,
        "kl": 0.05,
        "half_variance": 0.05,
        "imbalance": 0.5,
    },
}


def _with(**changes):
    estimates = copy.deepcopy(GOOD)
    for path, value in changes.items():
        place, *way = path.split("__")
        if way:
            estimates[place][way[0]] = value
        elif value is None:
            del estimates[place]
        else:
            estimates[place] = value
    return estimates


@pytest.mark.parametrize(
    ("changes", "name", "verdict"),
    [
        ({}, None, "good"),
        ({"n": 500}, "ESS", "warn"),
        ({"n": 100}, "ESS", "bad"),
        ({"diagnostics__ess_half": 0.5}, "ESS of the first half", "bad"),
        ({"pareto_k__value": 0.6}, "Pareto k", "warn"),
        ({"pareto_k__value": 0.71}, "Pareto k", "bad"),
        ({"diagnostics__max_share": 0.02}, "Largest weight", "warn"),
        ({"diagnostics__max_share": 0.06}, "Largest weight", "bad"),
        ({"diagnostics__half_variance": 0.5}, "KL(q‖p)", "bad"),
        ({"forward_ess__value": 0.6}, "Forward ESS", "warn"),
        ({"forward_ess__value": 0.4}, "Forward ESS", "bad"),
        ({"forward_ess": None}, "Forward ESS", "warn"),
        ({"diagnostics__imbalance": -3.5}, "Heat-bath test", "warn"),
        ({"diagnostics__imbalance": -5.0}, "Heat-bath test", "bad"),
        ({"energy_per_site__value": 1.045}, "Deviation from exact values", "warn"),
        ({"energy_per_site__value": 1.06}, "Deviation from exact values", "bad"),
        ({"energy_per_site__reasons": ["the error depends on few rare events"]}, "Rare events", "warn"),
    ],
)
def test_each_diagnostic_finds_what_it_is_for(changes, name, verdict):
    estimates = _with(**changes)
    found = {diagnostic.name: diagnostic.verdict for diagnostic in diagnostics_of(estimates)}
    others = {each for other, each in found.items() if other != name}
    assert others == {"good"}
    if name:
        assert found[name] == verdict
    assert overall(estimates)[1] == "trusted"  # the verdict is that of the file


def test_warnings_stand_at_the_top(run):
    content = describe(run) | {
        "estimates": _with(verdict="not trusted", reasons=["one sample carries 90% of the <weight>"])
    }
    found = Page(run_page(run, content, [], []))
    assert "Estimates: not trusted one sample carries 90% of the <weight>" in found.text


def test_a_range_has_a_row_for_each_temperature_and_a_verdict_on_each(run):
    content = describe(run)
    content["config"]["temperature"] = (1.5, 3.5)
    points = [_with(temperature=t) for t in (1.5, 2.5)] + [
        _with(temperature=3.5, n=50, verdict="not trusted", reasons=["only 45 effective samples"])
    ]
    content["estimates"] = {"estimates": points, "checkpoint": "step-12"}
    found = Page(run_page(Path("a"), content, [], []))
    for point in points:
        row = found.row(f"{point['temperature']:g}")
        assert row[1] == ("not trusted" if point["n"] == 50 else "trusted")
        assert row[2:5] == [with_error(1.0, 0.01), "1.01", "-1.0 sigma"]
    assert "2 of 3 temperatures trusted" in found.text
    assert "T = 3.5: only 45 effective samples." in found.text
    assert "latticear sample a -n 1e5 --temperature T -o FILE.h5" in found.text


def test_a_range_of_something_else_numbers_its_points(run):
    content = describe(run) | {"estimates": {"estimates": [_with(n=n) for n in (1000, 9000)], "checkpoint": "step-12"}}
    found = Page(run_page(Path("a"), content, [], []))
    assert found.row("1")[1] == found.row("2")[1] == "trusted"
    assert "At point = 1, where the ESS is smallest:" in found.text
    assert "point" in found.text


def test_other_methods_have_their_own_diagnostics(run):
    smc = _with(method="smc", forward_ess=None)
    smc["diagnostics"] = {"ess_islands": 0.3, "ancestors": 0.01, "imbalance": 0.1}
    mcmc = _with(method="mcmc", forward_ess=None, ess=None, pareto_k=None)
    mcmc["diagnostics"] = {"ess": 0.4, "acceptance": 0.05, "tau_int_energy": 3.0, "imbalance": 0.1}
    for estimates, verdicts in (
        (smc, {"ESS of the islands": "bad", "Ancestors": "warn"}),
        (mcmc, {"Acceptance": "warn", "Autocorrelation time": "good"}),
    ):
        found = {diagnostic.name: diagnostic.verdict for diagnostic in diagnostics_of(estimates)}
        assert verdicts.items() <= found.items()
        assert "Forward ESS" not in found


def test_a_disorder_and_a_grid(tmp_path):
    sets = (
        "hamiltonian.name=edwards_anderson_disorder",
        "temperature=1.0",
        "model.name=multiscale",
        "training.steps=3",
    )
    found = _reported(tiny.train(tmp_path / "glass", *sets))
    assert "--instance FILE" in found.text
    tokens, labels = la.data.glyphs(50, (8, 9), 3, characters="01")
    with h5py.File(tmp_path / "data.h5", "w") as h5:
        h5["spins"], h5["condition"] = tokens.numpy(), labels.numpy()
    path = tmp_path / "grid"
    values = {"grid": {"levels": 3}, "training": {"data": str(tmp_path / "data.h5")}}
    train_run(path, None, tiny.SETS, values, resume=False, report=tiny.silent)
    likelihood_run(path, n=5, data=None, device="cpu")
    found = _reported(path)
    stored = json.loads((path / "estimates.json").read_text())["nll_per_site"]
    assert found.row("nll_per_site")[1] == with_error(stored["value"], stored["error"])
    assert "Grid 8x9, 3 levels, 2 classes" in found.text
    assert f"latticear sample {path} -n 1e5 --condition K -o FILE.h5" in found.text
    assert "Estimates:" not in found.text


# in a browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory, run, page):
    """Pages of a run, of a range and of a scan."""
    folder = tmp_path_factory.mktemp("pages")
    covered = tiny.train(folder / "range", "temperature=[2.0, 3.0]", "training.steps=3")
    results = estimate_run(
        covered, 200, temperatures=None, method=None, data=None, seed=0, device="cpu", report=tiny.silent
    )
    save_estimates(covered, results, seed=0)
    _reported(covered)
    return {"run": run / "report.html", "range": covered / "report.html", "scan": report_scan(_scan(folder / "scan"))}


def _scan(folder: Path) -> Path:
    """A scan of two points whose figure is some picture."""
    from matplotlib.figure import Figure

    config = {"hamiltonian": {"name": "ising", "shape": [4, 4]}, "model": {"name": "pixelcnn"}, "seed": 0}
    config |= {"training": {"objective": "reverse-kl", "steps": 9, "batch_size": 8}, "temperature": 2.0}
    settings = {"configs": {"4x4": config}, "sizes": ["4x4"], "temperatures": [2.0, 2.5], "n": 100, "chains": 1}
    (folder / "points").mkdir(parents=True)
    (folder / "scan.json").write_text(json.dumps(settings))
    for t in settings["temperatures"]:
        point = {"shape": [4, 4], "temperature": t, "steps": 9, "seconds": 1.0, "monte_carlo": None}
        (folder / "points" / f"4x4-T{t:g}.json").write_text(json.dumps(point | {"estimates": _with(temperature=t)}))
    Figure(figsize=(12, 6)).savefig(folder / "scan.png")
    return folder


def test_a_scan_has_a_row_for_each_point_that_is_finished(tmp_path):
    folder = _scan(tmp_path / "scan")
    (folder / "points" / "4x4-T2.5.json").unlink()
    found = Page.read(report_scan(folder))
    found.check_self_contained()
    assert found.images == [(folder / "scan.png").read_bytes()]
    assert found.row("4x4", "2")[2:5] == ["trusted", with_error(1.0, 0.01), "1.01"]
    assert not list(found.all_rows("4x4", "2.5"))
    assert "1 of 2 points, 100 samples at each" in found.text
    assert f"latticear scan ... --out {folder} --resume" in found.text


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("kind", ["run", "range", "scan"])
def test_in_a_browser_it_is_drawn_without_an_error_and_fits_the_window(pages, kind, width, tmp_path):
    page = pages[kind]
    found = opened(page, width, tmp_path)
    assert found["errors"] == found["console"] == found["loaded"] == []
    assert len(found["images"]) == len(Page.read(page).images) > 0
    assert all(natural > 0 for natural in found["images"])
    assert found["inner"] == width
    assert found["wide"] <= width


@pytest.mark.slow
@needs_chromium
def test_the_browser_notices_what_is_wrong(tmp_path):
    """A page that is too wide, with a picture that is none, a file from elsewhere and a broken script."""
    page = tmp_path / "page.html"
    page.write_text(
        '<!doctype html><html><head></head><body><div style="width: 500px">wide</div>'
        '<img src="data:image/png;base64,AAAA"><img src="elsewhere.png"><script>broken();</script></body></html>'
    )
    found = opened(page, 400, tmp_path)
    assert found["wide"] == 508
    assert found["images"] == [0, 0]
    assert len(found["errors"]) == 3
    assert found["console"]
