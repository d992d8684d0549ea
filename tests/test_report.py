"""The report: five figures with something on them, for every kind of run."""

import matplotlib.image
import numpy as np
import pytest
import tiny

from latticear import report
from latticear.report import report_run

NAMES = ["training", "samples", "histograms", "correlation", "weights"]


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    monkeypatch.setattr(report, "MAX_SITES", 1)


def _check_figures(run) -> dict[str, np.ndarray]:
    paths = list(report_run(run))
    assert paths == [run / "figures" / f"{name}.png" for name in NAMES]
    pictures = {path.stem: matplotlib.image.imread(path) for path in paths}
    for picture in pictures.values():
        assert min(picture.shape[:2]) >= 500
        ink = (picture[..., :3].min(-1) < 0.9).mean()
        assert 0.005 < ink < 0.8
    return pictures


def test_figures_of_a_run(tmp_path):
    pictures = _check_figures(tiny.train(tmp_path / "run"))
    again = {path.stem: matplotlib.image.imread(path) for path in report_run(tmp_path / "run", seed=0)}
    other = {path.stem: matplotlib.image.imread(path) for path in report_run(tmp_path / "run", seed=1)}
    for name in NAMES:
        assert np.array_equal(pictures[name], again[name])
        assert np.array_equal(pictures[name], other[name]) == (name == "training")


def test_figures_of_maximum_likelihood(tmp_path):
    _check_figures(tiny.train(tmp_path / "run", *tiny.forward(tiny.monte_carlo(tmp_path / "mc.h5"))))


def test_figures_of_a_system_without_symmetry_or_exact_result(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "exact_result", lambda *_: None)
    sets = ("hamiltonian.shape=[3, 5]", "hamiltonian.coupling=-0.7", "hamiltonian.field=0.3", "training.steps=5")
    _check_figures(tiny.train(tmp_path / "run", *sets, "hamiltonian.periodic=[true, false]"))


def test_a_run_in_its_ground_state_has_figures_too(tmp_path):
    _check_figures(tiny.train(tmp_path / "run", "temperature=0.05", "training.steps=2"))
