"""Figures: each function draws one figure on a matplotlib Axes and returns the Axes."""

from latticear.plotting.animations import drawing_animation
from latticear.plotting.configurations import completions, sample_grid, value_legend
from latticear.plotting.networks import receptive_field, wavefront
from latticear.plotting.quantities import (
    along_range,
    correlation_function,
    growing_weights,
    histogram,
    profile,
    weight_histogram,
)
from latticear.plotting.style import AXES, BLIND, EXACT, LABELS, LATER, MODEL, REFERENCE, Drawing, draw_figures
from latticear.plotting.training import bound_curve, likelihood_curve, training_curve

__all__ = [
    "AXES",
    "BLIND",
    "EXACT",
    "LABELS",
    "LATER",
    "MODEL",
    "REFERENCE",
    "Drawing",
    "along_range",
    "bound_curve",
    "completions",
    "correlation_function",
    "draw_figures",
    "drawing_animation",
    "growing_weights",
    "histogram",
    "likelihood_curve",
    "profile",
    "receptive_field",
    "sample_grid",
    "training_curve",
    "value_legend",
    "wavefront",
    "weight_histogram",
]
