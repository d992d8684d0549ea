"""Finite-size scaling: values of several sizes become critical temperatures and exponents with errors.

A `Curve` holds the values of one size with their errors. `crossings` and `collapse` find T_c and 1/nu, `peaks` the
maxima and how they grow, `multiple_histograms` joins chains at several temperatures, and `known_critical_point` knows
what is exact. `coexistence` finds the two phases of a first-order transition.
"""

from latticear.scaling.coexistence import Coexistence, coexistence
from latticear.scaling.collapse import Collapse, Parameter, collapse
from latticear.scaling.crossings import Crossing, Crossings, crossings
from latticear.scaling.curve import Curve
from latticear.scaling.histograms import Reweighting, multiple_histograms
from latticear.scaling.known import CriticalPoint, known_critical_point
from latticear.scaling.limit import Limit, limit_of
from latticear.scaling.peaks import Peak, Peaks, peaks, scaling_of
from latticear.scaling.powers import PowerLaw, power_law
from latticear.scaling.refinement import Feature, features_of, next_temperatures
from latticear.scaling.thermodynamics import Thermodynamics, thermodynamics

__all__ = [
    "Coexistence",
    "Collapse",
    "CriticalPoint",
    "Crossing",
    "Crossings",
    "Curve",
    "Feature",
    "Limit",
    "Parameter",
    "Peak",
    "Peaks",
    "PowerLaw",
    "Reweighting",
    "Thermodynamics",
    "coexistence",
    "collapse",
    "crossings",
    "features_of",
    "known_critical_point",
    "limit_of",
    "multiple_histograms",
    "next_temperatures",
    "peaks",
    "power_law",
    "scaling_of",
    "thermodynamics",
]
