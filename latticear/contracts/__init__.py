"""What a class of your own must pass before anything relies on it."""

from latticear.contracts.hamiltonian import check_hamiltonian
from latticear.contracts.model import check_model

__all__ = ["check_hamiltonian", "check_model"]
