"""Checks of the requirements that every model and every Hamiltonian class meets; run them on your own classes."""

from latticear.contracts.hamiltonian import check_hamiltonian
from latticear.contracts.model import check_model

__all__ = ["check_hamiltonian", "check_model"]
