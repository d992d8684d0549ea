"""Starts and resumes training runs on disk."""

from __future__ import annotations

import errno
import math
import os
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from latticear.data.configurations import Configurations
from latticear.data.couplings import Instance
from latticear.estimation.data_check import examine_for
from latticear.files import check_folder
from latticear.models import MODELS, AbstractModel, transfer_weights
from latticear.processes import current
from latticear.runs.config import RunConfig, build_model, parse_config, resolve_device, stored, stored_config, to_toml
from latticear.runs.directory import RunDirectory, load_model
from latticear.runs.pretrained import check_is_writable, named
from latticear.runs.provenance import environment
from latticear.runs.trees import config_tree
from latticear.targets.networks import AUTO
from latticear.training import Step, TrainingOptions, fit
from latticear.training.loop import work_of
from latticear.training.state import ResumeError
from latticear.training.suited import ADDED_LATER, suited_options
from latticear.workflows.budget import Clock, check_minutes, check_no_steps, drawn_data, planned_steps, without_steps
from latticear.workflows.grid_runs import check_classes, check_same_data, completed
from latticear.workflows.instances import fine_tuned
from latticear.workflows.lookahead import settle_bond_dimension
from latticear.workflows.resumed import (
    check_same_minutes,
    check_unchanged,
    note_processes,
    note_threads,
    without_auto,
)
from latticear.workflows.trained import Report, Say, step_of
from latticear.workflows.training_steps import follow_steps, take_steps

WORTH_IT = 0.5
"""A tensor network that nobody has named is taken if its ESS is at least this; otherwise a network is trained."""

__all__ = ["asked_config", "begin", "check_out", "train_run", "training_data"]


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
    minutes: float | None = None,
    say: Say = lambda _: None,
    clock: Clock = time.perf_counter,
    refuse: bool = True,
    instance: Instance | None = None,
) -> bool:
    """Train a model as described by a config, or resume the run in `out`.

    If `torch.distributed` has joined several processes, they train one model together: each makes this call, on the
    same files, and the first one writes. A signal to any of them, or a training that takes longer than `seconds`, stops
    the training after a checkpoint. With `minutes` the number of steps is planned so that the call takes about this
    time; it is stored with the run.

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
        minutes: time budget of a new run, all included; None for the number of steps in the config. A number of steps
            in the TOML file is replaced.
        say: called with lines: which network was chosen and why, the planned number of steps, or that there is no run
            to resume.
        clock: a clock in seconds, by which the steps are planned.
        refuse: whether data that do not fit the Hamiltonian at the temperature are an error, rather than a warning.
        instance: file of the couplings that a source, whose network takes any couplings, is fine-tuned to.

    Returns:
        Whether the training has reached its last step.

    Raises:
        ValueError: for an invalid config, a config that differs from that of the run to be resumed, a source whose
            weights do not fit, or `minutes` together with a number of steps.
        FileExistsError: if `out` exists and `resume` is False.
        TrainingError: when the loss or the weights are not finite; names the last good checkpoint.
        OSError: if a file cannot be read or written.
    """
    t_start = clock()
    check_out(out, resume=resume)
    run, processes = RunDirectory(out) if out.exists() else None, current()
    processes.wait()  # so that no process finds what the first one will have made
    if instance is not None and source is None:
        raise ValueError(
            "--instance goes with --from RUN, whose network is fine-tuned to it; give the couplings of a new network "
            "by --set hamiltonian.couplings=FILE"
        )
    if instance is not None and run is not None:
        keys = {"couplings": str(instance.path.resolve()), "index": instance.number}
        values = values | {"hamiltonian": values.get("hamiltonian", {}) | keys}
    tree = _requested_tree(config_path, overrides, values, source if run is None else None, instance)
    if minutes is not None:
        check_no_steps(config_tree(None, overrides, values))
        tree = without_steps(tree)
    config = asked_config(tree, run)
    device = resolve_device(config.device)
    data = training_data(config, run, say=say, refuse=refuse)
    budget: dict[str, Any] = {}
    allowed = math.inf if minutes is None else check_minutes(minutes)
    is_free = run is None and config.choice is not None and minutes is None
    try:
        bias = settle_bond_dimension(config, processes, report, say, allowed, WORTH_IT if is_free else 0.0)
    except ValueError as error:
        if not is_free:
            raise
        say(f"no {config.model['name']}, since {error}")
        config, bias = asked_config(tree, trains=True), None
    if minutes is not None and run is not None:
        check_same_minutes(run, minutes)
    elif run is None and not MODELS[config.model["name"]].has_weights:
        budget = {} if minutes is None else {"minutes": minutes}
        if minutes is not None or config.training["steps"] > 1:
            say(f"{config.model['name']} has no weights to train: one step, whatever is asked for")
        config.training["steps"] = 1
    elif minutes is not None:
        data = data or drawn_data(config)
        config.training["steps"], cost = planned_steps(config, data, minutes, begin, clock, t_start)
        budget = {"minutes": minutes, "seconds_per_step": cost.step}
        say(f"{minutes:g} minutes are {config.training['steps']} steps of {cost.step:.2g} s each")
    if run is None:
        config.training["steps"], budget = processes.of_first([config.training["steps"], budget])
    model = build_model(config, bias).to(device)
    latest, origin = run.latest() if run else None, _origin(run, source)
    if origin and latest is None:
        transfer_weights(model, load_model(origin["run"], device))
    state = run.load_trainer(latest, device) if run and latest else None
    steps = begin(model, config, data, state)
    if not processes.is_first:
        return follow_steps(steps, config.training["steps"], processes)
    if run is None:
        record = budget if config.target.has_energy or data is None else budget | {"data": data.fingerprint}
        record |= {"from": origin} if origin else {}
        record |= {"processes": processes.size}
        if config.couplings is not None:
            record["couplings"] = {"file": config.space["couplings"], "digest": config.couplings.digest}
        run_toml, files = stored(config)
        run = RunDirectory.create(out, run_toml, environment(device) | record, files)
        if resume:
            say(f"there was no run in {out} to resume: a new one begins")
        if config.choice is not None:
            say(str(config.choice))
    else:
        note_threads(run, work_of(model, config.training["batch_size"]))
        note_processes(run, processes)
    with run.locked():
        run.truncate_metrics(0 if state is None else int(state["step"]))
        return take_steps(run, model, steps, config, report, seconds, processes)


