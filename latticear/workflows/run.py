"""A run as one object: its network, target, config, metrics and estimates; loaded from a directory, or saved to one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latticear.arguments import described
from latticear.checksums import DamagedError
from latticear.estimation.estimates import Estimates
from latticear.estimation.limits import limits_of
from latticear.estimation.quantity import Estimate
from latticear.hamiltonians import HAMILTONIANS, LookaheadBias
from latticear.models import MODELS, AbstractModel, check_is_model
from latticear.runs.checkpoints import step_of_checkpoint
from latticear.runs.config import RunConfig, build_model, parse_config, to_toml
from latticear.runs.directory import RunDirectory
from latticear.runs.pretrained import located, named
from latticear.runs.provenance import environment
from latticear.samples import Samples
from latticear.spaces import ConfigurationSpace
from latticear.targets import AbstractTarget, Asked
from latticear.training import Step
from latticear.workflows.copies import write_copy
from latticear.workflows.lookahead import lookahead_of
from latticear.workflows.trained import trained

__all__ = ["Run", "estimates_in", "load_run", "save_run"]

Results = Estimates | list[Estimates] | dict[str, Estimate]
"""Estimates of a run: at its temperature; one for each temperature of a range; or the likelihood of data of a grid."""


@dataclass(frozen=True, repr=False)
class Run:
    """A trained network with everything that belongs to it.

    Attributes:
        path: the run directory; None if there is none.
        config: the complete config of the run.
        model: the network, with the weights of the newest checkpoint.
        metrics: loss and metrics of each step that was logged; `pandas.DataFrame(run.metrics)` is a table of them.
        estimates: estimates of the run, if some were made: `Estimates`; a list of them, one for each temperature, for a
            range of temperatures; for a grid `Estimate`s of the likelihood by name. None if there are none.
        environment: command, machine and versions of software of the training.
    """

    path: Path | None
    config: RunConfig
    model: AbstractModel
    metrics: list[dict[str, Any]] = field(default_factory=list)
    estimates: Results | None = None
    environment: dict[str, Any] = field(default_factory=dict)

    @property
    def target(self) -> AbstractTarget:
        """The target that the network was trained for."""
        return self.config.target

    @property
    def hamiltonian(self) -> Any:
        """The Hamiltonian of the run; the `Grid` of a run without an energy."""
        return self.target.space

    @property
    def temperature(self) -> float | tuple[float, float] | None:
        """T, or (low, high) for a range of temperatures; None for a grid."""
        return self.target.place.get("temperature")

    @property
    def finished(self) -> bool:
        """Whether the training has reached its last step."""
        return bool(self.metrics) and self.metrics[-1]["step"] >= self.config.training["steps"]

    def samples(
        self, n: int, *, seed: int = 0, temperature: float | None = None, condition: Tensor | None = None
    ) -> Samples:
        """Draw n samples of the network.

        Args:
            n: number of samples.
            seed: seed of the random numbers.
            temperature: T, for a run that covers a range of temperatures.
            condition: the condition, for any other network that takes one, as `model.sample` takes it.

        Raises:
            ValueError: if the temperature or the condition is missing, or does not go with the run.
        """
        if condition is None and (self.target.covers_range or self.target.only is not None):
            condition = self.target.at(Asked(temperature=temperature), self.model).condition
        elif temperature is not None:
            self.target.check_temperature(temperature)
        return self.model.sample(n, seed=seed, condition=condition)

    def estimate(
        self,
        n: float | None = None,
        *,
        error: Mapping[str, float | str] | None = None,
        minutes: float | None = None,
        temperatures: Sequence[float] | None = None,
        method: str | None = None,
        observables: Sequence[str] = (),
        check: bool = True,
        seed: int = 0,
        progress: bool = True,
    ) -> list[Estimates]:
        """Estimates as `latticear estimate` makes them: with a check, until errors are reached, and continued.

        Args:
            n: number of samples, by default 10,000; with `error` the largest number, by default without a limit.
            error: wanted errors by name, such as `{"free_energy_per_site": 1e-6, "susceptibility": "1%"}`.
            minutes: with `error`, the largest time.
            temperatures, method, check, seed: as the options of `latticear estimate`.
            observables: names of `la.OBSERVABLES` to measure besides.
            progress: whether to show the progress.

        Returns:
            Estimates, one for each temperature; estimates.json of the run has them too, unless the package ships it.

        Raises:
            ValueError: for a run that is not on disk, and as `la.estimate`.
            KeyboardInterrupt: if it is interrupted; says what is kept. The same call goes on.
        """
        from latticear.workflows.estimate import estimate_run, save_estimates
        from latticear.workflows.progress import Progress

        if self.path is None:
            raise ValueError("this run is not on disk: la.estimate(run.model, run.hamiltonian, run.temperature, ...)")
        limits = limits_of(n, minutes)
        number = 10_000 if n is None and error is None else limits.n
        how: dict[str, Any] = {"temperatures": temperatures, "method": method, "observables": observables}
        how |= {"check": check, "seed": seed}
        with Progress(shown=progress, unit="samples") as report:
            results = estimate_run(
                self.path, number, error=error, minutes=minutes, data=None, device="auto", report=report, **how
            )
        if results:
            save_estimates(self.path, results, seed=seed)
        return results

    def copy_to(self, path: str | Path) -> Run:
        """Write a copy to give away, or to work with: all but the state of the training, and what was drawn.

        It is a run directory like any other, except that its training cannot be resumed.

        Args:
            path: the directory of the copy, which must not exist.

        Returns:
            The copy, as `load_run` returns it.

        Raises:
            FileExistsError: if the path exists.
            OSError: if a file cannot be written.
        """
        about: dict[str, Any] = {"metrics": self.metrics, "environment": self.environment}
        if self.path is None:
            results = [self.estimates] if isinstance(self.estimates, Estimates) else self.estimates
            about["estimates"] = _content(results, self.target) if isinstance(results, list) else {}
            about["step"] = self.metrics[-1]["step"] if self.metrics else 0
        else:
            about["estimates"] = RunDirectory(self.path).read_json("estimates.json")
            about["step"] = step_of_checkpoint(RunDirectory(self.path).checkpoints()[-1])
        write_copy(path, self.config, self.model, **about)
        return load_run(path, self.model.rank.device.type)

    def __repr__(self) -> str:
        return "\n  ".join(self._lines)

    def _repr_html_(self) -> str:
        from latticear.tables import Table

        name, *about = self._lines
        tables = [Table(name, ("",), [(line,) for line in about]).html()]
        results = self.estimates if isinstance(self.estimates, list) else [self.estimates]
        return "".join(tables + [each.table().html() for each in results if isinstance(each, Estimates)])

    @property
    def _lines(self) -> list[str]:
        done = self.metrics[-1]["step"] if self.metrics else 0
        lines = [
            f"Run {named(self.path) if self.path else '(not on disk)'}: {self.target}",
            *repr(self.model).split("\n  "),
        ]
        lines.append(f"{done} of {self.config.training['steps']} steps")
        if isinstance(self.estimates, Estimates):
            shown = {name: self.estimates[name] for name in ("free_energy_per_site", "ess") if name in self.estimates}
            lines.append(", ".join(f"{name} {estimate}" for name, estimate in shown.items()))
        elif self.estimates is not None:
            lines.append(f"{len(self.estimates)} estimates")
        return lines


def load_run(path: str | Path, device: str = "cpu") -> Run:
    """Load a run from its directory: network, Hamiltonian, temperature, config, metrics and estimates.

    No code in the files is executed. `la.load_model` loads the network alone, and any of its checkpoints.

    Args:
        path: a run directory that `latticear train`, `la.train` or `la.save_run` made, also with version 0.1.0; or
            `pretrained:NAME`, a run that the package ships.
        device: device of the network: auto, cpu or cuda.

    Raises:
        FileNotFoundError: if there is no run, or no checkpoint yet.
        ValueError: if a file is damaged.

    Example:
        >>> import latticear as la
        >>> run = la.load_run("runs/a")                                             # doctest: +SKIP
        >>> la.estimate(run.samples(10_000), run.hamiltonian, run.temperature)      # doctest: +SKIP
    """
    path = located(path)
    directory = RunDirectory(path)
    config, model = trained(path, device)
    return Run(
        path,
        config,
        model,
        metrics=directory.metrics(),
        estimates=estimates_in(directory.read_json("estimates.json"), config.target, path / "estimates.json"),
        environment=directory.read_json("environment.json"),
    )


def save_run(
    path: str | Path,
    model: AbstractModel,
    hamiltonian: ConfigurationSpace,
    temperature: float | tuple[float, float] | None = None,
    *,
    metrics: Iterable[Step | Mapping[str, Any]] = (),
    estimates: Estimates | Sequence[Estimates] | None = None,
    step: Step | None = None,
    seed: int = 0,
    training: Mapping[str, Any] | None = None,
) -> Run:
    """Write a network that `fit` trained as a run directory, as `latticear train` makes them.

    `latticear estimate`, `sample`, `report` and `info` and `la.load_run` read it.

    Args:
        path: the directory, which must not exist.
        model: the network, of a class in `la.MODELS`.
        hamiltonian: the Hamiltonian, of a class in `la.hamiltonians.HAMILTONIANS`, or a Grid.
        temperature: T, or (low, high) for a range; None for a grid.
        metrics: the steps that `fit` yielded, or some of them, or dictionaries with the key `step`.
        estimates: estimates of the run; for a range a list of them, one for each temperature.
        step: the last step that `fit` yielded, with which `latticear train --resume` can continue the training; without
            it the training cannot be continued.
        seed: the seed of the training.
        training: the options that `fit` was given, such as `{"steps": 400}`.

    Returns:
        The run, as `load_run` returns it.

    Raises:
        FileExistsError: if the path exists.
        ValueError: for a network or a Hamiltonian that a config cannot name (a class of your own), or parts that do not
            fit together.
        OSError: if a file cannot be written.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} already exists; give another path")
    check_is_model(model)
    if not isinstance(hamiltonian, ConfigurationSpace):
        raise ValueError(f"a Hamiltonian or a Grid is needed, got {described(hamiltonian)}")
    rows = [row.to_dict() if isinstance(row, Step) else dict(row) for row in metrics]
    if step is not None and (not rows or rows[-1]["step"] != step.step):
        rows.append(step.to_dict())
    n_steps = int(rows[-1]["step"]) if rows else 0
    if step is not None and step.state.step != step.step:
        raise ValueError(
            f"step is number {step.step}, but the training went on to step {step.state.step}: give the last step"
        )
    config = _config(model, hamiltonian, temperature, seed, {"steps": max(1, n_steps), **(training or {})})
    target = config.target
    target.check(model, config.training["objective"], _conditions(model, target))
    if step is not None and build_model(config).to_dict() != model.to_dict():
        raise ValueError(
            "this network is not the one that its config builds, so that its training cannot be continued (is its bias "
            "that of this Hamiltonian at this temperature?); leave step out"
        )
    results = [estimates] if isinstance(estimates, Estimates) else list(estimates or [])
    content = _content(results, target)
    run = RunDirectory.create(
        path, to_toml(config), environment(model.rank.device) | {"saved_by": "la.save_run"} | lookahead_of(model)
    )
    for row in rows:
        run.log({"elapsed": 0.0, **row})
    weights = model.state_dict() if step is None else step.state.weights()
    state = {"step": n_steps} if step is None else step.state.state_dict()
    checkpoint = run.save_checkpoint(model, weights, state, resumable=step is not None)
    if content:
        run.write_json("estimates.json", content | {"checkpoint": checkpoint.name})
    return load_run(path, model.rank.device.type)


