"""Several configs at the same wall time: each trained as a run of its own, then weighed.

    OUT/<name of the config>/   a run directory
        comparison.json         what was planned, and the row when it is done

The time becomes a number of steps once, after a measured warm-up, and is stored; so a comparison that was stopped goes
on with the same numbers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latticear.estimation.importance import MIN_SAMPLES, estimate
from latticear.estimation.weights import divergence
from latticear.exact import exact_result
from latticear.hamiltonians import AbstractHamiltonian
from latticear.models import AbstractModel
from latticear.runs.config import RunConfig, build_model, load_config, resolve_device, to_toml
from latticear.runs.directory import RunDirectory
from latticear.runs.provenance import environment
from latticear.runs.trees import config_tree, differences
from latticear.samples import Samples
from latticear.training import TrainingError
from latticear.workflows.estimate import save_estimates
from latticear.workflows.train import asked_config, begin, train_run, training_data
from latticear.workflows.trained import Report, quiet, trained

__all__ = ["compare_runs", "names_of"]

Row = dict[str, Any]
Clock = Callable[[], float]

N_WARM_UP, N_TIMED = 3, 5
"""Steps that are not timed (the first builds the engine), and how many are, at least."""

SHARE = 0.02
"""Of the time budget that the warm-up may take beyond them."""

OVERRUN = 1.5
"""Times the budget: a training that takes longer, because the machine became slower, is stopped there."""

UNDERRUN = 0.75
"""A training that took a smaller share of its budget is marked."""

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
    """Train each config for so many minutes and weigh n samples of it; yields a row when it is done.

    What `out` holds already is continued, and a row that is finished is read from there. A config that fails yields a
    row with the key `error`, and the others go on.

    Args:
        configs: TOML files.
        out: folder of their run directories.
        overrides, values: for all of them, as in `config_tree`.
        minutes: of training; those of the warm-up, of weighing and of checkpoints come on top.
        n: samples.
        report: called with progress.
        clock: in seconds, of the plan and of the rate of sampling; `time.process_time`, with one thread, is fair on a
            machine that does other work too.
        overrun: a training is stopped at so many times its minutes by the clock on the wall.

    Yields:
        Rows of JSON values: `name`, `config`, `run`, `model`, `hamiltonian`, `temperature`, `parameters`, `steps`,
        `planned_steps`, `seconds`, `kl` (KL(q||p) in nats), `ess` and `free_energy_per_site` (each with value and
        error), `deviation` of the free energy from the exact one in errors, `n`, `samples_per_second`, `reliable`,
        `warnings`.

    Raises:
        ValueError: for a time, number of samples or list of configs that cannot be.
        KeyboardInterrupt: if a signal stopped it; nothing is lost.
    """
    names = names_of(configs)
    if not (math.isfinite(minutes) and minutes > 0):
        raise ValueError(f"--minutes must be positive and finite, got {minutes}")
    if n < MIN_SAMPLES:
        raise ValueError(f"an error bar needs at least {MIN_SAMPLES} samples, got {n}")
    out.mkdir(parents=True, exist_ok=True)
    asked = [_asked(config, overrides, values) for config in configs]  # mistakes show before an hour of training
    for name, config, plan in zip(names, configs, asked, strict=True):
        about = {"name": name, "config": str(config)}

        def told(done: int, total: int, text: str, name: str = name) -> None:
            report(done, total, f"{name}: {text}")

        if isinstance(plan, str):
            yield about | {"error": plan}
            continue
        try:
            yield about | _row(out / name, plan, minutes, n, told, clock, overrun)
        except (ValueError, OSError, TrainingError, MemoryError) as error:
            yield about | {"error": _sentence(error)}


def _asked(config: Path, overrides: Sequence[str], values: dict[str, Any]) -> RunConfig | str:
    """A config, or what is wrong with it."""
    try:
        checked = asked_config(config_tree(config, overrides, values))
        _ = checked.target.single  # refuses what has no exact free energy to compare with
        return checked
    except (ValueError, OSError) as error:
        return _sentence(error)


def names_of(configs: Sequence[Path]) -> list[str]:
    """A name for each config: that of its file, with a number where it is taken.

    Raises:
        ValueError: for no config, or one given twice.

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


def _row(path: Path, asked: RunConfig, minutes: float, n: int, report: Report, clock: Clock, overrun: float) -> Row:
    run = _planned(path, asked, minutes, clock)
    record = run.read_json(RECORD)
    if record.get("row", {}).get("n") == n:
        return {"run": str(path), **record["row"]}
    _finish_training(run, 60 * minutes * overrun, report)
    row = _weighed(run, n, 60 * minutes, resolve_device(asked.device), report, clock)
    run.write_json(RECORD, record | {"row": row})
    return {"run": str(path), **row}


