"""The figures of a report, with something on them, for every kind of run; test_page.py has the page."""

import h5py
import matplotlib.image
import numpy as np
import pytest
import torch
from support import tiny

import latticear as la
from latticear.checksums import DamagedError
from latticear.runs.directory import load_model
from latticear.workflows import report, report_grid, train_run, trained
from latticear.workflows.report import report_run

NAMES = ["training", "samples", "histograms", "correlation", "weights", "receptive_field"]


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    monkeypatch.setattr(report, "MAX_SITES", 1)


def _check_figures(run) -> dict[str, np.ndarray]:
    *paths, page = report_run(run)
    assert page == run / "report.html"
    assert paths == [run / "figures" / f"{name}.png" for name in NAMES]
    pictures = {path.stem: matplotlib.image.imread(path) for path in paths}
    for picture in pictures.values():
        assert min(picture.shape[:2]) >= 500
        ink = (picture[..., :3].min(-1) < 0.9).mean()
        assert 0.005 < ink < 0.8
    return pictures


def _pictures(run, seed) -> dict[str, np.ndarray]:
    *paths, _ = report_run(run, seed=seed)
    return {path.stem: matplotlib.image.imread(path) for path in paths}


def test_figures_of_a_run(tmp_path):
    pictures = _check_figures(tiny.train(tmp_path / "run"))
    again, other = (_pictures(tmp_path / "run", seed) for seed in (0, 1))
    for name in NAMES:
        assert np.array_equal(pictures[name], again[name])
        assert np.array_equal(pictures[name], other[name]) == (name in ("training", "receptive_field"))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{", b'{"temperature": 2.0}'])
def test_nothing_is_drawn_of_a_damaged_run(copy, content):
    (copy / "estimates.json").write_bytes(content)
    with pytest.raises(DamagedError, match=r"estimates\.json is damaged"):
        next(report_run(copy))
    assert not (copy / "figures").exists()


def test_a_network_with_an_order_of_its_own(tmp_path):
    """It has no receptive field that offsets describe, and all other figures."""
    assert train_run(
        tmp_path / "run",
        None,
        ["model.width=8", "training.objective=reverse-kl", "training.batch_size=32", "training.steps=3"],
        {**tiny.VALUES, "model": {"name": "multiscale"}},
        resume=False,
        report=tiny.silent,
    )
    assert [path.stem for path in report_run(tmp_path / "run")] == [*NAMES[:-1], "report"]


def test_figures_are_given_what_they_say(tmp_path, monkeypatch):
    drawn: dict[str, list] = {}
    names = ("sample_grid", "histogram", "training_curve", "bound_curve", "weight_histogram", "correlation_function")
    for name in names:
        monkeypatch.setattr(report, name, lambda ax, *given, name=name: drawn.setdefault(name, []).append(given))
    run = tiny.train(tmp_path / "run")
    list(report_run(run, seed=3))
    run_there = trained(run, "cpu")
    ising, model = run_there.target.system, run_there.model
    samples = model.sample(256, seed=3)
    energy, m = ising.token_energy(samples.tokens) / 16, ising.spins(samples.tokens).mean((1, 2))
    log_w = -16 * energy / tiny.TEMPERATURE - samples.log_q
    known = la.exact_result(ising, tiny.TEMPERATURE)
    assert [list(given[-1]) for given in drawn["histogram"]] == [
        pytest.approx([known.energy_per_site]),
        pytest.approx([-known.abs_magnetization, known.abs_magnetization]),
    ]
    for values, (shown, weights, reference, *_) in zip((energy, m), drawn["histogram"], strict=True):
        np.testing.assert_array_equal(shown, values)
        np.testing.assert_allclose(weights / weights.sum(), log_w.softmax(0), rtol=1e-12)
        assert len(reference) == 256
        assert abs(np.average(shown, weights=weights) - reference.mean()) < 0.3
    np.testing.assert_allclose(drawn["weight_histogram"][0][0], log_w, rtol=1e-12)
    rows, exact = drawn["training_curve"][0]
    assert len(rows) == tiny.STEPS
    assert drawn["bound_curve"][0][1] == exact
    grids = [given[0] for given in drawn["sample_grid"]]
    np.testing.assert_array_equal(grids[0], ising.spins(samples.tokens[:16]))
    assert grids[1].shape == (16, 4, 4)
    assert exact == pytest.approx(la.kaufman(tiny.SIZE, tiny.TEMPERATURE).free_energy_per_site)
    ours, theirs = drawn["correlation_function"][0]
    assert ours.value[0] == theirs.value[0] == 1
    assert (abs(ours.value - theirs.value) <= 5 * np.hypot(ours.error, theirs.error)).all()


def test_figures_of_maximum_likelihood(tmp_path):
    _check_figures(tiny.train(tmp_path / "run", *tiny.forward(tiny.monte_carlo(tmp_path / "mc.h5"))))


def test_figures_of_a_system_without_symmetry_or_exact_result(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "exact_result", lambda *_: None)
    sets = ("hamiltonian.shape=[3, 5]", "hamiltonian.coupling=-0.7", "hamiltonian.field=0.3", "training.steps=5")
    _check_figures(tiny.train(tmp_path / "run", *sets, "hamiltonian.periodic=[true, false]"))


def test_a_run_in_its_ground_state_has_figures_too(tmp_path):
    _check_figures(tiny.train(tmp_path / "run", "temperature=0.05", "training.steps=2"))


@pytest.mark.parametrize("held_out", [0.0, 0.2])
def test_figures_of_a_grid(tmp_path, monkeypatch, held_out):
    """Samples stand beside data of the same condition, and completions keep the upper half of theirs."""
    drawn: dict[str, list] = {}
    for name in ("sample_grid", "completions", "likelihood_curve"):
        true = getattr(report_grid, name)
        monkeypatch.setattr(
            report_grid,
            name,
            lambda *given, true=true, name=name: drawn.setdefault(name, []).append(given) or true(*given),
        )
    tokens, labels = la.data.glyphs(50, (8, 9), 3, characters="01")
    with h5py.File(tmp_path / "data.h5", "w") as h5:
        h5["spins"], h5["condition"] = tokens.numpy(), labels.numpy()
    values = {"grid": {"levels": 3}, "training": {"data": str(tmp_path / "data.h5"), "held_out": held_out}}
    run = tmp_path / "run"
    train_run(run, None, tiny.SETS, values, resume=False, report=tiny.silent)
    *paths, _ = report_run(run, seed=3)
    assert paths == [
        run / "figures" / f"{name}.png" for name in ("training", "samples", "completions", "receptive_field")
    ]
    for path in paths:
        assert 0.005 < (matplotlib.image.imread(path)[..., :3].min(-1) < 0.9).mean() < 0.9
    condition = torch.eye(2)[labels[-36:]]
    (_, ours, *_), (_, data, *_) = drawn["sample_grid"][:2]
    np.testing.assert_array_equal(ours, load_model(run).sample(36, seed=3, condition=condition).tokens)
    np.testing.assert_array_equal(data, tokens[-36:])
    _, origin, where, completed, *_ = drawn["completions"][0]
    np.testing.assert_array_equal(origin, tokens[-8:])
    assert where[:, :4].all()
    assert not where[:, 4:].any()
    np.testing.assert_array_equal(completed[:, :, :4], tokens[-8:, None, :4].expand(-1, 6, -1, -1))
    assert len(drawn["likelihood_curve"][0][1]) == tiny.STEPS


def test_components_are_shown_side_by_side():
    grid = la.Grid((2, 3), 4, values=[0, 10, 20, 30], n_components=2)
    tokens = torch.arange(24).view(2, 2, 2, 3) % 4
    shown = report_grid.panels(grid, tokens)
    assert shown.shape == (2, 2, 6)
    np.testing.assert_array_equal(shown[1, :, 3:], 10 * tokens[1, 1])
    np.testing.assert_array_equal(shown[0, :, :3], 10 * tokens[0, 0])
