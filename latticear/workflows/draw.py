"""Writes samples of a run to files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from latticear import deprecated
from latticear.data.couplings import Instance
from latticear.data.exports import Writer, check_ending, writer_for
from latticear.models import AbstractModel
from latticear.runs.provenance import command, fingerprint
from latticear.runs.signals import StopSignals
from latticear.samples import Samples
from latticear.spaces import ConfigurationSpace
from latticear.targets import Asked
from latticear.workflows.held import Held, read_held
from latticear.workflows.instances import is_for_any, run_for_instance
from latticear.workflows.limits import check_disk
from latticear.workflows.lookahead import sum_later_sites
from latticear.workflows.trained import Report, step_of, trained

__all__ = ["least_bytes", "sample_run", "say_what_is_left_out"]


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
    temperature: float | None = None,
    condition: str | None = None,
    instance: Instance | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> int:
    """Draw samples from the network of a run and write them to a file, of the kind that its ending asks for.

    Args:
        path: run directory.
        out: the file.
        n: number of samples in the file at the end, including those that it holds already.
        seed: seed of the sampling.
        append: whether to continue the file if it exists.
        device: device of the network: auto, cpu or cuda.
        report: called with progress.
        given: a file of configurations with sites to be held fixed, as `read_held` reads it; or None.
        temperature: T, for a run that covers a range of temperatures.
        condition: a class label or numbers separated by commas, for a run on a grid whose model takes a condition; None
            to take the conditions from `/condition` of the file `given`.
        instance: file of the couplings, for a run for a disorder or of a tensor network.
        say: called with a line about what the file has no place for.

    Returns:
        Number of samples in the file.

    Raises:
        ValueError: for a file or an option that does not go with the run, or an ending that says no kind of file.
        KeyboardInterrupt: if a signal stopped the sampling. The file keeps the samples written so far; the exception
            has a message if they are in a file of another name.
    """
    check_ending(out, append=append, has_given=given is not None)
    run = trained(path, device)
    if is_for_any(run):
        run, instance = run_for_instance(run, instance), None
    model = run.model
    sum_later_sites(model, report)
    setting = run.target.at(Asked(temperature, instance, condition, given), model)
    held = None if given is None else read_held(given, setting.system, n)
    if held is not None and setting.condition is not None:
        held = held._replace(condition=setting.condition.expand(len(held.tokens), -1))
    attributes = {"seed": seed, "temperature": setting.temperature, "condition": condition}
    attributes |= _origin(path, model, held)
    if not out.exists():
        check_disk(out, n, "configurations", least_bytes(setting.system))
    with (
        StopSignals() as stop,
        writer_for(
            out,
            setting.system,
            attributes=attributes,
            append=append,
            has_given=held is not None,
            n_condition=model.conditioning.size,
        ) as writer,
    ):
        done = writer.n_written
        if done < n:
            free = partial(model.sample_batches, condition=setting.condition)
            draw = free if held is None else partial(held.sample_batches, model)
            batches = draw(n - done, seed=seed, start=done)
            for _ in _written(batches, writer, setting.system, n, report, stop):
                pass
    say_what_is_left_out(writer, out, say)
    return writer.n_written


def _origin(path: Path, model: AbstractModel, held: Held | None) -> dict[str, Any]:
    """Attributes of a file of samples that describe their origin: network, weights and configurations held fixed."""
    provenance = {"run": str(path), "checkpoint": step_of(path), "command": command()}
    return {
        "model": model.to_dict(),
        "weights": fingerprint(model),
        "given": None if held is None else held.fingerprint,
        "provenance": provenance if held is None else provenance | {"given": held.origin},
    }


def least_bytes(space: ConfigurationSpace) -> float:
    """Bytes that a configuration takes on the disk at least: a bit for each site, halved again by compression."""
    return space.n_sites / 16


def say_what_is_left_out(writer: Writer, out: Path, say: Callable[[str], None]) -> None:
    if writer.left_out:
        say(f"{out} has no place for {writer.left_out}: a .npz or .h5 file has")


def _write(
    writer: Writer, space: ConfigurationSpace, n: int, report: Report, stop: StopSignals, batch: Samples
) -> None:
    writer.write(batch, space.token_energy(batch.tokens))
    report(writer.n_written, n, "")
    _raise_if_stopped(stop)


def _raise_if_stopped(stop: StopSignals) -> None:
    if stop.requested:
        raise KeyboardInterrupt


def _written(
    batches: Iterable[Samples],
    writer: Writer,
    space: ConfigurationSpace,
    n: int,
    report: Report,
    stop: StopSignals,
) -> Iterator[Samples]:
    """Yield the batches after writing each of them to the file.

    Raises:
        KeyboardInterrupt: after a batch, if a signal requested to stop.
    """
    for batch in batches:
        _write(writer, space, n, report, stop, batch)
        yield batch


deprecated.keep_names(__name__)
