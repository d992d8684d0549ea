"""Exact results to judge everything else by.

- `enumerate_states`: any Hamiltonian with at most 2^24 configurations;
- `transfer_matrix`, `magnetization_resolved`: any bond tables and fields on a narrow strip, within a row and between
  adjacent ones;
- `kaufman`: the zero-field Ising model on a torus of any size;
- `onsager`: the same on the infinite lattice;
- `exact_result`: the most complete of the finite ones that is quick, or None.
"""

from __future__ import annotations

from latticear.exact.enumeration import all_configurations, enumerate_states
from latticear.exact.infinite import T_C, InfiniteResult, critical_temperature, onsager
from latticear.exact.judge import exact_result
from latticear.exact.resolved import magnetization_distribution, magnetization_resolved
from latticear.exact.result import ExactResult
from latticear.exact.torus import kaufman
from latticear.exact.transfer import transfer_matrix

__all__ = [
    "T_C",
    "ExactResult",
    "InfiniteResult",
    "all_configurations",
    "critical_temperature",
    "enumerate_states",
    "exact_result",
    "kaufman",
    "magnetization_distribution",
    "magnetization_resolved",
    "onsager",
    "transfer_matrix",
]
