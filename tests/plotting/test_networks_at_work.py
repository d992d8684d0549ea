"""Animations and histograms that grow show what was drawn, and when."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from PIL import Image

import latticear as la
from latticear.plotting import BLIND, LATER, drawing_animation, growing_weights
from latticear.plotting.animations import pictures

MODELS = {
    "raster": la.PixelCNN((4, 6), kernel_size=3),
    "phases": la.MultiscalePixelCNN((4, 6), bias=la.Ising((4, 6)).bias(2.269)),
    "one site": la.PixelCNN((1, 1)),
}
SPINS = np.where(np.random.default_rng(0).random((8, 8)) < 0.5, -1.0, 1.0)


def _is(colours, colour):
    return (colours == np.array(to_rgba(colour))).all(-1)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("frames", [3, 100])
def test_each_site_is_drawn_in_its_tick(name, frames):
    rank = MODELS[name].rank.numpy()
    drawn = np.random.default_rng(0).random((*rank.shape, 4))
    *shown, (complete, _) = pictures(rank, drawn, frames)
    assert len(shown) < frames
    assert frames < 100 or len(shown) == rank.max()
    before = np.zeros(rank.shape, dtype=bool)
    for colours, title in shown:
        front, later = _is(colours, BLIND), _is(colours, LATER)
        assert front.any()
        assert f": {front.sum()} site" in title
        assert rank[front].max() < rank[later].min()
        np.testing.assert_array_equal(before | front, ~later)
        np.testing.assert_array_equal(colours[before], drawn[before])
        before |= front
    np.testing.assert_array_equal(complete, drawn)


def test_an_animation_is_written(tmp_path):
    animation = drawing_animation(Figure(), MODELS["phases"], SPINS[:4, :6], states=[-1, 1])
    animation.save(tmp_path / "drawing.gif", writer="pillow")
    with Image.open(tmp_path / "drawing.gif") as gif:
        assert gif.n_frames == MODELS["phases"].rank.max() + 1


def test_what_cannot_be_animated_is_refused():
    with pytest.raises(ValueError, match=r"spins must have the shape of the lattice, \(4, 6\), got \(8, 8\)"):
        drawing_animation(Figure(), MODELS["raster"], SPINS)
    with pytest.raises(ValueError, match="frames must be at least 1, got 0"):
        drawing_animation(Figure(), MODELS["raster"], SPINS[:4, :6], frames=0)


def test_histograms_of_weights_grow():
    log_w = np.random.default_rng(1).normal(size=1000)
    figure = Figure()
    ax = growing_weights(figure.subplots(), log_w, [10, 100, 1000])
    counts = [sum(bar.get_height() for bar in container) for container in ax.containers]
    assert counts == [1000, 100, 10]  # the largest behind the others
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    ess = np.exp(log_w).sum() ** 2 / (np.exp(2 * log_w).sum() * 1000)
    assert labels[0] == f"n = 1,000: ESS {ess:.3f}"
    figure.savefig(io.BytesIO(), format="png")


@pytest.mark.parametrize("numbers", [[], [0, 10], [10, 5], [5, 5], [20]])
def test_numbers_that_do_not_grow_are_refused(numbers):
    with pytest.raises(ValueError, match=r"numbers must ascend within 1\.\.10"):
        growing_weights(Figure().subplots(), np.zeros(10), numbers)
