"""What a class of your own must pass before anything relies on it."""

from latticear.contracts.hamiltonian import check_hamiltonian

__all__ = ["check_hamiltonian"]
