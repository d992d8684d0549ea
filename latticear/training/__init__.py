"""Training of a model: options, objectives and the training loop."""

from latticear.training.loop import Step, TrainingError, fit, learning_rate_factor
from latticear.training.objectives import forward_kl, reverse_kl
from latticear.training.options import OBJECTIVES, TrainingOptions
from latticear.training.state import TrainingState

__all__ = [
    "OBJECTIVES",
    "Step",
    "TrainingError",
    "TrainingOptions",
    "TrainingState",
    "fit",
    "forward_kl",
    "learning_rate_factor",
    "reverse_kl",
]
