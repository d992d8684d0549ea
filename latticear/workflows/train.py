"""Starts and resumes training runs on disk."""

from __future__ import annotations

import math
import time
import tomllib
import warnings
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
from latticear.threads import ThreadsWarning, useful_threads
from latticear.training import Step, TrainingError, fit
from latticear.training.loop import work_of
from latticear.training.state import ResumeError
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
    """Train a model as described by a config, or resume the run in `out`.

    A signal, or a training that takes longer than `seconds`, stops the training after a checkpoint.

    Args:
        out: run directory.
        config_path: TOML file; None for the config of the source, or for a config of defaults if there is no source.
        overrides: overrides of single keys, as `config_tree` takes them.
        values: further keys of the config, as `config_tree` takes them.
        resume: whether to continue the run in `out`, if there is one.
        report: called with progress.
        seconds: longest duration of the training.
        source: directory of a run whose weights are the initial weights of this one; its lattice or temperature may
            differ.

    Returns:
        Whether the training has reached its last step.

    Raises:
        ValueError: for an invalid config, a config that differs from that of the run to be resumed, or a source whose
            weights do not fit.
        FileExistsError: if `out` exists and `resume` is False.
        TrainingError: when the loss or the weights are not finite; names the last good checkpoint.
        OSError: if a file cannot be read or written.
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
    else:
        _note_threads(run, work_of(model, config.training["batch_size"]))
    with run.locked():
        run.truncate_metrics(0 if state is None else int(state["step"]))
        return _train(run, model, steps, config, report, seconds)


def _note_threads(run: RunDirectory, work: int) -> None:
    """Warn if a run is resumed with another number of threads than it was begun with, which changes the rounding."""
    began, available = run.read_json("environment.json").get("threads"), torch.get_num_threads()
    if isinstance(began, int) and useful_threads(work, began) != useful_threads(work):
        warnings.warn(
            f"{run.path} was begun with {began} threads and continues with {available}: numbers may differ by rounding "
            f"from those of a training without interruption; with --threads {began} they do not",
            ThreadsWarning,
            stacklevel=2,
        )


def _requested_tree(
    config_path: Path | None, overrides: Sequence[str], values: dict[str, Any], source: Path | None
) -> dict[str, Any]:
    """The config that a user requests, unchecked; keys that the user does not give are those of the source.

    Args:
        config_path: TOML file; None for the config of the source.
        overrides: overrides of single keys, as `config_tree` takes them.
        values: further keys, as `config_tree` takes them.
        source: directory of a run, or None.

    Raises:
        ValueError: if the requested network is not that of the source.
    """
    base = None if source is None else config_of(source)
    tree = config_tree(config_path, overrides, values, base)
    if base and config_path is None and isinstance(tree["model"], dict):
        first, name = base["model"]["name"], tree["model"]["name"]
        if name != first:
            raise ValueError(f"--from {source} gives the weights of a {first}, got model.name {name}")
    return tree


def config_of(run: Path) -> dict[str, Any]:
    """The config of a run as nested dictionaries, on which the config of another run may be based.

    Keys whose value follows from the Hamiltonian, the temperature or the data are left out, since for the other run a
    different value may follow.
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
    """Directory and checkpoint of the run that gives the initial weights; empty for random initial weights.

    Args:
        run: the run that is resumed, or None for a new run.
        source: the run that a user names as the source of the initial weights, or None.

    Raises:
        ValueError: if the resumed run had other initial weights, or the source has no checkpoint.
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
    """Check the config that a user requests; a resumed run keeps its config, except for the device.

    Args:
        tree: the requested config, unchecked.
        run: the run that is resumed, or None for a new run.

    Raises:
        ValueError: for an invalid config, or one that differs from that of the resumed run.
        OSError: if a file cannot be read.
    """
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
    """Start the training that a config describes, or continue it from a stored state.

    Args:
        model: the model; it is trained in place.
        config: the config of the run.
        data: configurations to train on, or None.
        state: state of the training in a checkpoint; None to start from the first step.

    Raises:
        ValueError: for invalid options, data that do not fit, or a state that is not one of this training.
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
    except ResumeError as error:
        raise ValueError(f"the newest checkpoint is not one of this run ({error}); remove it to resume") from error


def _train(
    run: RunDirectory, model: AbstractModel, steps: Iterator[Step], config: RunConfig, report: Report, seconds: float
) -> bool:
    total, every = config.training["steps"], config.training["checkpoint_every"]
    status: dict[str, Any] = {"at": config.target.shown_as}
    if config.target.has_energy:
        shown = config.target.shown(model)
        exact = exact_result(shown.system, shown.temperature)
        status |= {"exact": exact.free_energy_per_site} if exact else {}
    before = run.metrics()[-1:]
    done = before[0]["step"] if before else 0
    t_start = time.monotonic() - (before[0]["elapsed"] if before else 0.0)
    with StopSignals() as stop:
        try:
            for step in steps:
                done, elapsed = step.step, time.monotonic() - t_start
                run.log({"step": done, "elapsed": elapsed, "loss": step.loss, **step.metrics})
                status |= {"loss": step.loss, **step.metrics}
                report(done, total, _headline(status))
                ends = stop.requested or elapsed > seconds
                if done % every == 0 or done == total or ends:
                    run.save_checkpoint(model, _finite(step.state.weights()), step.state.state_dict())
                if ends and done < total:
                    return False
        except TrainingError as error:
            run.discard_checkpoint(done)  # its weights led to a loss that is not finite
            raise TrainingError(f"{error}; {run.last_good()}") from error
    ended = {"finished": now(), "seconds": time.monotonic() - t_start}
    run.write_json("environment.json", ended | run.read_json("environment.json"))
    return True


def _finite(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    if not all(weight.isfinite().all() for weight in weights.values()):
        raise TrainingError("the weights stopped being finite; lower the learning rate")
    return weights


def training_data(config: RunConfig, run: RunDirectory | None = None) -> Configurations | None:
    """Read the data of a config; None if the training needs no data, or draws them itself by Monte Carlo.

    Args:
        config: the config of the run.
        run: the run that is resumed, or None for a new run.

    Raises:
        ValueError: for data that do not fit, that have changed since the run was begun, or that the objective does not
            use.
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


def _check_unchanged(requested: dict[str, Any], stored: dict[str, Any]) -> None:
    """Raise ValueError if a key that a user gives for a resumed run differs from the stored config."""
    for key, (new, old) in differences(requested, stored).items():
        raise ValueError(
            f"--resume continues a run as it was: {key} is {old!r} there, got {new!r}; leave it out, or begin "
            f"another run"
        )


def _headline(status: dict[str, Any]) -> str:
    """The line of progress of a training.

    Args:
        status: loss and metrics of the last step, and metrics of earlier steps that it does not have; `at`, the place
            of the setting shown; `exact`, the exact free energy per site, if there is one.
    """
    text = "" if "kl_bound" in status else f"nll/site {status['loss']:.5f} "
    if "free_energy_per_site" in status:
        text += f"{status['at']}: " if status["at"] else ""
        text += f"F/N {with_error(status['free_energy_per_site'], status['free_energy_error'])} "
        text += f"exact {status['exact']:.6f} " if "exact" in status else ""
        text += f"ESS {status['ess']:.2f}"
        text += f", from data {status['forward_ess']:.2f}" if "forward_ess" in status else ""
    elif "nll_held_out" in status:
        text += f"held out {status['nll_held_out']:.5f}"
    return text.rstrip()