def _conditions(model: AbstractModel, target: AbstractTarget) -> Tensor | None:
    """Conditions as those of the data of a grid; None for a target that has its own."""
    size = model.conditioning.size
    return torch.zeros(1, size) if size and not target.has_energy else None


def _config(
    model: AbstractModel, space: ConfigurationSpace, temperature: Any, seed: int, training: Mapping[str, Any]
) -> RunConfig:
    """The config of a run that trains such a model.

    Raises:
        ValueError: for a model, a Hamiltonian or options that no config can describe.
    """
    if MODELS.get(model.name) is not type(model):
        raise ValueError(
            f"a run holds networks of la.MODELS, {', '.join(MODELS)}, got a {type(model).__name__}: add the class to "
            f"la.MODELS under its name, here and wherever the run is loaded"
        )
    name = space.to_dict().get("name")
    if space.has_energy and name not in HAMILTONIANS:
        raise ValueError(
            f"a run holds systems that a config can name, {', '.join(HAMILTONIANS)}, got a {type(space).__name__}: add "
            f"the class to la.hamiltonians.HAMILTONIANS under its name, here and wherever the run is loaded"
        )
    arguments = {k: v for k, v in model.to_dict().items() if k not in ("shape", "n_tokens", "bias") and v is not None}
    section = {key: value for key, value in space.to_dict().items() if space.has_energy or key != "name"}
    if space.has_energy:
        arguments["boltzmann_bias"] = model.bias is not None
        if isinstance(model.bias, LookaheadBias):
            arguments["bond_dimension"] = model.bias.bond_dimension
        training = {"objective": "reverse-kl", **training}
    else:
        arguments = {k: v for k, v in arguments.items() if k not in ("n_components", "n_condition_maps")}
        training = {"data": "", **training}
    place = {} if temperature is None else {"temperature": temperature}
    tree = {**place, "seed": seed, space.kind: section, "model": arguments, "training": dict(training)}
    config = parse_config(tree)
    fits = (model.shape, model.n_tokens, model.n_components)
    if fits != (space.shape, space.n_tokens, space.n_components):
        raise ValueError(
            f"the model is for shape {model.shape} with {model.n_tokens} tokens, the {space.kind} for shape "
            f"{space.shape} with {space.n_tokens}"
        )
    return config


