"""Figures show the numbers they are given: read back from the artists, and drawn without a warning."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import latticear as la
from latticear.estimation.estimates import Estimate
from latticear.plotting import (
    BLIND,
    EXACT,
    LABELS,
    LATER,
    MODEL,
    bound_curve,
    completions,
    correlation_function,
    histogram,
    likelihood_curve,
    profile,
    receptive_field,
    sample_grid,
    training_curve,
    value_legend,
    wavefront,
    weight_histogram,
)
from latticear.sampling.receptive import field_of

RNG = np.random.default_rng(0)


@pytest.fixture
def ax():
    figure = Figure()
    axes = figure.subplots()
    yield axes
    figure.savefig(io.BytesIO(), format="png")  # warnings are errors


def _row(step, value, error=0.01):
    return {"step": step, "free_energy_per_site": value, "free_energy_error": error}


def test_training_curve_is_the_excess_over_the_exact_value(ax):
    rows = [_row(1, -1.5), {"step": 2, "loss": 0.1}, _row(3, -2.25), _row(4, -2.05)]
    assert training_curve(ax, rows, exact=-2.125) is ax
    excess, error = ax.get_lines()
    np.testing.assert_array_equal(excess.get_xdata(), [1, 3, 4])
    np.testing.assert_allclose(excess.get_ydata(), [0.625, np.nan, 0.075])  # a batch below the bound is noise
    np.testing.assert_array_equal(error.get_ydata(), [0.01] * 3)
    assert ax.get_yscale() == "log"


def test_the_bound_is_shown_above_the_exact_value(ax):
    assert bound_curve(ax, [_row(k, -2 + 1 / k) for k in range(1, 20)], exact=-2.125) is ax
    bound, exact = ax.get_lines()
    np.testing.assert_allclose(bound.get_ydata(), [-2 + 1 / k for k in range(1, 20)])
    assert set(exact.get_ydata()) == {-2.125}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "variational (upper bound), one batch",
        "exact",
    ]
    low, high = ax.get_ylim()
    assert low < -2.125 < -2 + 1 / 19 < high < -1


def test_training_curve_without_an_exact_value_shows_the_free_energy_itself(ax):
    training_curve(ax, [_row(k, -2 + 1 / k) for k in range(1, 20)])
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), [-2 + 1 / k for k in range(1, 20)])
    low, high = ax.get_ylim()
    assert low < -2 + 1 / 19 < high < -1  # the first steps do not squeeze the rest


@pytest.mark.parametrize("exact", [None, -2.0])
@pytest.mark.parametrize("n", [0, 1])
def test_training_curve_of_hardly_anything(ax, n, exact):
    training_curve(ax, [_row(k, -1.0) for k in range(n)], exact)
    shown = [line.get_xydata().tolist() for line in ax.get_lines()]
    points = {None: [[[k, -1.0] for k in range(n)]], -2.0: [[[k, y] for k in range(n)] for y in (1.0, 0.01)]}
    assert shown == points[exact]  # a mean over no steps is left out
    assert ax.get_yscale() == ("log" if exact is not None and n else "linear")
    low, high = ax.get_ylim()
    assert all(low < y < high for line in shown for _, y in line)


def test_sample_grid_puts_every_configuration_in_its_frame(ax):
    spins = RNG.choice([-1.0, 1.0], size=(6, 3, 5))
    assert sample_grid(ax, spins, 2, "model") is ax
    canvas = np.ma.filled(ax.get_images()[0].get_array(), np.nan)
    assert canvas.shape == (3 * 4 + 1, 2 * 6 + 1)
    for k in range(6):
        y, x = divmod(k, 2)
        np.testing.assert_array_equal(canvas[4 * y + 1 : 4 * y + 4, 6 * x + 1 : 6 * x + 6], spins[k])
    assert np.isnan(canvas[::4]).all()
    assert np.isnan(canvas[:, ::6]).all()
    assert ax.get_title() == "model"


def test_equal_pictures_have_the_colour_of_their_value_and_not_of_the_range(ax):
    sample_grid(ax, np.ones((2, 3, 3)), 2, "all up", states=np.array([-1.0, 1.0]))
    assert ax.get_images()[0].get_clim() == (-1, 1)


@pytest.mark.parametrize(
    ("states", "noun", "labels"),
    [
        ([-1.0, 1.0], "spin", ["spin -1", "spin +1"]),
        ([-1.0, 0.0, 1.0], "spin", ["spin -1", "spin 0", "spin +1"]),
        ([0.0, 1.0, 2.0], "state", ["state 0", "state 1", "state 2"]),
    ],
)
def test_a_legend_says_which_colour_is_which_value(ax, states, noun, labels):
    picture = sample_grid(ax, np.array([[states]]), 1, "", np.array(states)).get_images()[0]
    value_legend(ax.figure, [ax], np.array(states), noun)
    (legend,) = ax.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == labels
    shown = [to_hex(patch.get_facecolor()) for patch in legend.get_patches()]
    assert shown == [to_hex(picture.cmap(picture.norm(x))) for x in states]


def test_many_values_have_a_colour_bar(ax):
    value_legend(ax.figure, [ax], np.arange(256.0), "value")
    assert not ax.figure.legends
    bar = ax.figure.axes[-1]
    assert bar.get_xlabel() == "value"
    assert bar.get_xlim() == (0, 255)


def _densities(ax):
    """(edges, heights) of the filled histogram and of the outlines."""
    bars = ax.containers[0] if ax.containers else ax.patches
    edges = [bar.get_x() for bar in bars] + [bars[-1].get_x() + bars[-1].get_width()]
    return np.array(edges), np.array([bar.get_height() for bar in bars])


def test_histogram_never_splits_a_level_and_weighs_the_samples(ax):
    levels = np.array([-2.0, -1.5, -1.25, -1.0])
    reference = np.repeat(levels, [4, 3, 2, 1])
    values, weights = levels, np.array([4.0, 3.0, 2.0, 1.0])
    assert histogram(ax, values, weights, reference, "energy", {-1.6: "exact mean"}) is ax
    assert ax.get_lines()[0].get_xdata() == [-1.6, -1.6]
    assert "exact mean" in [text.get_text() for text in ax.get_legend().get_texts()]
    edges, heights = _densities(ax)
    widths = np.diff(edges)
    assert (heights * widths).sum() == pytest.approx(1)
    inside = np.digitize(levels, edges) - 1
    assert len(set(inside)) == 4
    np.testing.assert_allclose((heights * widths)[inside], [0.4, 0.3, 0.2, 0.1])
    weighted = next(p for p in ax.patches if p.get_label() == "model, weighted")
    assert weighted.get_path().vertices[:, 1].max() == pytest.approx(heights.max())  # the same distribution


@pytest.mark.parametrize(
    ("values", "reference"),
    [
        (np.full(9, -2.0), np.full(9, -2.0)),
        (np.full(9, -2.0), np.full(9, 2.0)),
        (RNG.normal(size=500), RNG.normal(size=700)),
        (np.array([-2, -2 + 4e-16, -1, 1]), np.array([-2.0])),
    ],
    ids=["one level", "two levels", "continuous", "rounding"],
)
def test_histogram_of_any_values_has_few_bins_and_all_of_the_weight(ax, values, reference):
    histogram(ax, values, np.ones(len(values)), reference, "m")
    edges, heights = _densities(ax)
    assert len(heights) <= 100
    assert (heights * np.diff(edges)).sum() == pytest.approx(1)


def test_correlation_function_shows_both_with_error_bars(ax):
    ours = Estimate(np.array([1.0, 0.7, 0.6]), np.array([0.0, 0.01, 0.02]), n=10, ess=1.0)
    theirs = Estimate(np.array([1.0, 0.71, 0.62]), np.array([0.0, 0.01, 0.01]), n=10, ess=1.0)
    assert correlation_function(ax, ours, theirs) is ax
    shown = {container.get_label(): container for container in ax.containers}
    np.testing.assert_array_equal(shown["model, weighted"].lines[0].get_xydata(), [[1, 0.7], [2, 0.6]])
    np.testing.assert_array_equal(
        shown["Monte Carlo"].lines[0].get_ydata(), theirs.value[1:]
    )  # G(0) = 1 needs no picture
    bars = shown["model, weighted"].lines[2][0].get_segments()
    np.testing.assert_allclose(bars[1], [[2, 0.58], [2, 0.62]])


def test_profile_draws_the_band_and_leaves_out_bins_without_a_value(ax):
    value, error = np.array([3.0, np.nan, 1.0]), np.array([0.5, np.nan, 0.1])
    labels, exact = {"m": np.array([-1.0, 0.0, 1.0])}, np.array([2.9, 2.0, 1.1])
    estimate = Estimate(value, error, n=100, ess=1.0, exact=exact, labels=labels)
    profile(ax, estimate)
    points, line = ax.lines
    assert points.get_xydata().tolist() == [[-1, 3], [1, 1]]
    assert line.get_ydata().tolist() == exact.tolist()
    heights = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert {2.5, 3.5} <= set(heights)
    with pytest.raises(ValueError, match="one label for each entry"):
        profile(ax, Estimate(value, error, n=100, ess=1.0))


@pytest.mark.parametrize(
    "log_w",
    [RNG.normal(size=1000) + 5000, np.full(50, 3.0), np.array([-1e4, 0, 1e3]), np.array([1.0])],
    ids=["far from zero", "perfect model", "wide", "one"],
)
def test_weight_histogram_counts_all_weights_relative_to_their_mean(ax, log_w):
    assert weight_histogram(ax, log_w, "ESS 1") is ax
    assert sum(bar.get_height() for bar in ax.containers[0]) == len(log_w)
    if len(log_w) > 3:
        assert ax.containers[0][0].get_x() < 0 < ax.containers[0][-1].get_x() + ax.containers[0][-1].get_width()
    assert "ESS 1" in {text.get_text() for text in ax.texts}


def _colours(ax):
    image = np.asarray(ax.get_images()[0].get_array())
    return np.array([[to_hex(colour) for colour in row] for row in image])


def _keys(ax):
    legend = ax.get_legend()
    return [text.get_text() for text in legend.get_texts()]


def test_receptive_field_colours_every_site_by_what_is_known_of_it(ax):
    model = la.PixelCNN((4, 5), width=4, depth=1, kernel_size=3, bias=la.Ising((4, 5)).bias(2.0))
    assert receptive_field(ax, model, (3, 4)) is ax
    field = field_of(model, (3, 4))
    expected = np.where(field.earlier, BLIND, LATER)
    expected[2, 3:] = expected[3, 3] = MODEL
    expected[3, 4] = EXACT
    assert (_colours(ax) == expected).all()
    dots = {tuple(int(z) for z in dot.center) for dot in ax.patches}  # (x, y)
    assert dots == {(3, 3), (4, 2), (0, 3), (4, 0)}
    assert _keys(ax) == ["site (3, 4)", "seen: 3", "blind spot: 16", "later", "known to the bias: 4"]


def test_receptive_field_of_the_centre_without_a_bias(ax):
    receptive_field(ax, la.PixelCNN((3, 5), width=4, depth=1))
    colours = _colours(ax)
    assert colours[1, 2] == EXACT
    assert (colours.flatten()[:7] == MODEL).all()
    assert (colours.flatten()[8:] == LATER).all()
    assert _keys(ax) == ["site (1, 2)", "seen: 7", "blind spot: 0", "later"]


class _Rolled(la.PixelCNN):
    """What offsets do not describe."""

    def _logits(self, tokens, condition):
        return super()._logits(tokens.roll(1, 1), condition)


def test_receptive_field_of_what_cannot_be_traced_is_refused(ax):
    with pytest.raises(ValueError, match="receptive field of _Rolled does not follow from the offsets"):
        receptive_field(ax, _Rolled((3, 4), width=4))


@pytest.mark.parametrize("shape", [(4, 6), (1, 6), (6, 1), (3, 24)])
def test_wavefront_shows_the_tick_of_every_site(ax, shape):
    model = la.PixelCNN(shape, width=4, depth=2, kernel_size=3)
    assert wavefront(ax, model) is ax
    height, width = shape
    slope = 1 if 1 in shape else 2
    rank = slope * np.arange(height)[:, None] + np.arange(width)
    ticks = slope * (height - 1) + width
    front = rank == ticks // 2
    colours = _colours(ax)
    assert (colours[front] == BLIND).all()
    assert (colours[rank > ticks // 2] == LATER).all()
    assert not np.isin(colours[rank < ticks // 2], [BLIND, LATER]).any()
    numbers = {tuple(int(z) for z in text.get_position()): text.get_text() for text in ax.texts}
    every = {(x, y): str(rank[y, x]) for y in range(height) for x in range(width)}
    assert numbers == (every if width <= 20 else {})
    assert f"{ticks} ticks instead of H W = {height * width}" in ax.get_title()
    assert ax.get_title().startswith(f"s = {slope}:")
    assert _keys(ax)[1] == f"tick {ticks // 2}: {front.sum()} site{'s at once' if front.sum() > 1 else ''}"


def test_wavefront_of_another_tick(ax):
    model = la.PixelCNN((3, 4), width=4, kernel_size=3)
    wavefront(ax, model, 0)
    assert (_colours(ax) == BLIND).sum() == 1
    for tick in (-1, 8):
        with pytest.raises(ValueError, match=f"tick must be one of 0..7 at which a site is drawn, got {tick}"):
            wavefront(ax, model, tick)


def test_phases_of_another_order(ax):
    model = la.MultiscalePixelCNN((4, 6), width=4)
    wavefront(ax, model)
    ticks = int(model.rank.max()) + 1
    assert ax.get_title() == f"{ticks} ticks instead of H W = 24"
    assert {text.get_text() for text in ax.texts} == {str(tick) for tick in range(ticks)}


def test_likelihood_curve_in_nats_and_bits(ax):
    rows = [{"step": k, "loss": 1 / k} | ({"nll_held_out": 2 / k} if k % 5 == 0 else {}) for k in range(1, 21)]
    assert likelihood_curve(ax, rows, baseline=0.6) is ax
    batch, held, baseline = ax.get_lines()
    np.testing.assert_allclose(batch.get_ydata(), [1 / k for k in range(1, 21)])
    np.testing.assert_array_equal(held.get_xdata(), [5, 10, 15, 20])
    np.testing.assert_allclose(held.get_ydata(), [0.4, 0.2, 2 / 15, 0.1])
    assert set(baseline.get_ydata()) == {0.6}
    low, high = ax.get_ylim()
    assert low < 0.05 < 0.6 < high < 1  # the first steps do not squeeze the rest
    ax.figure.savefig(io.BytesIO(), format="png")
    (bits,) = ax.child_axes
    np.testing.assert_allclose(bits.get_ylim(), np.array([low, high]) / np.log(2))


@pytest.mark.parametrize("n", [0, 1, 3])
def test_likelihood_curve_of_a_run_that_hardly_began(ax, n):
    likelihood_curve(ax, [{"step": k, "loss": 1.0} for k in range(n)])
    assert [line.get_label() for line in ax.get_lines()] == ["one batch"]  # nothing is held out yet
    assert ax.get_lines()[0].get_xydata().tolist() == [[k, 1.0] for k in range(n)]
    low, high = ax.get_ylim()
    assert n == 0 or 0.99 < low < 1 < high < 1.01  # a constant is shown as one


def test_completions_hide_what_was_not_held(ax):
    true, drawn = RNG.random((2, 4, 3)), RNG.random((2, 5, 4, 3))
    where = np.zeros((2, 4, 3), bool)
    where[0, :2], where[1, :, 1] = True, True
    assert completions(ax, true, where, drawn, "title") is ax
    canvas = np.ma.filled(ax.get_images()[0].get_array(), np.nan)
    assert canvas.shape == (2 * 5 + 1, 7 * 4 + 1)
    for row in range(2):
        cells = [canvas[5 * row + 1 : 5 * row + 5, 4 * k + 1 : 4 * k + 4] for k in range(7)]
        np.testing.assert_array_equal(cells[0], np.where(where[row], true[row], np.nan))
        np.testing.assert_array_equal(cells[1:6], drawn[row])
        np.testing.assert_array_equal(cells[6], true[row])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["held fixed", "drawn", "taken from"]


def test_axes_do_not_divide_by_a_coupling_that_need_not_be_one():
    assert not [label for label in LABELS.values() if "J" in label]
