"""The commands of the command line as functions that do not print: they train, sample, estimate and draw figures."""

from latticear.data.couplings import Instance
from latticear.estimation.estimates import quiet
from latticear.workflows.checked import check_run
from latticear.workflows.compare import compare_runs
from latticear.workflows.describe import describe
from latticear.workflows.draw import sample_run
from latticear.workflows.estimate import estimate_run, save_estimates
from latticear.workflows.grid_runs import likelihood_run
from latticear.workflows.grow import grow_run
from latticear.workflows.own_chains import estimate_file
from latticear.workflows.simulate import monte_carlo_run
from latticear.workflows.train import train_run
from latticear.workflows.trained import Report, Trained, trained

__all__ = [
    "Instance",
    "Report",
    "Trained",
    "check_run",
    "compare_runs",
    "describe",
    "estimate_file",
    "estimate_run",
    "grow_run",
    "likelihood_run",
    "monte_carlo_run",
    "quiet",
    "sample_run",
    "save_estimates",
    "train_run",
    "trained",
]