def check_out(out: Path, *, resume: bool) -> None:
    """Check the directory of a run before anything else, so that its problem is named first.

    Raises:
        ValueError: for a name that looks like that of a file.
        FileExistsError: if it exists and is not to be resumed.
        OSError: if it cannot be made.
    """
    check_is_writable(out, "the run")
    check_folder(out)
    if out.exists() and not resume:
        if not (out / "run.toml").is_file():
            raise FileExistsError(f"{out} already exists and is not a run; name another --out")
        raise FileExistsError(f"the run {out} already exists; continue it with --resume or name another --out")
    above = next(folder for folder in out.absolute().parents if folder.exists())
    error = errno.ENOTDIR if not above.is_dir() else 0 if os.access(above, os.W_OK) else errno.EACCES
    if error:
        raise OSError(error, f"cannot write {out} ({os.strerror(error)})")


def _requested_tree(
    config_path: Path | None,
    overrides: Sequence[str],
    values: dict[str, Any],
    source: Path | None,
    instance: Instance | None,
) -> dict[str, Any]:
    """The config that a user requests, unchecked; keys that the user does not give are those of the source.

    Args:
        config_path: TOML file; None for the config of the source.
        overrides: overrides of single keys, as `config_tree` takes them.
        values: further keys, as `config_tree` takes them.
        source: directory of a run, or None.
        instance: file of couplings, or None.

    Raises:
        ValueError: if the requested network is not that of the source, or the source does not take couplings.
    """
    base = None if source is None else config_of(source)
    if instance is not None and base is not None and source is not None:
        if config_path is not None:
            raise ValueError(f"--instance takes the config of --from {source}: leave {config_path} out")
        base = fine_tuned(base, source, instance)
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
    config = stored_config(RunDirectory(run).config_path)
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
    has_data = bool(training["data"])
    shares_weights, network = config.model.get("translation_invariant", True), MODELS[model["name"]]
    objective = target.suited_objective(has_data)
    suited = suited_options(
        network,
        objective,
        shares_weights=shares_weights,
        has_data=has_data,
        system=target.only,
        looks_ahead="bond_dimension" in model,
    )
    for key in ("objective", *ADDED_LATER):
        if training[key] == suited.get(key, getattr(TrainingOptions, key)):
            del training[key]
    del training["data"]
    tree.pop("data", None)
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
        if source is not None and origin.get("run") != _place(source):
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
    return {"run": _place(source), "checkpoint": step}


def _place(run: Path) -> str:
    """The name of a run that leads to it from everywhere."""
    return named(run.resolve())


def asked_config(tree: dict[str, Any], run: RunDirectory | None = None, *, trains: bool = False) -> RunConfig:
    """Check the config that a user requests; a resumed run keeps its config, except for the device.

    Args:
        tree: the requested config, unchecked.
        run: the run that is resumed, or None for a new run.
        trains: whether a network to train is asked for, even if nothing about one is named.

    Raises:
        ValueError: for an invalid config, or one that differs from that of the resumed run.
        OSError: if a file cannot be read.
    """
    if run is not None:
        tree = without_auto(tree, stored_config(run.config_path))
    config = parse_config(tree, completed, trains=trains) if run is None else stored_config(run.config_path, tree)
    if config.training["data"]:
        config.training["data"] = str(Path(config.training["data"]).resolve())
    if run is not None:
        check_unchanged(config.to_dict(with_places=False), stored_config(run.config_path).to_dict())
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
            check_data=False,  # `training_data` has done it
            **options,
        )
    except ResumeError as error:
        raise ValueError(f"the newest checkpoint is not one of this run ({error}); remove it to resume") from error


def training_data(
    config: RunConfig, run: RunDirectory | None = None, *, say: Say = lambda _: None, refuse: bool = True
) -> Configurations | None:
    """Read the data of a config; None if the training needs no data, or draws them itself by Monte Carlo.

    Args:
        config: the config of the run.
        run: the run that is resumed, or None for a new run, whose data are examined unless `data.check` is false.
        say: called with a line that says whether the data fit the Hamiltonian at the temperature.
        refuse: whether it is an error if they do not, rather than a warning.

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
    data = target.read_data(path, **config.reading)
    found = examine_for(target, data) if run is None and config.data.get("check", True) else None
    if found is not None and refuse:
        found.demand("to train on them all the same, --set data.check=false")
    if found is not None:
        found.warn()
        say(found.line)
    if not target.has_energy:
        check_classes(data, config.training["held_out"], config.space["n_classes"])
        if run is not None:
            check_same_data(run, data)
    return data
