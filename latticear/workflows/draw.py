"""Writes samples of a run to files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from latticear import deprecated
from latticear.data.couplings import Instance
from latticear.data.exports import Writer, check_ending, writer_for
from latticear.models import AbstractModel
from latticear.processes import Processes, current
from latticear.runs.pretrained import named
from latticear.runs.provenance import command, fingerprint
from latticear.runs.signals import StopSignals
from latticear.samples import Samples
from latticear.spaces import ConfigurationSpace
from latticear.targets import Asked
from latticear.workflows.held import Held, read_held
from latticear.workflows.instances import is_for_any, run_for_instance
from latticear.workflows.limits import check_disk
from latticear.workflows.lookahead import sum_later_sites
from latticear.workflows.shared import check_alike, until_stopped
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

    If `torch.distributed` has joined several processes, each makes this call: blocks of the random stream are dealt out
    to them, and the first process writes all of them, in order, to the file that one process alone would write.

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
        KeyboardInterrupt: if a signal to one of the processes stopped the sampling. The file keeps the samples written
            so far; the exception has a message if they are in a file of another name.
    """
    check_ending(out, append=append, has_given=given is not None)
    processes = current()
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
    check_alike(processes, f"the network of {path}", attributes["weights"])
    free = partial(model.sample_batches, condition=setting.condition)
    draw = free if held is None else partial(held.sample_batches, model)
    with StopSignals() as stop:
        if not processes.is_first:
            for _ in _drawn(draw, processes.of_first(), n, seed, processes, stop):
                pass
            return n
        if not out.exists():
            check_disk(out, n, "configurations", least_bytes(setting.system))
        with writer_for(
            out,
            setting.system,
            attributes=attributes,
            append=append,
            has_given=held is not None,
            n_condition=model.conditioning.size,
        ) as writer:
            for batch in _drawn(draw, processes.of_first(writer.n_written), n, seed, processes, stop):
                writer.write(batch, setting.system.token_energy(batch.tokens))
                report(writer.n_written, n, "")
    say_what_is_left_out(writer, out, say)
    return writer.n_written


def _drawn(
    draw: Callable[..., Iterator[Samples]], done: int, n: int, seed: int, processes: Processes, stop: StopSignals
) -> Iterator[Samples]:
    """Samples done .. n - 1 in order, of which each process draws its share.

    Raises:
        KeyboardInterrupt: between two batches, if a signal to one of the processes requested to stop.
    """
    if done >= n:
        return
    mine = until_stopped(draw(n - done, seed=seed, start=done, processes=processes), stop)
    yield from mine if processes.size == 1 else processes.in_turn(batch.detached() for batch in mine)


def _origin(path: Path, model: AbstractModel, held: Held | None) -> dict[str, Any]:
    """Attributes of a file of samples that describe their origin: network, weights and configurations held fixed."""
    provenance = {"run": named(path), "checkpoint": step_of(path), "command": command()}
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


deprecated.keep_names(__name__)
