"""Exact results, with which all estimates are compared.

- `enumerate_states`: any Hamiltonian with at most 2^24 configurations;
- `transfer_matrix`, `magnetization_resolved`: any energies of bonds and sites on a narrow strip, with bonds within a
  row and between adjacent rows;
- `kaufman`: the zero-field Ising model on a torus of any size;
- `kasteleyn`: Ising spins with any couplings and no fields on open, cylindrical and toroidal lattices up to about
  64x64;
- `onsager`: the zero-field Ising model on the infinite lattice;
- `energy_distribution`, `magnetization_distribution`: the probability of each energy or magnetisation, of the Ising
  model on a torus (energies) or of a narrow strip;
- `potts_transition`: the Potts model on the infinite lattice, at its transition;
- `tensor_network`: bonds between nearest and next-nearest neighbours with fields, on lattices that are open in some
  direction, or at a high temperature; with an error that is estimated;
- `exact_ground_state`: the lowest energy, and how many configurations have it (`la.ground_state` also searches);
- `exact_result`: for a finite lattice, the most complete of these results that takes about five seconds or less, or
  None.
"""

from __future__ import annotations

from latticear.exact.dispatch import exact_result, known_result, result_by
from latticear.exact.energies import energy_distribution
from latticear.exact.enumeration import all_configurations, enumerate_states
from latticear.exact.ground_state import GroundState, exact_ground_state
from latticear.exact.infinite import T_C, InfiniteResult, critical_temperature, onsager
from latticear.exact.network import tensor_network
from latticear.exact.planar import kasteleyn
from latticear.exact.potts_critical import PottsTransition, potts_transition
from latticear.exact.resolved import magnetization_distribution, magnetization_resolved
from latticear.exact.result import ExactResult
from latticear.exact.torus import kaufman
from latticear.exact.transfer import transfer_matrix

__all__ = [
    "T_C",
    "ExactResult",
    "GroundState",
    "InfiniteResult",
    "PottsTransition",
    "all_configurations",
    "critical_temperature",
    "energy_distribution",
    "enumerate_states",
    "exact_ground_state",
    "exact_result",
    "kasteleyn",
    "kaufman",
    "known_result",
    "magnetization_distribution",
    "magnetization_resolved",
    "onsager",
    "potts_transition",
    "result_by",
    "tensor_network",
    "transfer_matrix",
]
