"""What each figure of a run shows, in one sentence, and how large it stands on the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["captioned"]

CAPTIONS = {
    "training": "The variational free energy of each training batch, on average an upper bound of the free energy; "
    "where an exact value is known, the excess over it is on the right.",
    "samples": "Independent samples of the network beside configurations of a short Monte Carlo simulation: they "
    "should look alike.",
    "histograms": "Energy and magnetisation of the samples, as the network draws them and weighted: the weighted ones "
    "and Monte Carlo should agree.",
    "correlation": "The correlation of two sites at distance r with error bars, of both kinds of configurations.",
    "weights": "The logarithms of the importance weights: a perfect network has all of them at 0, and a long tail to "
    "the right spoils the averages.",
    "receptive_field": "Which sites the network reads before it draws the dark one: a blind spot limits what it can "
    "learn.",
    "temperatures": "Estimates along the range of the network, beside exact curves where there are any.",
    "completions": "Pictures whose upper half is taken from the data and whose lower half the network draws, several "
    "times each.",
}
"""One sentence for each figure."""

OF_DATA = {
    "training": "The negative log-likelihood of the training batches and of the held-out data: a growing distance "
    "between the two is overfitting.",
    "samples": "Samples of the network beside data of the same conditions: they should look alike.",
}
"""The same for a run on a grid, which has no energy."""

WIDE, TALL = ("samples", "training", "histograms", "temperatures"), ("receptive_field", "completions")
"""Figures as wide as the page, and those that are higher than wide."""


def captioned(figures: Sequence[Path], is_grid: bool) -> list[tuple[Path, str, str]]:
    """Each figure with its caption and a CSS class.

    Args:
        figures: the PNG files.
        is_grid: whether the run is one on a grid.
    """
    captions = CAPTIONS | (OF_DATA if is_grid else {})
    kinds = {**dict.fromkeys(WIDE, "wide"), **dict.fromkeys(TALL, "tall")}
    return [(path, captions.get(path.stem, ""), kinds.get(path.stem, "")) for path in figures]
