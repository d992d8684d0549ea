"""Training runs on disk, begun and resumed."""

from __future__ import annotations

import math
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from latticear.data.configurations import Configurations
from latticear.estimation.estimates import with_error
from latticear.exact import exact_result
from latticear.models import MODELS, AbstractModel, transfer_weights
from latticear.runs.config import AUTO, RunConfig, build_model, load_config, parse_config, resolve_device, to_toml
from latticear.runs.directory import RunDirectory, load_model
from latticear.runs.provenance import environment, now
from latticear.runs.signals import StopSignals
from latticear.runs.trees import config_tree, differences
from latticear.training import Step, TrainingError, fit
from latticear.workflows.grid_runs import check_classes, check_same_data, completed
from latticear.workflows.trained import Report, step_of

__all__ = ["asked_config", "begin", "train_run", "training_data"]


def train_run(
    out: Path,
    config_path: Path | None,
    overrides: Sequence[str],
    values: dict[str, Any],
    *,
    resume: bool,
    report: Report,
    seconds: float = math.inf,
    source: Path | None = None,
) -> bool:
    """Train as a config says, or continue the run in `out`; False if it was stopped (saved) before its last step.

    An interrupt stops it, or a training that has taken so many `seconds`.

    Args:
        out: run directory.
        config_path: TOML file; None for the config of the source, or defaults.
        overrides, values: as of `config_tree`.
        resume: continue the run if it is there.
        report: called with progress.
        seconds: that the training may take.
        source: a run whose weights this one begins with; of another lattice or temperature, say.

    Raises:
        ValueError: for a config that cannot be, one that differs from that of the run to be continued, or a source
            whose weights do not fit.
        FileExistsError: if `out` exists and `resume` is False.
        TrainingError: when the loss stops being finite; names the last good checkpoint.
        OSError: if something cannot be read or written.
    """
    run = RunDirectory(out) if resume and out.exists() else None
    tree = _requested_tree(config_path, overrides, values, source if run is None else None)
    config = asked_config(tree, run)
    data = training_data(config, run)
    device = resolve_device(config.device)
    model = build_model(config).to(device)
    latest, origin = run.latest() if run else None, _origin(run, source)
    if origin and latest is None:
        transfer_weights(model, load_model(origin["run"], device))
    state = run.load_trainer(latest, device) if run and latest else None
    steps = begin(model, config, data, state)
    if run is None:
        record: dict[str, Any] = {} if config.target.has_energy or data is None else {"data": data.fingerprint}
        record |= {"from": origin} if origin else {}
        run = RunDirectory.create(out, to_toml(config), environment(device) | record)
    with run.locked():
        run.truncate_metrics(0 if state is None else int(state["step"]))
        return _train(run, model, steps, config, report, seconds)


def _requested_tree(
    config_path: Path | None, overrides: Sequence[str], values: dict[str, Any], source: Path | None
) -> dict[str, Any]:
    """What a user asks for, unchecked; what the user leaves open is as in the config of the source.

    Raises:
        ValueError: if it names another network than that of the source.
    """
    base = None if source is None else config_of(source)
    tree = config_tree(config_path, overrides, values, base)
    if base and config_path is None and isinstance(tree["model"], dict):
        first, name = base["model"]["name"], tree["model"]["name"]
        if name != first:
            raise ValueError(f"--from {source} gives the weights of a {first}, got model.name {name}")
    return tree


def config_of(run: Path) -> dict[str, Any]:
    """The config of a run as a nested dictionary, for another run to begin with.

    What follows from its Hamiltonian, its temperature or its data is left out: it may follow otherwise.
    """
    config = load_config(RunDirectory(run).config_path)
    tree, target = tomllib.loads(to_toml(config)), config.target
    if not target.has_energy:
        return tree
    model, training = tree["model"], tree["training"]
    implied = {key: getattr(target, name) for key, name in AUTO.items()} | {"n_components": target.space.n_components}
    for key, value in implied.items():
        if config.model.get(key) == value:
            del model[key]
    for key in target.model_options:
        del model[key]
    if training["objective"] in (target.objective, MODELS[model["name"]].training_defaults.get("objective")):
        del training["objective"]
    del training["data"]
    return tree


def _origin(run: RunDirectory | None, source: Path | None) -> dict[str, Any]:
    """The run that gives the first weights and its checkpoint; empty for fresh weights.

    Args:
        run: that is continued, or None.
        source: that a user names, or None.

    Raises:
        ValueError: if the run began with other weights than those of the source, or the source has no checkpoint.
    """
    if run is not None:
        origin = run.read_json("environment.json").get("from", {})
        if source is not None and origin.get("run") != str(source.resolve()):
            first = f"the weights of {origin['run']}" if origin else "fresh weights"
            raise ValueError(
                f"--resume continues a run as it was: {run.path} began with {first}, got --from {source}; leave it out"
            )
        return origin
    if source is None:
        return {}
    step = step_of(source)
    if step is None:
        raise ValueError(f"{source} has no checkpoint to take weights from; train it first")
    return {"run": str(source.resolve()), "checkpoint": step}