def _content(results: Sequence[Estimates], target: AbstractTarget) -> dict[str, Any]:
    """The content of estimates.json; empty without estimates."""
    for result in results:
        if not isinstance(result, Estimates):
            raise ValueError(f"estimates must be what la.estimate returns, got {described(result)}")
        target.check_temperature(result.temperature)
    if target.covers_range:
        return {"estimates": [result.to_dict() for result in results]} if results else {}
    if len(results) > 1:
        raise ValueError(f"a run at one temperature has one set of estimates, got {len(results)}")
    return results[0].to_dict() if results else {}


def estimates_in(content: dict[str, Any], target: AbstractTarget, file: Path) -> Results | None:
    """The estimates in the content of estimates.json.

    Raises:
        DamagedError: if it does not have what estimates have.
    """
    try:
        if "estimates" in content:
            return [Estimates.from_dict(each, target.n_sites) for each in content["estimates"]]
        if "temperature" in content:
            return Estimates.from_dict(content, target.n_sites)
        entries = {name: entry for name, entry in content.items() if isinstance(entry, dict) and "value" in entry}
        return {name: Estimate.from_dict(entry, content["n"]) for name, entry in entries.items()} or None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedError(f"{file} is damaged (it lacks, or has no number for, {error}): estimate again") from error
