"""Comparison of several configs at equal training time, by the quality of importance sampling.

    OUT/<name of the config>/   run directory of the config
        comparison.json         planned training time and measured time per step; at the end also the row of the table

The training time is converted to a number of steps, from the time per step that a warm-up measures. The number is
stored, so that a comparison that was interrupted continues with the same number of steps.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latticear.estimation.estimates import quiet
from latticear.estimation.importance import estimate
from latticear.estimation.inputs import MIN_SAMPLES
from latticear.estimation.weights import divergence
from latticear.exact import exact_result
from latticear.files import check_folder
from latticear.hamiltonians import AbstractHamiltonian
from latticear.models import MODELS, AbstractModel
from latticear.processes import ALONE
from latticear.runs.config import RunConfig, resolve_device, stored, stored_config
from latticear.runs.directory import RunDirectory
from latticear.runs.provenance import environment
from latticear.runs.trees import config_tree, differences
from latticear.samples import Samples
from latticear.training import TrainingError
from latticear.workflows.budget import Clock, check_minutes, drawn_data, measured_cost
from latticear.workflows.estimate import save_estimates
from latticear.workflows.limits import check_memory
from latticear.workflows.lookahead import settle_bond_dimension, sum_later_sites
from latticear.workflows.train import asked_config, begin, train_run, training_data
from latticear.workflows.trained import Report, trained

__all__ = ["compare_runs", "names_of"]

Row = dict[str, Any]

OVERRUN = 1.5
"""A training is stopped after this multiple of its time budget, which it exceeds if the machine became slower."""

UNDERRUN = 0.75
"""A training that took less than this fraction of its time budget has a warning in its row."""

RECORD = "comparison.json"


def compare_runs(
    configs: Sequence[Path],
    out: Path,
    overrides: Sequence[str],
    values: dict[str, Any],
    *,
    minutes: float,
    n: int,
    report: Report,
    clock: Clock = time.perf_counter,
    overrun: float = OVERRUN,
) -> Iterator[Row]:
    """Train each config for the same time and evaluate it by importance sampling; yields a row for each config.

    Runs that exist in `out` are continued, and finished rows are read from there. If a config fails, its row has the
    key `error`, and the other configs are processed.

    Args:
        configs: TOML files.
        out: folder of the run directories.
        overrides: overrides of single keys of all configs, as `config_tree` takes them.
        values: further keys of all configs, as `config_tree` takes them.
        minutes: training time of each config, without the time of the warm-up, of checkpoints and of the evaluation.
        n: number of samples for importance sampling.
        report: called with progress.
        clock: a clock in seconds, for the time per step and the rate of sampling. `time.process_time`, with one
            thread, gives a fair comparison on a machine that runs other programs too.
        overrun: a training is stopped after this multiple of `minutes` of wall time.

    Yields:
        Rows of JSON values: `name`, `config`, `run`, `model`, `hamiltonian`, `temperature`, `parameters`, `steps`,
        `planned_steps`, `seconds`, `kl` (KL(q||p) in nats), `ess` and `free_energy_per_site` (each with value and
        error), `deviation` of the free energy from the exact one in units of its error, `n`, `samples_per_second`,
        `verdict`, `reliable`, `warnings`.

    Raises:
        ValueError: for an invalid time, number of samples or list of configs.
        KeyboardInterrupt: if a signal stopped the comparison; a later call continues it.
    """
    names = names_of(configs)
    check_minutes(minutes)
    check_memory(n, "samples", "give a smaller -n")
    if n < MIN_SAMPLES:
        raise ValueError(f"an error bar needs at least {MIN_SAMPLES} samples, got {n}")
    check_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    checked = [_checked(config, overrides, values) for config in configs]  # errors in any config show before training
    for name, path, config in zip(names, configs, checked, strict=True):
        head = {"name": name, "config": str(path)}

        def named_report(done: int, total: int, text: str, name: str = name) -> None:
            report(done, total, f"{name}: {text}")

        if isinstance(config, str):
            yield head | {"error": config}
            continue
        try:
            yield head | _row(out / name, config, minutes, n, named_report, clock, overrun)
        except (ValueError, OSError, TrainingError, MemoryError) as error:
            yield head | {"error": _sentence(error)}


def _checked(path: Path, overrides: Sequence[str], values: dict[str, Any]) -> RunConfig | str:
    """The config of a file, or the message of the error in it."""
    try:
        config = asked_config(config_tree(path, overrides, values))
        _ = config.target.single  # raises ValueError for any other target
        return config
    except (ValueError, OSError) as error:
        return _sentence(error)


def names_of(configs: Sequence[Path]) -> list[str]:
    """A name for each config: the name of its file, with a number appended if an earlier config has the same name.

    Raises:
        ValueError: for no config, or one that is given twice.

    Example:
        >>> names_of([Path("wide/a.toml"), Path("deep/a.toml"), Path("b.toml")])
        ['a', 'a-2', 'b']
    """
    if not configs:
        raise ValueError("compare needs at least one config; see configs/")
    names: list[str] = []
    for k, config in enumerate(configs):
        if config.resolve() in [other.resolve() for other in configs[:k]]:
            raise ValueError(f"{config} is given twice")
        candidates = (config.stem if i == 1 else f"{config.stem}-{i}" for i in range(1, len(configs) + 1))
        names.append(next(name for name in candidates if name not in names))
    return names


def _row(path: Path, config: RunConfig, minutes: float, n: int, report: Report, clock: Clock, overrun: float) -> Row:
    run = _planned(path, config, minutes, clock, report)
    record = run.read_json(RECORD)
    if record.get("row", {}).get("n") == n:
        return {"run": str(path), **record["row"]}
    _finish_training(run, 60 * minutes * overrun, report)
    row = _evaluated(run, n, 60 * minutes, resolve_device(config.device), report, clock)
    run.write_json(RECORD, record | {"row": row})
    return {"run": str(path), **row}


def _planned(path: Path, config: RunConfig, minutes: float, clock: Clock, report: Report) -> RunDirectory:
    """The run directory of a config, with the planned number of steps; it is made if it does not exist.

    The number of steps in `config` is set to the planned one.

    Raises:
        ValueError: if the directory holds a run with another config or training time.
    """
    if not path.exists():
        settle_bond_dimension(config, ALONE, report, lambda _: None, 60 * minutes)
        if MODELS[config.model["name"]].has_weights:
            seconds = _seconds_per_step(config, 60 * minutes, clock)
            config.training["steps"] = max(1, round(60 * minutes / seconds))
        else:
            seconds, config.training["steps"] = 0.0, 1
        run_toml, files = stored(config)
        run = RunDirectory.create(path, run_toml, environment(resolve_device(config.device)), files)
        run.write_json(RECORD, {"minutes": minutes, "seconds_per_step": seconds})
        return run
    run = RunDirectory(path)
    before = stored_config(run.config_path).to_dict() | {"minutes": run.read_json(RECORD).get("minutes", minutes)}
    steps = before["training"]["steps"]
    if config.model.get("bond_dimension") == "auto":
        config.model["bond_dimension"] = before["model"].get("bond_dimension")
    changed = differences(config.to_dict(with_places=False) | {"minutes": minutes}, before)
    changed.pop("training.steps", None)
    for key, (new, old) in changed.items():
        raise ValueError(f"{path} holds another run: {key} is {old!r} there, got {new!r}; name another --out")
    config.training["steps"] = steps
    return run


def _seconds_per_step(config: RunConfig, budget: float, clock: Clock) -> float:
    """The time of a training step, measured with a network that is discarded afterwards."""
    data = training_data(config) or drawn_data(config)
    return measured_cost(config, data, budget, begin, clock).step


def _finish_training(run: RunDirectory, limit: float, report: Report) -> None:
    """Train a run to its last step, or until the training has taken `limit` seconds.

    Raises:
        KeyboardInterrupt: if a signal stopped the training.
    """
    steps = stored_config(run.config_path).training["steps"]

    def is_over() -> bool:
        done = _progress(run)
        return done["step"] >= steps or done["elapsed"] > limit

    if is_over() or train_run(run.path, None, [], {}, resume=True, report=report, seconds=limit) or is_over():
        return
    raise KeyboardInterrupt


def _progress(run: RunDirectory) -> dict[str, Any]:
    """The metrics at the newest checkpoint, of which `step` and `elapsed` are used; both 0 without a checkpoint."""
    latest = run.latest()
    step = int(latest.name.removeprefix("step-")) if latest else 0
    return next((row for row in reversed(run.metrics()) if row["step"] <= step), {"step": 0, "elapsed": 0.0})


def _evaluated(run: RunDirectory, n: int, budget: float, device: torch.device, report: Report, clock: Clock) -> Row:
    config, model = trained(run.path, str(device))
    hamiltonian, temperature, _ = config.target.single
    exact = exact_result(hamiltonian, temperature)
    sum_later_sites(model, report)
    drawn = _Drawn(model, hamiltonian, temperature, clock)
    with quiet():
        result = estimate(drawn.batches(n, config.seed, report), hamiltonian, temperature, exact=exact)
    save_estimates(run.path, [result], seed=config.seed)
    done, free = _progress(run), result["free_energy_per_site"]
    return {
        "model": config.model["name"],
        "hamiltonian": hamiltonian.to_dict(),
        "temperature": temperature,
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": done["step"],
        "planned_steps": config.training["steps"],
        "seconds": done["elapsed"],
        "kl": divergence(np.concatenate(drawn.log_w), exact.log_z if exact else None)._asdict(),
        "ess": result["ess"].to_dict(),
        "free_energy_per_site": free.to_dict(),
        "deviation": None if free.deviation is None else float(free.deviation),
        "n": n,
        "samples_per_second": float(np.median(drawn.rates)),
        "verdict": str(result.verdict),
        "reliable": result.reliable,
        "warnings": [*_time_warnings(done, config, budget), *result.warnings],
    }


def _time_warnings(done: dict[str, Any], config: RunConfig, budget: float) -> list[str]:
    """Warnings of a row whose training time differs from the others: stopped early, or planned with too few steps."""
    planned = config.training["steps"]
    if done["step"] < planned:
        return [f"stopped after {done['step']} of {planned} steps and {done['elapsed']:.0f} s: not fully trained"]
    if done["elapsed"] < UNDERRUN * budget and MODELS[config.model["name"]].has_weights:
        return [
            f"trained {done['elapsed']:.0f} s of {budget:.0f} s: the machine was slower when the steps were planned"
        ]
    return []


class _Drawn:
    """Samples for the estimates; keeps the logarithms of their weights and the rates at which they were drawn."""

    def __init__(
        self, model: AbstractModel, hamiltonian: AbstractHamiltonian, temperature: float, clock: Clock
    ) -> None:
        self._model, self._hamiltonian, self._temperature, self._clock = model, hamiltonian, temperature, clock
        self.log_w: list[np.ndarray] = []
        self.rates: list[float] = []

    def batches(self, n: int, seed: int, report: Report) -> Iterator[Samples]:
        self._model.sample(1, seed=seed)  # builds the engine
        done, batches = 0, self._model.sample_batches(n, seed=seed)
        while True:
            t_start = self._clock()
            batch = next(batches, None)
            if batch is None:
                return
            assert batch.log_q is not None
            log_q = batch.log_q.cpu()  # waits for the device
            self.rates.append(len(batch) / (self._clock() - t_start))
            energy = self._hamiltonian.token_energy(batch.tokens).cpu()
            self.log_w.append((-energy / self._temperature - log_q).numpy())
            done += len(batch)
            report(done, n, "weighing")
            yield batch


def _sentence(error: Exception) -> str:
    """The message of an error, in one line."""
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(text.split())
