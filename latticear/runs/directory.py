"""The run directory: config, provenance, metrics, checkpoints and results of a run.

    run.toml  couplings.h5 (where a file gave them)  environment.json  metrics.jsonl  estimates.json  figures/
    instances/DIGEST.json (estimates for other couplings)
    checkpoints/step-N/{model.safetensors, trainer.pt, SHA256SUMS}

Files and checkpoints are written under a temporary name and renamed when complete, so that the process may be killed at
any moment: whatever has its final name is complete. Each has a checksum (`latticear.checksums`), verified when it is
read; files of version 0.1.0, which have none, are read as they are.
"""

from __future__ import annotations

import io
import json
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from latticear import files
from latticear.checksums import (
    SUMS,
    ChangedFileWarning,
    DamagedError,
    begun_anew,
    json_bytes,
    missing_or_changed,
    read_json,
    read_sums,
    sealed_toml,
    sums_of,
)
from latticear.files import beside, synchronise, write_durably
from latticear.locks import lock
from latticear.models import AbstractModel, model_from_dict
from latticear.runs.checkpoints import checkpoints_in, step_of_checkpoint, way_on
from latticear.runs.metrics import METRICS, Metrics
from latticear.runs.pretrained import check_is_writable, located

__all__ = ["RunDirectory", "load_model", "write_atomically"]

KEEP = 2
"""Number of checkpoints that are kept: the newest one and the one before it."""

ENVIRONMENT = "environment.json"
"""The file that says by what, where and when a run was made."""

REMEDIES = {
    "estimates.json": "estimate again: latticear estimate {run}",
    ENVIRONMENT: "restore it, or remove it to go on without what it says of machine, versions and command",
}
"""What to do where a file of a run is damaged."""


