"""What the verbs of the command line do, without printing: runs on disk, from configs to estimates and figures."""

from latticear.workflows.compare import compare_runs
from latticear.workflows.describe import describe
from latticear.workflows.draw import monte_carlo_run, sample_run
from latticear.workflows.estimate import estimate_run, save_estimates
from latticear.workflows.grid_runs import is_grid_run, likelihood_run
from latticear.workflows.grow import grow_run
from latticear.workflows.runs import (
    Instance,
    Report,
    condition_at,
    first_instance,
    judged_temperature,
    quiet,
    single_temperature,
    trained,
    trained_any,
)
from latticear.workflows.train import train_run

__all__ = [
    "Instance",
    "Report",
    "compare_runs",
    "condition_at",
    "describe",
    "estimate_run",
    "first_instance",
    "grow_run",
    "is_grid_run",
    "judged_temperature",
    "likelihood_run",
    "monte_carlo_run",
    "quiet",
    "sample_run",
    "save_estimates",
    "single_temperature",
    "train_run",
    "trained",
    "trained_any",
]
