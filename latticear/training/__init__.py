"""Training: the loop, what it checks before, and what a resumed run needs."""

from latticear.training.checks import OBJECTIVES
from latticear.training.loop import Step, TrainingError, fit, learning_rate_factor
from latticear.training.objectives import forward_kl, reverse_kl
from latticear.training.state import TrainingState

__all__ = [
    "OBJECTIVES",
    "Step",
    "TrainingError",
    "TrainingState",
    "fit",
    "forward_kl",
    "learning_rate_factor",
    "reverse_kl",
]
