"""Exact results to judge everything else by.

- `enumerate_states`: any Hamiltonian with at most 2^24 configurations;
- `transfer_matrix`, `magnetization_resolved`: any bond tables and fields on a narrow strip, within a row and between
  adjacent ones;
- `kaufman`: the zero-field Ising model on a torus of any size;
- `kasteleyn`: any couplings without fields on open, cylindrical and toroidal lattices up to about 64x64;
- `onsager`: the same on the infinite lattice; `potts_transition`: the Potts model there, at its transition;
- `exact_result`: the most complete of the finite ones that is quick, or None.
"""

from __future__ import annotations

from latticear.exact.dispatch import exact_result
from latticear.exact.enumeration import all_configurations, enumerate_states
from latticear.exact.infinite import T_C, InfiniteResult, critical_temperature, onsager
from latticear.exact.planar import kasteleyn
from latticear.exact.potts_critical import PottsTransition, potts_transition
from latticear.exact.resolved import magnetization_distribution, magnetization_resolved
from latticear.exact.result import ExactResult
from latticear.exact.torus import kaufman
from latticear.exact.transfer import transfer_matrix

__all__ = [
    "T_C",
    "ExactResult",
    "InfiniteResult",
    "PottsTransition",
    "all_configurations",
    "critical_temperature",
    "enumerate_states",
    "exact_result",
    "kasteleyn",
    "kaufman",
    "magnetization_distribution",
    "magnetization_resolved",
    "onsager",
    "potts_transition",
    "transfer_matrix",
]