def asked_config(tree: dict[str, Any], run: RunDirectory | None = None) -> RunConfig:
    """The config that was asked for; a run that is continued keeps its own, but for the device."""
    config = parse_config(tree, completed) if run is None else load_config(run.config_path, values=tree)
    if config.training["data"]:
        config.training["data"] = str(Path(config.training["data"]).resolve())
    if run is not None:
        _check_unchanged(config.to_dict(with_device=False), load_config(run.config_path).to_dict())
    return config


def begin(
    model: AbstractModel,
    config: RunConfig,
    data: Configurations | None,
    state: dict[str, Any] | None = None,
) -> Iterator[Step]:
    """The steps of the training that a config describes, from the beginning or from a stored state.

    Raises:
        ValueError: for options that cannot be, data that do not fit, or the state of another run.
    """
    options = {k: v for k, v in config.training.items() if k not in ("data", "checkpoint_every")}
    try:
        return fit(
            model,
            config.target,
            seed=config.seed,
            data=None if data is None else data.tokens,
            condition=None if data is None else data.condition,
            resume=state,
            **options,
        )
    except (RuntimeError, LookupError, TypeError, AttributeError) as error:
        if state is None:
            raise
        raise ValueError(f"the newest checkpoint is not one of this run ({error}); remove it to resume") from error


def _train(
    run: RunDirectory, model: AbstractModel, steps: Iterator[Step], config: RunConfig, report: Report, seconds: float
) -> bool:
    total, every = config.training["steps"], config.training["checkpoint_every"]
    known: dict[str, Any] = {"at": config.target.shown_as}
    if config.target.has_energy:
        shown = config.target.shown(model)
        exact = exact_result(shown.system, shown.temperature)
        known |= {"exact": exact.free_energy_per_site} if exact else {}
    before = run.metrics()[-1:]
    done = before[0]["step"] if before else 0
    t_start = time.monotonic() - (before[0]["elapsed"] if before else 0.0)
    with StopSignals() as stop:
        try:
            for step in steps:
                done, elapsed = step.step, time.monotonic() - t_start
                run.log({"step": done, "elapsed": elapsed, "loss": step.loss, **step.metrics})
                known |= {"loss": step.loss, **step.metrics}
                report(done, total, _headline(known))
                ends = stop.requested or elapsed > seconds
                if done % every == 0 or done == total or ends:
                    run.save_checkpoint(model, _finite(step.state.weights()), step.state.state_dict())
                if ends and done < total:
                    return False
        except TrainingError as error:
            run.discard_checkpoint(done)  # its weights are those that gave no finite loss
            raise TrainingError(f"{error}; {run.last_good()}") from error
    ended = {"finished": now(), "seconds": time.monotonic() - t_start}
    run.write_json("environment.json", ended | run.read_json("environment.json"))
    return True


def _finite(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    if not all(weight.isfinite().all() for weight in weights.values()):
        raise TrainingError("the weights stopped being finite; lower the learning rate")
    return weights


def training_data(config: RunConfig, run: RunDirectory | None = None) -> Configurations | None:
    """What is learned from; None where that is the energy alone, or Monte Carlo that is drawn when it is needed.

    Raises:
        ValueError: for data that do not fit, or that the objective does not use.
        OSError: if the file cannot be read.
    """
    target, objective, path = config.target, config.training["objective"], config.training["data"]
    target.check_objective(objective)
    if path and objective == "reverse-kl":
        raise ValueError(f"data is given, but objective {objective} uses none; use forward-kl or forward-reverse-kl")
    if not path:
        return None
    data = target.read_data(path)
    if not target.has_energy:
        check_classes(data, config.training["held_out"], config.space["n_classes"])
        if run is not None:
            check_same_data(run, data)
    return data


def _check_unchanged(asked: dict[str, Any], stored: dict[str, Any]) -> None:
    """A resumed run keeps its config: what is asked again must be the same."""
    for key, (here, there) in differences(asked, stored).items():
        raise ValueError(
            f"--resume continues a run as it was: {key} is {there!r} there, got {here!r}; leave it out, or begin "
            f"another run"
        )


def _headline(known: dict[str, Any]) -> str:
    """Where the training is; a free energy is of the last step that had one."""
    text = "" if "kl_bound" in known else f"nll/site {known['loss']:.5f} "
    if "free_energy_per_site" in known:
        text += f"{known['at']}: " if known["at"] else ""
        text += f"F/N {with_error(known['free_energy_per_site'], known['free_energy_error'])} "
        text += f"exact {known['exact']:.6f} " if "exact" in known else ""
        text += f"ESS {known['ess']:.2f}"
        text += f", from data {known['forward_ess']:.2f}" if "forward_ess" in known else ""
    elif "nll_held_out" in known:
        text += f"held out {known['nll_held_out']:.5f}"
    return text.rstrip()
