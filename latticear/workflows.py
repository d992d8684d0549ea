"""What the verbs of the command line do, without printing: runs on disk, from configs to estimates and figures."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from latticear.chains import estimate_chains, neural_mcmc
from latticear.conditional import read_held
from latticear.config import (
    RunConfig,
    build_hamiltonian,
    build_model,
    config_tree,
    load_config,
    parse_config,
    resolve_device,
    to_toml,
)
from latticear.configurations import read_configurations, read_metadata
from latticear.datafile import SampleWriter
from latticear.estimates import Estimates, UnreliableEstimateWarning, with_error
from latticear.exact import exact_result
from latticear.hamiltonians import AbstractHamiltonian
from latticear.importance import forward_ess, reweight
from latticear.models import AbstractModel
from latticear.montecarlo import default_schedule, monte_carlo
from latticear.provenance import command, environment, fingerprint, now
from latticear.receptive import summary
from latticear.rundir import RunDirectory, load_model
from latticear.samples import Samples
from latticear.signals import StopSignals
from latticear.training import Step, TrainingError, fit

__all__ = [
    "describe",
    "estimate_run",
    "monte_carlo_run",
    "quiet",
    "sample_run",
    "save_estimates",
    "train_run",
    "trained",
]

Report = Callable[[int, int, str], None]
METHODS = ("is", "mcmc")


def train_run(
    out: Path,
    config_path: Path | None,
    overrides: Sequence[str],
    values: dict[str, Any],
    *,
    resume: bool,
    report: Report,
) -> bool:
    """Train as a config says, or continue the run in `out`; False if an interrupt stopped it (saved).

    Raises:
        ValueError: for a config that cannot be, or one that differs from that of the run to be continued.
        FileExistsError: if `out` exists and `resume` is False.
        TrainingError: when the loss stops being finite; names the last good checkpoint.
        OSError: if something cannot be read or written.
    """
    run = RunDirectory(out) if resume and out.exists() else None
    config = _asked(config_tree(config_path, overrides, values), run)
    hamiltonian = build_hamiltonian(config)
    device = resolve_device(config.device)
    model = build_model(config, hamiltonian).to(device)
    latest = run.latest() if run else None
    state = run.load_trainer(latest, device) if run and latest else None
    steps = _steps(model, hamiltonian, config, state)
    if run is None:
        run = RunDirectory.create(out, to_toml(config), environment(device))
    with run.locked():
        run.truncate_metrics(0 if state is None else int(state["step"]))
        return _train(run, model, steps, config, report)


def _asked(tree: dict[str, Any], run: RunDirectory | None) -> RunConfig:
    """The config that was asked for; a run that is continued keeps its own, but for the device."""
    config = parse_config(tree) if run is None else load_config(run.config_path, values=tree)
    if config.training["data"]:
        config.training["data"] = str(Path(config.training["data"]).resolve())
    if run is not None:
        _check_unchanged(config.model_dump(exclude={"device"}), load_config(run.config_path).model_dump())
    return config


def _steps(
    model: AbstractModel, hamiltonian: AbstractHamiltonian, config: RunConfig, state: dict[str, Any] | None
) -> Iterator[Step]:
    options = {k: v for k, v in config.training.items() if k not in ("data", "checkpoint_every")}
    data = _training_data(config, hamiltonian)
    try:
        return fit(
            model,
            hamiltonian,
            temperature=config.temperature,
            seed=config.seed,
            data=data,
            resume=state,
            **options,
        )
    except (RuntimeError, LookupError, TypeError, AttributeError) as error:
        if state is None:
            raise
        raise ValueError(f"the newest checkpoint is not one of this run ({error}); remove it to resume") from error


def _train(run: RunDirectory, model: AbstractModel, steps: Iterator[Step], config: RunConfig, report: Report) -> bool:
    total, every = config.training["steps"], config.training["checkpoint_every"]
    judge = exact_result(build_hamiltonian(config), config.temperature)
    known = {"exact": judge.free_energy_per_site} if judge else {}
    before = run.metrics()[-1:]
    done = before[0]["step"] if before else 0
    t_start = time.monotonic() - (before[0]["elapsed"] if before else 0.0)
    with StopSignals() as stop:
        try:
            for step in steps:
                done = step.step
                run.log({"step": done, "elapsed": time.monotonic() - t_start, "loss": step.loss, **step.metrics})
                known |= {"loss": step.loss, **step.metrics}
                report(done, total, _headline(known))
                if done % every == 0 or done == total or stop.requested:
                    run.save_checkpoint(model, _finite(step.state.weights()), step.state.state_dict())
                if stop.requested and done < total:
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


def estimate_run(
    path: Path,
    n: int,
    *,
    temperatures: Sequence[float] | None,
    method: str,
    data: Path | None,
    seed: int,
    device: str,
    report: Report,
) -> list[Estimates]:
    """Estimates from n fresh samples of a run.

    Args:
        path: run directory.
        n: samples.
        temperatures: where to reweight to; None for the temperature of the run.
        method: "is" or "mcmc".
        data: Monte Carlo configurations for the forward ESS, or None.
        seed, device: of the sampling.
        report: called with progress.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {list(METHODS)}, got {method!r}")
    config, hamiltonian, model = trained(path, device)
    targets = list(temperatures or [config.temperature])
    judges = [exact_result(hamiltonian, t) for t in targets]
    target_data = None if data is None else read_configurations(data, hamiltonian, temperature=targets[0])
    batches = _counted(model.sample_batches(n, seed=seed), n, report)
    with quiet():
        if method == "is":
            results = reweight(batches, hamiltonian, targets, exact=judges)
        elif len(targets) > 1:
            raise ValueError("method mcmc takes one temperature at a time")
        else:
            results = [neural_mcmc(batches, hamiltonian, targets[0], seed=seed, exact=judges[0])]
    if target_data is not None:
        results[0]["forward_ess"] = forward_ess(model, target_data, hamiltonian, targets[0])
        results[0].check_collapse()
    return results