def _planned(path: Path, asked: RunConfig, minutes: float, clock: Clock) -> RunDirectory:
    """The run directory of a config, made after the warm-up if it is not there.

    Raises:
        ValueError: if another run is there.
    """
    if not path.exists():
        seconds = _seconds_per_step(asked, 60 * minutes, clock)
        asked.training["steps"] = max(1, round(60 * minutes / seconds))
        run = RunDirectory.create(path, to_toml(asked), environment(resolve_device(asked.device)))
        run.write_json(RECORD, {"minutes": minutes, "seconds_per_step": seconds})
        return run
    run = RunDirectory(path)
    there = load_config(run.config_path).to_dict() | {"minutes": run.read_json(RECORD).get("minutes", minutes)}
    steps = there["training"]["steps"]  # of the plan, whatever the config says
    changed = differences(asked.to_dict(with_device=False) | {"minutes": minutes}, there)
    changed.pop("training.steps", None)
    for key, (here, stored) in changed.items():
        raise ValueError(f"{path} holds another run: {key} is {stored!r} there, got {here!r}; name another --out")
    asked.training["steps"] = steps
    return run


def _seconds_per_step(config: RunConfig, budget: float, clock: Clock) -> float:
    """Measured on a network that is thrown away."""
    model = build_model(config).to(resolve_device(config.device))
    enough = N_WARM_UP + N_TIMED
    config = replace(config, training=config.training | {"steps": 10**6})
    steps = begin(model, config, training_data(config))
    for _ in zip(range(N_WARM_UP), steps, strict=False):
        pass
    t_start = clock()
    for step in steps:  # each ends with the loss on the CPU, so a device has done its work
        elapsed = clock() - t_start
        if step.step >= enough and elapsed > SHARE * budget:
            break
    return elapsed / (step.step - N_WARM_UP)


def _finish_training(run: RunDirectory, limit: float, report: Report) -> None:
    """Train to the last step, or until it has taken so many seconds.

    Raises:
        KeyboardInterrupt: if a signal stopped it.
    """
    steps = load_config(run.config_path).training["steps"]

    def is_over() -> bool:
        done = _progress(run)
        return done["step"] >= steps or done["elapsed"] > limit

    if is_over() or train_run(run.path, None, [], {}, resume=True, report=report, seconds=limit) or is_over():
        return
    raise KeyboardInterrupt


def _progress(run: RunDirectory) -> dict[str, Any]:
    """Step and elapsed seconds of the newest checkpoint."""
    latest = run.latest()
    step = int(latest.name.removeprefix("step-")) if latest else 0
    return next((row for row in reversed(run.metrics()) if row["step"] <= step), {"step": 0, "elapsed": 0.0})


def _weighed(run: RunDirectory, n: int, budget: float, device: torch.device, report: Report, clock: Clock) -> Row:
    config, model = trained(run.path, str(device))
    hamiltonian, temperature, _ = config.target.single
    judge = exact_result(hamiltonian, temperature)
    drawn = _Drawn(model, hamiltonian, temperature, clock)
    with quiet():
        result = estimate(drawn.batches(n, config.seed, report), hamiltonian, temperature, exact=judge)
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
        "kl": divergence(np.concatenate(drawn.log_w), judge.log_z if judge else None)._asdict(),
        "ess": result["ess"].to_dict(),
        "free_energy_per_site": free.to_dict(),
        "deviation": None if free.deviation is None else float(free.deviation),
        "n": n,
        "samples_per_second": float(np.median(drawn.rates)),
        "reliable": result.reliable,
        "warnings": [*_off_time(done, config, budget), *result.warnings],
    }


def _off_time(done: dict[str, Any], config: RunConfig, budget: float) -> list[str]:
    """What makes a row unfair: a training cut short, or one that the plan gave too few steps."""
    planned = config.training["steps"]
    if done["step"] < planned:
        return [f"stopped after {done['step']} of {planned} steps and {done['elapsed']:.0f} s: not fully trained"]
    if done["elapsed"] < UNDERRUN * budget:
        return [
            f"trained {done['elapsed']:.0f} s of {budget:.0f} s: the machine was slower when the steps were planned"
        ]
    return []


class _Drawn:
    """Samples on their way to the estimators, with their weights and the rate at which they came."""

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
    """What an error says, in one line."""
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(text.split())
