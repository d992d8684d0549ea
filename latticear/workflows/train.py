"""Training runs on disk, begun and resumed."""

from __future__ import annotations

import math
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from latticear.data.reading import read_configurations
from latticear.estimation.estimates import with_error
from latticear.exact import exact_result
from latticear.hamiltonians import TemperatureRange
from latticear.models import MODELS, AbstractModel, transfer_weights
from latticear.runs.config import (
    AnyConfig,
    RunConfig,
    build_hamiltonian,
    build_model,
    build_space,
    load_any,
    parse_any,
    resolve_device,
    to_toml,
)
from latticear.runs.directory import RunDirectory, load_model
from latticear.runs.provenance import environment, now
from latticear.runs.signals import StopSignals
from latticear.runs.trees import config_tree, differences
from latticear.spaces import ConfigurationSpace
from latticear.training import Step, TrainingError, fit
from latticear.workflows.grid_runs import Configurations, check_classes, check_same_data, completed, grid_data
from latticear.workflows.runs import Report, first_instance, judged_temperature, step_of

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
    base = None if source is None or run is not None else config_of(source)
    tree = config_tree(config_path, overrides, values, base)
    if base and tree["model"].get("name") != base["model"]["name"] and config_path is None:
        raise ValueError(
            f"--from {source} gives the weights of a {base['model']['name']}, got model.name {tree['model']['name']}"
        )
    config = asked_config(tree, run)
    space = build_space(config)
    data = training_data(config, space, run)
    device = resolve_device(config.device)
    model = build_model(config, space).to(device)
    latest = run.latest() if run else None
    origin: dict[str, Any] = run.read_json("environment.json").get("from", {}) if run else {}
    if source is not None and run is None:
        origin = origin_of(source)
    elif source is not None and origin.get("run") != str(source.resolve()):
        raise ValueError(
            f"--resume continues a run as it was: {out} began with "
            f"{'the weights of ' + origin['run'] if origin else 'fresh weights'}, got --from {source}; leave it out"
        )
    if origin and latest is None:
        transfer_weights(model, load_model(origin["run"], device))
    state = run.load_trainer(latest, device) if run and latest else None
    steps = begin(model, space, config, data, state)
    if run is None:
        known: dict[str, Any] = {} if isinstance(config, RunConfig) or data is None else {"data": data.fingerprint}
        known |= {"from": origin} if origin else {}
        run = RunDirectory.create(out, to_toml(config), environment(device) | known)
    with run.locked():
        run.truncate_metrics(0 if state is None else int(state["step"]))
        return _train(run, model, steps, config, report, seconds)


def config_of(run: Path) -> dict[str, Any]:
    """The config of a run as a nested dictionary, for another run to begin with.

    What follows from its Hamiltonian, its temperature or its data is left out: it may follow otherwise.
    """
    config = load_any(RunDirectory(run).config_path)
    tree = tomllib.loads(to_toml(config))
    if not isinstance(config, RunConfig):
        return tree
    model, training, hamiltonian = tree["model"], tree["training"], build_hamiltonian(config)
    if model["spin_flip_symmetric"] == hamiltonian.spin_flip:
        del model["spin_flip_symmetric"]
    if tuple(model.get("periodic", ())) == hamiltonian.lattice.periodic:
        del model["periodic"]
    if model.get("n_components") == hamiltonian.n_components:
        del model["n_components"]
    if model.get("translation_invariant") == hamiltonian.is_homogeneous:
        del model["translation_invariant"]
    if isinstance(config.served, TemperatureRange):
        del model["n_condition"], training["objective"]
    elif training["objective"] == MODELS[model["name"]].training_defaults.get("objective"):
        del training["objective"]
    del training["data"]
    return tree


def origin_of(run: Path) -> dict[str, Any]:
    """What is recorded of a run that gives its weights: its path and its checkpoint.

    Raises:
        ValueError: if it has no checkpoint.
    """
    step = step_of(run)
    if step is None:
        raise ValueError(f"{run} has no checkpoint to take weights from; train it first")
    return {"run": str(run.resolve()), "checkpoint": step}


def asked_config(tree: dict[str, Any], run: RunDirectory | None = None) -> AnyConfig:
    """The config that was asked for; a run that is continued keeps its own, but for the device."""
    config = parse_any(completed(tree)) if run is None else load_any(run.config_path, values=tree)
    if config.training["data"]:
        config.training["data"] = str(Path(config.training["data"]).resolve())
    if run is not None:
        _check_unchanged(config.model_dump(exclude={"device"}), load_any(run.config_path).model_dump())
    return config


def begin(
    model: AbstractModel,
    space: ConfigurationSpace,
    config: AnyConfig,
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
            space,
            temperature=config.served,
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
    run: RunDirectory, model: AbstractModel, steps: Iterator[Step], config: AnyConfig, report: Report, seconds: float
) -> bool:
    total, every = config.training["steps"], config.training["checkpoint_every"]
    judge = None
    if isinstance(config, RunConfig):
        system, _ = first_instance(build_hamiltonian(config), model)
        judge = exact_result(system, judged_temperature(config))
    known = {"exact": judge.free_energy_per_site} if judge else {}
    if isinstance(config.served, TemperatureRange):
        known["middle"] = config.served.middle
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


def training_data(
    config: AnyConfig, space: ConfigurationSpace, run: RunDirectory | None = None
) -> Configurations | None:
    """What is learned from: of a Hamiltonian configurations alone, or nothing where it is asked for energies."""
    if not isinstance(config, RunConfig):
        data = grid_data(config)
        check_classes(data, config.training["held_out"], config.grid["n_classes"])
        if run is not None:
            check_same_data(run, data)
        return data
    objective, path = config.training["objective"], config.training["data"]
    wanted = objective != "reverse-kl"
    if wanted and isinstance(config.served, TemperatureRange):
        raise ValueError(f"a range of temperatures needs objective 'reverse-kl', got {objective!r}")
    if path and not wanted:
        raise ValueError(f"data is given, but objective {objective} uses none; use forward-kl or forward-reverse-kl")
    if not path:
        return None
    return Configurations(read_configurations(path, space, temperature=judged_temperature(config)), None)


def _check_unchanged(asked: dict[str, Any], stored: dict[str, Any]) -> None:
    """A resumed run keeps its config: what is asked again must be the same."""
    for key, (here, there) in differences(asked, stored).items():
        raise ValueError(
            f"--resume continues a run as it was: {key} is {there!r} there, got {here!r}; leave it out, or begin "
            f"another run"
        )


def _headline(known: dict[str, float]) -> str:
    """Where the training is; a free energy is of the last step that had one."""
    text = "" if "kl_bound" in known else f"nll/site {known['loss']:.5f} "
    if "free_energy_per_site" in known:
        text += f"at T = {known['middle']:g}: " if "middle" in known else ""
        text += f"F/N {with_error(known['free_energy_per_site'], known['free_energy_error'])} "
        text += f"exact {known['exact']:.6f} " if "exact" in known else ""
        text += f"ESS {known['ess']:.2f}"
        text += f", from data {known['forward_ess']:.2f}" if "forward_ess" in known else ""
    elif "nll_held_out" in known:
        text += f"held out {known['nll_held_out']:.5f}"
    return text.rstrip()