def save_estimates(path: Path, results: Sequence[Estimates], *, seed: int) -> None:
    """Write estimates.json, if these are at the temperature of the run and by importance sampling, which gives all."""
    run, first = RunDirectory(path), results[0]
    at_home = len(results) == 1 and first.temperature == load_config(run.config_path).temperature
    if at_home and "free_energy_per_site" in first:
        run.write_json("estimates.json", first.to_dict() | {"seed": seed, "checkpoint": _step_of(path)})


def sample_run(
    path: Path,
    out: Path,
    n: int,
    *,
    seed: int,
    append: bool,
    device: str,
    report: Report,
    given: Path | None = None,
) -> int:
    """Stream samples of a run into an HDF5 file, up to n in all; returns how many it holds.

    With `given`, a file that `read_held` reads, its sites are held fixed.

    Raises:
        ValueError: for a file or a number that does not fit.
        KeyboardInterrupt: if a signal stopped it; the file keeps what it has.
    """
    config, hamiltonian, model = trained(path, device)
    held = None if given is None else read_held(given, hamiltonian, n)
    provenance = {"run": str(path), "checkpoint": _step_of(path), "command": command()}
    attributes = {
        "seed": seed,
        "temperature": config.temperature,
        "model": model.to_dict(),
        "weights": fingerprint(model),
        "given": None if held is None else held.fingerprint,
        "provenance": provenance if held is None else provenance | {"given": held.origin},
    }
    with (
        StopSignals() as stop,
        SampleWriter(out, hamiltonian, attributes=attributes, append=append, has_given=held is not None) as writer,
    ):
        done = writer.n_written
        if done < n:
            draw = model.sample_batches if held is None else partial(held.sample_batches, model)
            batches = draw(n - done, seed=seed, start=done)
            for _ in _written(batches, writer, hamiltonian, n, report, stop):
                pass
        return writer.n_written


def monte_carlo_run(
    out: Path,
    config: RunConfig,
    n: int,
    *,
    method: str,
    seed: int,
    device: str,
    schedule: dict[str, int],
    report: Report,
) -> Estimates | None:
    """Run Markov chains, write their configurations to an HDF5 file and return their averages.

    None where there are not two measurements of each chain, and so no error bars.
    """
    if out.exists():
        raise FileExistsError(f"{out} already exists; name another file")
    hamiltonian = build_hamiltonian(config)
    plan = default_schedule(hamiltonian, method, n)._replace(**schedule)
    where = str(resolve_device(device))
    chains = monte_carlo(hamiltonian, config.temperature, n=n, method=method, seed=seed, device=where, **plan._asdict())
    attributes = {
        "seed": seed,
        "temperature": config.temperature,
        "provenance": {"method": method, **plan._asdict(), "command": command()},
    }
    judge = exact_result(hamiltonian, config.temperature)
    with (
        quiet(),
        StopSignals() as stop,
        SampleWriter(out, hamiltonian, attributes=attributes, has_log_q=False) as writer,
    ):
        written = _written(chains, writer, hamiltonian, n, report, stop)
        if n >= 2 * plan.n_chains:
            return estimate_chains(written, hamiltonian, config.temperature, exact=judge)
        for _ in written:
            pass
        return None


