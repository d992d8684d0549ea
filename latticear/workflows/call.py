"""`la.train`: the training of the command line in one call from Python."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from latticear.arguments import described, did_you_mean
from latticear.data.couplings import Instance
from latticear.models import MODELS, AbstractModel
from latticear.runs.config import load_config
from latticear.runs.directory import RunDirectory
from latticear.runs.pretrained import located
from latticear.spaces import ConfigurationSpace
from latticear.training import TrainingOptions
from latticear.workflows.grow import grow_run
from latticear.workflows.progress import Progress
from latticear.workflows.run import Run, load_run
from latticear.workflows.train import train_run

__all__ = ["train"]


def train(
    out: str | Path | None = None,
    *,
    config: str | Path | None = None,
    hamiltonian: ConfigurationSpace | Mapping[str, Any] | str | None = None,
    size: int | Sequence[int] | None = None,
    temperature: float | Sequence[float] | None = None,
    model: str | Mapping[str, Any] | None = None,
    seed: int | None = None,
    device: str | None = None,
    source: str | Path | None = None,
    instance: str | Path | tuple[str | Path, int] | None = None,
    grow: bool = False,
    resume: bool = False,
    progress: bool = True,
    **options: Any,
) -> Run:
    """Train a network as `latticear train` does, with the same defaults and the same results bit for bit.

    A terminal and a notebook show a progress bar, anything else gets a line a minute on standard error. Interrupting
    the call saves the run; `la.train(out, resume=True)` continues it. `la.fit` is the training loop itself, for
    networks and Hamiltonians of your own.

    Args:
        out: the run directory; None trains without keeping a directory, so that only the result holds the network.
        config: TOML file of a run; all that is given besides takes precedence.
        hamiltonian: the system: a Hamiltonian or a `Grid`, a name such as "potts", or the section `[hamiltonian]` of a
            config as a dictionary. Default: the Ising model.
        size: L, or (H, W), unless the Hamiltonian has a shape.
        temperature: T, or (low, high) for one network for a range. Default: T_c of the square-lattice Ising model.
        model: name of the network, or the section `[model]` of a config as a dictionary. By default what suits the
            system: a tensor network, which needs no training, where there can be one, unless `steps` or another option
            of the training is given.
        seed: seed of initial weights and training. Default: 0.
        device: auto, cpu or cuda. Default: auto.
        source: a run, or `pretrained:NAME`, whose weights (and config) training starts from; its lattice may differ.
        instance: a file of couplings, or (file, index), that the network of a source for a disorder is fine-tuned to.
        grow: train on smaller lattices first, doubling the extents.
        resume: continue the run in `out`, or begin it if there is none.
        progress: whether to show the progress.
        options: keys of the section `[training]`: `steps`, `batch_size`, `learning_rate`, `objective`, `data` and more.

    Returns:
        The run: network, Hamiltonian, temperature, config and metrics.

    Raises:
        KeyboardInterrupt: after an interruption; says where the run is saved and how to continue it.
        FileExistsError: if `out` exists and `resume` is False.
        ValueError: for an invalid config, or one that differs from that of the run to be resumed.
        TypeError: for an unknown option.
        TrainingError: when the loss or the weights are not finite.

    Example:
        >>> import latticear as la
        >>> run = la.train(size=4, temperature=2.3, steps=3, batch_size=16, progress=False)
        >>> run.model.shape, run.temperature, run.metrics[-1]["step"]
        ((4, 4), 2.3, 3)
    """
    values = _values(hamiltonian, size, temperature, model, seed, device, options)
    if grow and (source, instance) != (None, None):
        raise ValueError("grow starts from a small lattice that it trains itself; leave source and instance out")
    couplings = _instance(instance)
    if out is None:
        if resume:
            raise ValueError("resume=True continues a run on disk: give its directory")
        with TemporaryDirectory() as folder:
            run = _trained(Path(folder) / "run", config, values, source, couplings, grow, False, progress, kept=False)
            return replace(run, path=None)
    if Path(out).exists() and not resume:
        raise FileExistsError(f"{out} already exists; resume=True continues it, or give another directory")
    return _trained(Path(out), config, values, source, couplings, grow, resume, progress, kept=True)


def _trained(
    out: Path,
    config: str | Path | None,
    values: dict[str, Any],
    source: str | Path | None,
    instance: Instance | None,
    grow: bool,
    resume: bool,
    progress: bool,
    *,
    kept: bool,
) -> Run:
    path = None if config is None else Path(config)
    with Progress(shown=progress) as report:
        if grow:
            finished = grow_run(out, path, [], values, resume=resume, report=report)
        else:
            origin = None if source is None else located(source)
            options: dict[str, Any] = {"source": origin, "instance": instance}
            finished = train_run(out, path, [], values, resume=resume, report=report, **options)
    if not finished:
        again = f"la.train({str(out)!r}, {'the same arguments, ' if grow else ''}resume=True)"
        latest = RunDirectory(out).metrics()[-1:] if (out / "run.toml").exists() else []
        step = f" at step {latest[0]['step']}" if latest else ""
        where = (
            f"saved in {out}; continue with {again}" if kept else "not saved: give a directory, la.train('runs/a', ...)"
        )
        raise KeyboardInterrupt(f"training was interrupted{step}; {where}")
    return load_run(out, load_config(RunDirectory(out).config_path).device)


def _instance(given: Any) -> Instance | None:
    """The instance that a file, or a file and an index, name."""
    if given is None or isinstance(given, str | Path):
        return None if given is None else Instance(Path(given))
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str | Path) and isinstance(given[1], int):
        return Instance(Path(given[0]), given[1])
    raise ValueError(f"instance must be a file of couplings or (file, index), got {described(given)}")


def _values(
    hamiltonian: Any, size: Any, temperature: Any, model: Any, seed: Any, device: Any, options: dict[str, Any]
) -> dict[str, Any]:
    """The keys of the config that the arguments of `train` give."""
    given = {"temperature": temperature, "seed": seed, "device": device}
    values = {key: value for key, value in given.items() if value is not None}
    return values | _space(hamiltonian, size) | _network(model) | {"training": _training(options)}


def _space(hamiltonian: Any, size: Any) -> dict[str, Any]:
    """The section that describes the configurations."""
    shape = {} if size is None else {"shape": _shape(size)}
    if hamiltonian is None or isinstance(hamiltonian, str):
        return {"hamiltonian": ({} if hamiltonian is None else {"name": hamiltonian}) | shape}
    if isinstance(hamiltonian, Mapping):
        return {"hamiltonian": dict(hamiltonian) | shape}
    if not isinstance(hamiltonian, ConfigurationSpace):
        raise ValueError(
            f"hamiltonian must be a Hamiltonian, a Grid, a name or a dictionary, got {described(hamiltonian)}"
        )
    if shape:
        raise ValueError(f"the {hamiltonian.kind} has its own shape, {hamiltonian.shape}; leave size out")
    section = {key: value for key, value in hamiltonian.to_dict().items() if hamiltonian.has_energy or key != "name"}
    return {hamiltonian.kind: section}


def _shape(size: Any) -> list[int]:
    pair = [size, size] if isinstance(size, int) else list(size) if isinstance(size, Sequence) else []
    if len(pair) != 2 or isinstance(size, str) or not all(isinstance(extent, int) for extent in pair):
        raise ValueError(f"size must be L or (H, W), e.g. 16 or (8, 16), got {size!r}")
    return pair


def _network(model: Any) -> dict[str, Any]:
    """The section `model`."""
    if model is None or isinstance(model, str):
        return {"model": {} if model is None else {"name": model}}
    if isinstance(model, Mapping):
        return {"model": dict(model)}
    if isinstance(model, type) and issubclass(model, AbstractModel):
        return {"model": {"name": model.name}}
    hint = ": la.fit trains a network that you have built" if isinstance(model, AbstractModel) else ""
    raise ValueError(f"model must be a name, {', '.join(MODELS)}, or a dictionary, got {described(model)}{hint}")


def _training(options: dict[str, Any]) -> dict[str, Any]:
    valid = [*(option.name for option in dataclasses.fields(TrainingOptions)), "data", "checkpoint_every"]
    for name in options:
        if name not in valid:
            hint = did_you_mean(name, [*valid, "hamiltonian", "temperature", "size", "model", "seed", "device"])
            raise TypeError(f"train has no option {name!r}{hint or '; options of the network go into model={...}'}")
    return {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
