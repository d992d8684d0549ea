"""Names of version 0.1.0 that have moved: they still work, with a `DeprecationWarning` that gives the new name.

There are two tables: `MODULES` has the modules that moved, `NAMES` has the single names that moved out of `latticear`
itself, out of another module that still exists, or to another place than the rest of their module. No module is
imported before one of its old names is used.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

__all__ = ["install", "keep_names", "renamed_keywords"]

P = ParamSpec("P")
R = TypeVar("R")

PACKAGE = "latticear"

MODULES = {
    "ancestral": "sampling.reference",
    "annealing": "estimation.annealing",
    "autocorrelation": "estimation.autocorrelation",
    "blocks": "estimation.blocks",
    "chains": "estimation.chains",
    "checks": "contracts.hamiltonian",
    "cli.estimation": "cli.estimate",
    "cli.judges": "cli.mc",
    "cli.training": "cli.train",
    "clusters": "montecarlo.clusters",
    "conditional": "workflows.held",
    "conditions": "data.labels",
    "config": "runs.config",
    "configurations": "data.reading",
    "datafile": "data.writing",
    "dataformat": "data.format",
    "dataset": "training.dataset",
    "engines": "sampling",
    "engines.capture": "sampling.capture",
    "engines.choice": "sampling.choice",
    "engines.lowering": "sampling.lowering",
    "engines.native": "sampling.native",
    "engines.portable": "sampling.torch_engine",
    "engines.rings": "sampling.rings",
    "estimates": "estimation.estimates",
    "exact.couplings": "exact.two_state",
    "exact.judge": "exact.dispatch",
    "exact.potts": "exact.potts_critical",
    "gridreport": "workflows.report_grid",
    "grids": "spaces",
    "hamiltonians.disorder": "hamiltonians.edwards_anderson_disorder",
    "hamiltonians.rows": "montecarlo.rows",
    "heatbath": "montecarlo.heatbath",
    "importance": "estimation.importance",
    "instances": "data.couplings",
    "islands": "estimation.islands",
    "journal": "data.journal",
    "library": "kernels.library",
    "likelihood": "estimation.likelihood",
    "measurement": "estimation.measurement",
    "models.compiled": "models.multiscale.compiled",
    "models.couplings": "models.multiscale.coupling_network",
    "models.gauge": "models.multiscale.gauge",
    "models.partial": "models.steps",
    "models.patches": "models.multiscale.phases",
    "models.recomputed": "models.multiscale.recomputed",
    "models.transfer": "models.carry_over",
    "moments": "estimation.moments",
    "objectives": "training.objectives",
    "parallel": "threads",
    "philox": "random_numbers",
    "pictures": "data.pictures",
    "potts": "montecarlo.potts_clusters",
    "probe": "sampling.probe",
    "provenance": "runs.provenance",
    "receptive": "sampling.receptive",
    "replicas": "montecarlo.replicas",
    "report": "workflows.report",
    "rundir": "runs.directory",
    "scales": "models.multiscale.order",
    "signals": "runs.signals",
    "smc": "estimation.smc",
    "space": "spaces",
    "stages": "sampling.stages",
    "tempering": "estimation.tempering",
    "tracing": "sampling.tracing",
    "trees": "runs.trees",
    "twists": "estimation.twists",
    "wavefront": "sampling.schedule",
    "weights": "estimation.weights",
    "workflows.grids": "workflows.grid_runs",
    "workflows.runs": "workflows.trained",
    "workflows.scanfigure": "workflows.scan.figure",
    "workflows.scanplan": "workflows.scan.plan",
    "workflows.scantable": "workflows.scan.table",
}
"""New module for each module that no longer exists, by its old name; both are relative to `latticear`."""

NAMES = {
    "": {
        "AbstractHamiltonian": "hamiltonians.AbstractHamiltonian",
        "AbstractModel": "models.AbstractModel",
        "ConditionEmbedding": "models.ConditionEmbedding",
        "LogisticMixture": "models.LogisticMixture",
        "MaskedConv2d": "models.MaskedConv2d",
        "TauInt": "estimation.TauInt",
        "critical_temperature": "exact.critical_temperature",
        "enumerate_states": "exact.enumerate_states",
        "forward_kl": "training.forward_kl",
        "glyphs": "data.glyphs",
        "integrated_autocorrelation_time": "estimation.integrated_autocorrelation_time",
        "kasteleyn": "exact.kasteleyn",
        "magnetization_resolved": "exact.magnetization_resolved",
        "mean_error": "estimation.mean_error",
        "onsager": "exact.onsager",
        "potts_transition": "exact.potts_transition",
        "read_batches": "data.read_batches",
        "read_condition": "data.read_condition",
        "read_configurations": "data.load_configurations",
        "read_couplings": "data.read_couplings",
        "read_given": "data.read_given",
        "read_metadata": "data.read_metadata",
        "reverse_kl": "training.reverse_kl",
        "transfer_matrix": "exact.transfer_matrix",
    },
    "ancestral": {"categorical": "random_numbers.categorical", "log_softmax": "random_numbers.log_softmax"},
    "annealing": {
        "MAX_ISLANDS": "montecarlo.population.MAX_ISLANDS",
        "NAME": "montecarlo.population.NAME",
        "Population": "montecarlo.population.Population",
        "anneal": "montecarlo.population.anneal",
    },
    "blocks": {"BlockUpdates": "estimation.block_updates.BlockUpdates"},
    "chains": {"neural_mcmc": "estimation.neural_metropolis.neural_mcmc"},
    "cli.app": {"INTERRUPTED": "cli.launched.INTERRUPTED"},
    "cli.estimation": {"info": "cli.info.info", "report": "cli.report.report", "sample": "cli.sample.sample"},
    "cli.judges": {"exact": "cli.exact.exact"},
    "cli.training": {"compare": "cli.compare.compare", "scan": "cli.scan.scan"},
    "config": {
        "AnyConfig": "runs.config.RunConfig",
        "load_any": "runs.config.load_config",
        "parse_any": "runs.config.parse_config",
    },
    "configurations": {"read_configurations": "data.load_configurations"},
    "conditions": {"condition_of": "data.labels.written_condition"},
    "estimates": {"Estimate": "estimation.quantity.Estimate", "Value": "estimation.quantity.Value"},
    "importance": {
        "delta_error": "estimation.thermodynamics.delta_error",
        "forward_ess": "estimation.forward.forward_ess",
        "weighted_estimates": "estimation.weighted.weighted_estimates",
    },
    "engines": {"METHODS": "sampling.choice.SAMPLING_METHODS"},
    "engines.choice": {"METHODS": "sampling.choice.SAMPLING_METHODS"},
    "grids": {"space_of": "data.format.space_of"},
    "islands": {"systematic": "montecarlo.resampling.systematic"},
    "models.base": {"check_autoregressive": "models.causality.check_autoregressive"},
    "models.partial": {"Step": "models.steps.DrawingStep"},
    "montecarlo": {
        "METHODS": "montecarlo.simulation.CHAIN_METHODS",
        "Running": "montecarlo.simulation.Running",
        "Schedule": "montecarlo.simulation.ChainSchedule",
        "check_integer": "arguments.check_integer",
        "make_chains": "montecarlo.simulation.make_chains",
        "random_stream": "random_numbers.random_stream",
        "run_chains": "montecarlo.simulation.run_chains",
    },
    "observables": {
        "Thermodynamics": "estimation.thermodynamics.Thermodynamics",
        "rare_events": "estimation.thermodynamics.rare_events",
        "thermodynamics": "estimation.thermodynamics.thermodynamics",
        "thermodynamics_of_moments": "estimation.thermodynamics.thermodynamics_of_moments",
    },
    "philox": {"check_seed": "arguments.check_seed"},
    "sampling": {"draw": "sampling.stream.draw"},
    "workflows.draw": {"monte_carlo_run": "workflows.simulate.monte_carlo_run"},
    "workflows.grids": {"Configurations": "data.configurations.Configurations"},
    "workflows.runs": {"Instance": "data.couplings.Instance", "quiet": "estimation.estimates.quiet"},
    "workflows.scan": {
        "finish_scan": "workflows.scan.run.finish_scan",
        "open_scan": "workflows.scan.run.open_scan",
        "scan_run": "workflows.scan.run.scan_run",
    },
}
"""New place of each moved name, by its old module and its old name; modules are relative to `latticear`."""


def keep_names(module: str) -> None:
    """Make the names in `NAMES` that moved out of a module still available there.

    Args:
        module: `__name__` of the module, which calls this function while it is imported.
    """
    places = NAMES[module.removeprefix(PACKAGE).removeprefix(".")]
    namespace = vars(sys.modules[module])
    fallback: Callable[[str], Any] | None = namespace.get("__getattr__")

    def find(name: str) -> Any:
        if name in places:
            message = f"{module}.{name} is now {PACKAGE}.{places[name]}; the old name will be removed"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            return _imported(places[name])
        if fallback is not None:
            return fallback(name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    namespace["__getattr__"] = find


def renamed_keywords(**new: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator for a function with renamed keyword arguments: `renamed_keywords(old="new")` still accepts `old`."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in new.keys() & kwargs.keys():
                message = f"the argument {name} of {function.__name__} is now {new[name]}; the old name will be removed"
                warnings.warn(message, DeprecationWarning, stacklevel=2)
                if new[name] in kwargs:
                    raise TypeError(f"{function.__name__} was given both {new[name]} and {name}")
                kwargs[new[name]] = kwargs.pop(name)
            return function(*args, **kwargs)

        return call

    return decorate


def install() -> None:
    """Make `import latticear.OLD` find the modules of the table `MODULES`, if no other finder finds the module."""
    if not any(isinstance(finder, _OldModules) for finder in sys.meta_path):
        sys.meta_path.append(_OldModules())


class _OldModules:
    """Finder and loader of the old modules, which have the same names as the new ones."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        old = fullname.removeprefix(f"{PACKAGE}.")
        if old == fullname or old not in MODULES:
            return None
        is_package = any(name.startswith(f"{old}.") for name in MODULES)
        return ModuleSpec(fullname, self, is_package=is_package)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Return None, so that the import system creates the module."""

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__.removeprefix(f"{PACKAGE}.")
        elsewhere = NAMES.get(old, {})
        others = "".join(f", {module.__name__}.{name} is now {PACKAGE}.{to}" for name, to in elsewhere.items())
        message = f"{module.__name__} is now {PACKAGE}.{MODULES[old]}{others}; the old names will be removed"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        new = import_module(f"{PACKAGE}.{MODULES[old]}")
        values = {name: value for name, value in vars(new).items() if not name.startswith("__")}
        values |= {name: _imported(place) for name, place in elsewhere.items()}
        vars(module).update(values, __doc__=new.__doc__, __all__=[*new.__all__, *elsewhere])


def _imported(place: str) -> Any:
    """The object at a place in the package, such as `estimation.mean_error`."""
    module, _, name = place.rpartition(".")
    return getattr(import_module(f"{PACKAGE}.{module}"), name)