class RunDirectory:
    """A run on disk.

    Args:
        path: an existing run directory.

    Raises:
        FileNotFoundError: if there is no run there.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / "run.toml").is_file():
            if (self.path / "scan.json").is_file():
                raise FileNotFoundError(
                    f"{self.path} is a scan, not a run: table.csv and table.h5 have its results, latticear report "
                    f"{self.path} writes its page, and its folders hold the runs"
                )
            raise FileNotFoundError(f"{self.path} is not a run directory (it has no run.toml); train makes one")

    @classmethod
    def create(
        cls,
        path: str | Path,
        run_toml: str,
        environment: dict[str, Any],
        files: Mapping[str, bytes] = MappingProxyType({}),
    ) -> RunDirectory:
        """Make a new run directory; it has its name only when it is complete.

        Args:
            path: path of the directory.
            run_toml: content of run.toml.
            environment: content of environment.json.
            files: further files, by name.

        Raises:
            FileExistsError: if the path exists.
            OSError: if the directory cannot be made; a partly written one is removed.
        """
        path = Path(path)
        if path.exists():
            raise FileExistsError(f"{path} already exists; continue it with --resume or name another --out")
        half = beside(path)
        shutil.rmtree(half, ignore_errors=True)
        try:
            (half / "checkpoints").mkdir(parents=True)
            write_durably(half / "run.toml", sealed_toml(run_toml).encode())
            for name, content in files.items():
                write_durably(half / name, content)
            write_durably(half / ENVIRONMENT, json_bytes(environment))
            write_durably(half / METRICS, b"")
            _publish(half, path)
        except OSError as error:
            shutil.rmtree(half, ignore_errors=True)
            raise _not_written(path, error) from error
        return cls(path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """A context in which no other process can train this run.

        Raises:
            BlockingIOError: if another process is training it.
        """
        with self.config_path.open("rb") as file:
            try:
                lock(file)
            except BlockingIOError as error:
                raise BlockingIOError(f"{self.path} is being trained by another process") from error
            yield

    @property
    def config_path(self) -> Path:
        return self.path / "run.toml"

    @property
    def _metrics(self) -> Path:
        return self.path / METRICS

    @property
    def record(self) -> Metrics:
        """The metrics, to be checked against the digests in the checkpoints."""
        checkpoints = self.checkpoints()
        return Metrics(self._metrics, {path: read_sums(path / SUMS).prefixes.get(METRICS) for path in checkpoints})

    @property
    def figures(self) -> Path:
        """The folder of figures; it is made if it does not exist."""
        return self._folder("figures")

    @property
    def instances(self) -> Path:
        """The folder of estimates for other couplings than those of the run; it is made if it does not exist."""
        return self._folder("instances")

    def _folder(self, name: str) -> Path:
        check_is_writable(self.path, name)
        folder = self.path / name
        folder.mkdir(exist_ok=True)
        return folder

    def read_json(self, name: str) -> dict[str, Any]:
        """The content of a JSON file of this directory; empty if the file does not exist.

        That a run has lost its environment.json is told by a warning.

        Raises:
            DamagedError: if the file is not JSON, or not as it was written; says what to do.
        """
        file = self.path / name
        if not file.exists():
            if name == ENVIRONMENT:
                message = f"{file} is missing: on what machine, and by which command, the run was made is not known"
                warnings.warn(message, ChangedFileWarning, stacklevel=2)
            return {}
        try:
            return read_json(file)[0]
        except DamagedError as error:
            remedy = REMEDIES.get(name, "remove it, and repeat the command that wrote it").format(run=self.path)
            raise DamagedError(f"{error}; the other files of the run stand by themselves; {remedy}") from error

    def readable_json(self, name: str) -> dict[str, Any]:
        """The same for a file that is about to be replaced: empty if it is damaged."""
        try:
            return self.read_json(name)
        except DamagedError:
            return {}

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        check_is_writable(self.path, name)
        write_atomically(self.path / name, json_bytes(content))

    def checkpoints(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        return checkpoints_in(self.path / "checkpoints")

    def latest(self) -> Path | None:
        """The newest checkpoint; None if there is no checkpoint yet."""
        return max(self.checkpoints(), key=step_of_checkpoint, default=None)

    def save_checkpoint(
        self, model: AbstractModel, weights: dict[str, Tensor], trainer: dict[str, Any], *, resumable: bool = True
    ) -> Path:
        """Write `checkpoints/step-N`, N = `trainer["step"]`, and remove all but the newest checkpoints.

        Args:
            model: the network; its constructor arguments are stored with the weights.
            weights: the weights to sample with.
            trainer: the state of the training, `TrainingState.state_dict()`.
            resumable: False if `trainer` has only the number of the step, so that the training cannot be continued.

        Raises:
            OSError: if the disk is full; the earlier checkpoints stay.
        """
        target = self.path / "checkpoints" / f"step-{trainer['step']}"
        if target.exists():
            return target
        half = beside(target)
        try:
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir(parents=True)
            files = {"model.safetensors": _safetensors(model, weights)}
            if resumable:
                files["trainer.pt"] = _pickled(trainer)
            for name, content in files.items():
                write_durably(half / name, content)
            write_durably(half / SUMS, sums_of(files, {METRICS: self._metrics.read_bytes()}))
            synchronise(self._metrics)
            _publish(half, target)
        except OSError as error:
            shutil.rmtree(half, ignore_errors=True)
            raise _not_written(target, error, self.last_good()) from error
        self._clean()
        return target

    def last_good(self) -> str:
        """The part of a message that names the newest checkpoint."""
        latest = self.latest()
        return f"the last good checkpoint is {latest}" if latest else "there is no checkpoint before it"

    def discard_checkpoint(self, step: int) -> None:
        """Remove the checkpoint of a step, if there is one."""
        _remove(self.path / "checkpoints" / f"step-{step}")

    def _clean(self) -> None:
        """Remove old checkpoints, and temporary folders that a killed process has left."""
        for old in self.checkpoints()[:-KEEP]:
            _remove(old)
        for temporary in (self.path / "checkpoints").glob(".step-*.new"):
            shutil.rmtree(temporary, ignore_errors=True)

    def load_trainer(self, checkpoint: Path, device: torch.device) -> dict[str, Any]:
        """Read the state of the training from a checkpoint; no code in the file is executed.

        Raises:
            ValueError: if the file is missing or damaged, or holds objects other than tensors, numbers and texts.
        """
        file = checkpoint / "trainer.pt"
        if problem := missing_or_changed(file, read_sums(checkpoint / SUMS)):
            raise DamagedError(f"{file} cannot be read ({problem}); {way_on(checkpoint)}")
        if not file.exists():
            raise ValueError(f"{self.path} was saved without the state of its training and cannot be continued")
        try:
            return torch.load(file, map_location=device, weights_only=True)
        except Exception as error:
            reason = _first_line(error) if isinstance(error, OSError) else "damaged, or not written by latticear"
            raise DamagedError(f"{file} cannot be read ({reason}); {way_on(checkpoint)}") from error

    def log(self, row: dict[str, Any]) -> None:
        """Append a line to metrics.jsonl.

        Raises:
            OSError: if the disk is full; `metrics` ignores an incomplete last line.
        """
        try:
            with self._metrics.open("a", encoding="utf-8", newline="\n") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise _not_written(self._metrics, error, self.last_good()) from error

    def metrics(self) -> list[dict[str, Any]]:
        """One dictionary for each logged step; an incomplete last line, left by a killed process, is ignored.

        Raises:
            DamagedError: if rows before the newest checkpoint are lost or have changed.
        """
        return self.record.rows()

    def truncate_metrics(self, step: int) -> None:
        """Remove the metrics of all steps after a given one; a resumed run logs those steps again.

        Where the file is missing it begins anew, and the checkpoints no longer expect the rows that are lost.
        """
        record = self.record
        kept, lists = record.until(step), [checkpoint / SUMS for checkpoint in self.checkpoints()]
        for path in lists if record.is_lost else []:
            if path.exists():
                write_atomically(path, begun_anew(path, METRICS))
        write_atomically(self._metrics, kept)


def load_model(path: str | Path, device: torch.device | str = "cpu") -> AbstractModel:
    """Load the network of a run from its newest checkpoint or from a given one; no code in the files is executed.

    Args:
        path: a run directory, `pretrained:NAME`, or a checkpoint folder `checkpoints/step-N` in a run.
        device: device of the network.

    Raises:
        FileNotFoundError: if there is no run or no checkpoint.
        ValueError: if the file is damaged, or its weights do not have the shapes of the network that it describes.
    """
    checkpoint = located(path)
    if not (checkpoint / "model.safetensors").is_file():
        latest = RunDirectory(checkpoint).latest()
        if latest is None:
            raise FileNotFoundError(f"{path} has no checkpoint yet; continue it with train --resume")
        checkpoint = latest
    file = checkpoint / "model.safetensors"
    if problem := missing_or_changed(file, read_sums(checkpoint / SUMS)):
        raise DamagedError(f"{file} is not a readable checkpoint ({problem}); {way_on(checkpoint)}")
    try:
        with safe_open(file, "pt") as content:
            description = json.loads((content.metadata() or {})["model"])
        weights = load_file(file, device=str(device))
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise DamagedError(
            f"{file} is not a readable checkpoint ({_first_line(error)}); {way_on(checkpoint)}"
        ) from error
    try:
        model = model_from_dict(description)
    except (ValueError, TypeError, LookupError, RuntimeError) as error:
        raise ValueError(f"{file} does not describe a network of this version ({_first_line(error)})") from error
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"the weights in {file} do not fit the {description['name']} they describe: {_last_line(error)}"
        ) from error
    return model.to(device).eval()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a small file beside and rename it: it is never there half.

    Raises:
        OSError: if it cannot be written; says which.
    """
    try:
        files.write_atomically(path, content)
    except OSError as error:
        raise _not_written(path, error) from error


def _publish(half: Path, folder: Path) -> None:
    """Give a folder whose files are written its name, once the disk knows that they are in it."""
    synchronise(half)
    half.rename(folder)
    synchronise(folder.parent)


def _remove(folder: Path) -> None:
    """Remove a folder; it is renamed first, so that a partly removed folder does not have its name."""
    if folder.exists():
        half = folder.rename(beside(folder))
        shutil.rmtree(half)


def _safetensors(model: AbstractModel, weights: dict[str, Tensor]) -> bytes:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    return save(tensors, metadata={"model": json.dumps(model.to_dict())})


def _pickled(trainer: dict[str, Any]) -> bytes:
    """Serialise in memory: a full disk inside `torch.save` would end the process without an exception."""
    content = io.BytesIO()
    torch.save(trainer, content)
    return content.getvalue()


def _not_written(path: Path, error: OSError, *remarks: str) -> OSError:
    """The error of a file that cannot be written; after remarks, the message says how to continue."""
    hints = [*remarks, "free space and continue with --resume"] if remarks else []
    return OSError(error.errno, "; ".join([f"cannot write {path} ({error.strerror})", *hints]))


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]


def _last_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[-1].strip()