def describe(path: Path) -> dict[str, Any]:
    """What a run directory or a data file holds, as JSON values.

    Raises:
        OSError, ValueError: if it is neither.
    """
    if not path.is_dir():
        return read_metadata(path)
    run = RunDirectory(path)
    metrics = run.metrics()
    latest = run.latest()
    content: dict[str, Any] = {
        "config": load_config(run.config_path).model_dump(),
        "environment": run.read_json("environment.json"),
        "checkpoint": None if latest is None else latest.name,
        "last_step": metrics[-1] if metrics else None,
    }
    if latest is not None:
        model = load_model(path)
        content |= {"n_parameters": sum(p.numel() for p in model.parameters()), "receptive_field": summary(model)}
    estimates = run.read_json("estimates.json")
    return content | ({"estimates": estimates} if estimates else {})


def trained(path: Path, device: str) -> tuple[RunConfig, AbstractHamiltonian, AbstractModel]:
    """Config, Hamiltonian and network (newest checkpoint) of a run.

    Raises:
        ValueError: if the checkpoint is of another lattice than the config.
    """
    config = load_config(RunDirectory(path).config_path)
    hamiltonian, model = build_hamiltonian(config), load_model(path, resolve_device(device))
    if (model.shape, model.n_tokens) != (hamiltonian.shape, hamiltonian.n_tokens):
        raise ValueError(
            f"the checkpoint of {path} is a model for shape {model.shape} with {model.n_tokens} tokens, its run.toml "
            f"is for {hamiltonian.shape} with {hamiltonian.n_tokens}"
        )
    return config, hamiltonian, model


def _written(
    batches: Iterable[Samples],
    writer: SampleWriter,
    hamiltonian: AbstractHamiltonian,
    n: int,
    report: Report,
    stop: StopSignals,
) -> Iterator[Samples]:
    """The batches, each written to the file as it passes.

    Raises:
        KeyboardInterrupt: between two batches, if a signal asked to stop.
    """
    for batch in batches:
        writer.write(batch, hamiltonian.token_energy(batch.tokens))
        report(writer.n_written, n, "")
        if stop.requested:
            raise KeyboardInterrupt
        yield batch


def _counted(batches: Iterable[Samples], n: int, report: Report) -> Iterator[Samples]:
    done = 0
    for batch in batches:
        done += len(batch)
        report(done, n, "")
        yield batch


def _training_data(config: RunConfig, hamiltonian: AbstractHamiltonian) -> torch.Tensor | None:
    wanted = config.training["objective"] == "forward-kl"
    path = config.training["data"]
    if wanted and not path:
        raise ValueError("objective forward-kl needs configurations: give --data FILE (latticear mc makes one)")
    if path and not wanted:
        raise ValueError(f"data is given, but objective {config.training['objective']} uses none; use forward-kl")
    return read_configurations(path, hamiltonian, temperature=config.temperature) if path else None


def _check_unchanged(asked: dict[str, Any], stored: dict[str, Any], prefix: str = "") -> None:
    """A resumed run keeps its config: what is asked again must be the same."""
    for key, value in asked.items():
        if isinstance(value, dict):
            _check_unchanged(value, stored[key], f"{prefix}{key}.")
        elif value != stored.get(key):
            raise ValueError(
                f"--resume continues a run as it was: {prefix}{key} is {stored.get(key)!r} there, got {value!r}; "
                f"leave it out, or begin another run"
            )


def _headline(known: dict[str, float]) -> str:
    """Where the training is; a free energy is of the last step that had one."""
    text = "" if "kl_bound" in known else f"nll/site {known['loss']:.5f} "
    if "free_energy_per_site" in known:
        text += f"F/N {with_error(known['free_energy_per_site'], known['free_energy_error'])} "
        text += f"exact {known['exact']:.6f} " if "exact" in known else ""
        text += f"ESS {known['ess']:.2f}"
    return text.rstrip()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The table says what is unreliable; a Python warning beside it would say it twice."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreliableEstimateWarning)
        yield


def _step_of(path: Path) -> str | None:
    latest = RunDirectory(path).latest()
    return latest.name if latest else None
