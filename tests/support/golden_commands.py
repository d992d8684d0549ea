"""What every verb of the command line writes, on tiny inputs, without times, versions and places."""

import contextlib
import csv
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from golden_record import Record, plain
from safetensors.torch import load_file
from typer.testing import CliRunner

import latticear as la

APPLICATION = ("latticear.cli", "app")
"""Module and name behind the command `latticear`, as pyproject.toml says."""

CHANGING = {
    *("command", "commit", "device", "elapsed", "finished", "kernels", "latticear_version", "platform", "python"),
    *("samples_per_second", "seconds", "seconds_per_step", "sha256", "started", "threads", "versions"),
}
"""Keys whose values differ from one run to the next, or from one version to the next."""

TINY = ["model.width=6", "training.steps=12", "training.batch_size=32", "training.checkpoint_every=4"]
CRITICAL = ["--temperature", "2.269"]


def sets(*values: str) -> list[str]:
    return [word for value in values for word in ("--set", value)]


def run(*words: Any) -> Any:
    """Status and what came on standard output: JSON, or lines of text; of a refusal its line."""
    module, name = APPLICATION
    application = getattr(import_module(module), name)
    result = CliRunner().invoke(application, [str(word) for word in words], prog_name="latticear")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    try:
        shown = steady(json.loads(result.stdout))
    except json.JSONDecodeError:
        shown = steady(result.stdout.splitlines())
    return {"status": result.exit_code, "shown": shown} | ({"error": result.stderr} if result.exit_code else {})


def steady(value: Any) -> Any:
    """JSON values without those that change, and without the place of the folder."""
    if isinstance(value, dict):
        return {key: steady(each) for key, each in value.items() if key not in CHANGING}
    if isinstance(value, str):
        return value.replace(os.getcwd(), "HERE")
    return [steady(each) for each in value] if isinstance(value, list) else value


def hdf5(path: Path) -> dict[str, Any]:
    """Datasets, and of samples what the file says of itself."""
    with h5py.File(path) as h5:
        datasets = {name: item[()] for name, item in h5.items() if name not in CHANGING}
        found: dict[str, Any] = {name: plain(np.asarray(value)) for name, value in datasets.items()}
        if "sample" in h5:
            found["dims"] = {name: [dim.label for dim in item.dims] for name, item in h5.items()}
    return found | ({"metadata": plain(steady(la.data.read_metadata(path)))} if "sample" in datasets else {})


def folder(path: Path) -> dict[str, Any]:
    """Every file below a folder, by name: tensors, arrays, JSON, tables; of figures, that they are there."""
    return {str(file.relative_to(path)): _file(file) for file in sorted(path.rglob("*")) if file.is_file()}


def _file(file: Path) -> Any:
    readers = {
        ".safetensors": load_file,
        ".pt": lambda path: torch.load(path, weights_only=True),
        ".h5": hdf5,
        ".json": lambda path: steady(json.loads(path.read_text())),
        ".jsonl": lambda path: [steady(json.loads(line)) for line in path.read_text().splitlines()],
        ".toml": lambda path: steady("".join(line for line in path.open() if not line.startswith("# sha256"))),
        ".csv": lambda path: [steady(row) for row in csv.DictReader(path.open(newline=""))],
    }
    return plain(readers[file.suffix](file)) if file.suffix in readers else "is there"


@contextlib.contextmanager
def _inside(path: str) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


def command_line(record: Record) -> None:
    """In a folder of its own, so that no path in any record is another the next time."""
    with tempfile.TemporaryDirectory() as path, _inside(path):
        for part in (_mc, _train, _use, _networks, _grid, _exact, _scan, _compare, _refusals):
            part(record)


def _mc(record: Record) -> None:
    methods = "metropolis heat-bath swendsen-wang wolff parallel-tempering population-annealing"
    for method in methods.split():
        words = ("mc", "--size", 4, *CRITICAL, "--method", method, "-n", 200, "-o", f"{method}.h5", "--json")
        record(f"$ mc {method}", lambda words=words: run(*words))
        record(f"{method}.h5", lambda method=method: hdf5(Path(f"{method}.h5")))
    schedule = ("--chains", 10, "--thermalization", 5, "--thinning", 2, "--seed", 3)
    potts = sets("hamiltonian.name=potts", "hamiltonian.q=3")
    record("$ mc schedule", lambda: run("mc", "--size", "3x4", *potts, *schedule, "-n", 50, "-o", "potts.h5"))
    record("potts.h5", lambda: hdf5(Path("potts.h5")))


def _train(record: Record) -> None:
    tiny = ("--size", 4, *CRITICAL, *sets(*TINY, "model.depth=2"))
    record("$ train", lambda: run("train", *tiny, "--out", "a"))
    record("a", lambda: folder(Path("a")))
    record("$ train again", lambda: run("train", *tiny, "--out", "a"))
    record("a resumed", lambda: _resumed("a", "step-12"))
    record("$ train --from", lambda: run("train", *tiny, "--from", "a", "--seed", 5, "--out", "from"))
    record("from", lambda: folder(Path("from")))
    data = ("--data", "wolff.h5", *sets("training.ema_decay=0.6", "training.evaluate_every=5"))
    record("$ train --data", lambda: run("train", *tiny, *data, "--out", "data"))
    record("data", lambda: folder(Path("data")))
    both = ("--objective", "forward-reverse-kl", *sets("training.n_monte_carlo=100"))
    record("$ train both", lambda: run("train", *tiny, *both, "--out", "both"))
    record("both", lambda: folder(Path("both")))
    grown = sets(*TINY, "model.name=multiscale", "training.n_monte_carlo=50", "training.steps=4")
    record("$ train --grow", lambda: run("train", "--size", 32, *CRITICAL, *grown, "--grow", "--out", "grown"))
    for name in ("grown", "grown-16x16"):
        record(name, lambda name=name: folder(Path(name)))


def _resumed(name: str, last: str) -> dict[str, Any]:
    """A run that was killed after its last checkpoint but one, to its end."""
    copy = Path(f"{name}-resumed")
    shutil.copytree(name, copy)
    shutil.rmtree(copy / "checkpoints" / last)
    return {"shown": run("train", "--out", copy, "--resume"), "files": folder(copy)}


def _use(record: Record) -> None:
    small = ("--size", "4x8", *CRITICAL, *sets(*TINY, "model.name=multiscale", "training.n_monte_carlo=100"))
    record("$ train multiscale", lambda: run("train", *small, "--out", "m"))
    record("m", lambda: folder(Path("m")))
    for name in ("a", "m"):
        for method in (None, "auto", "is", "smc", "mcmc"):
            words = ("estimate", name, "-n", 400, *(("--method", method) if method else ()))
            record(f"$ estimate {name} {method} json", lambda words=words: run(*words, "--json"))
            if method in (None, "smc"):
                record(f"$ estimate {name} {method}", lambda words=words: run(*words))
        record(f"{name} estimates.json", lambda name=name: _file(Path(name, "estimates.json")))
        for n in (30, 50):
            record(
                f"$ sample {name} {n}",
                lambda name=name, n=n: run("sample", name, "-n", n, "-o", f"{name}.h5", "--append", "--seed", 4),
            )
        record(f"{name}.h5", lambda name=name: hdf5(Path(f"{name}.h5")))
        record(f"$ info {name}", lambda name=name: run("info", name, "--json"))
        record(f"$ info {name}.h5", lambda name=name: run("info", f"{name}.h5", "--json"))
    several = ("--temperature", "2.2", "2.4")
    record("$ estimate several", lambda: run("estimate", "a", "-n", 300, *several, "--json"))
    record("$ estimate --data", lambda: run("estimate", "a", "-n", 300, "--data", "wolff.h5", "--json"))
    record("batches", lambda: [steady(vars(batch)) for batch in la.data.read_batches("a.h5", 20)])
    with h5py.File("given.h5", "w") as h5:
        h5["spins"] = la.load_configurations("wolff.h5", la.Ising((4, 4)))[:2].numpy().astype(np.int8) * 2 - 1
        h5["where"] = np.eye(4, dtype=np.int8)
    record("$ sample --given", lambda: run("sample", "a", "--given", "given.h5", "-n", 20, "-o", "held.h5"))
    record("held.h5", lambda: hdf5(Path("held.h5")))
    record("$ report", lambda: run("report", "a"))


def _networks(record: Record) -> None:
    ranged = ("--size", 4, "--temperature", "1.5:3.5", *sets(*TINY))
    record("$ train range", lambda: run("train", *ranged, "--out", "range"))
    record("range", lambda: folder(Path("range")))
    record("$ estimate range", lambda: run("estimate", "range", "-n", 300, "--temperature", "2", "2.5", "--json"))
    record("$ sample range", lambda: run("sample", "range", "--temperature", 2.1, "-n", 20, "-o", "range.h5"))
    record("range.h5", lambda: hdf5(Path("range.h5")))
    system = sets("hamiltonian.name=edwards_anderson_disorder", "model.name=multiscale", *TINY)
    record("$ train disorder", lambda: run("train", "--size", 4, "--temperature", 1, *system, "--out", "glass"))
    record("glass", lambda: folder(Path("glass")))
    with h5py.File("couplings.h5", "w") as h5:
        h5["couplings"] = la.EdwardsAndersonDisorder((4, 4)).draw(3).numpy()
    one = ("--instance", "couplings.h5", "--index", 2)
    for method in ("is", "smc"):
        words = ("estimate", "glass", *one, "-n", 300, "--method", method, "--json")
        record(f"$ estimate glass {method}", lambda words=words: run(*words))
    record("$ sample glass", lambda: run("sample", "glass", *one, "-n", 20, "-o", "glass.h5"))
    record("glass.h5", lambda: hdf5(Path("glass.h5")))
    parts = sets("hamiltonian.name=ashkin_teller", "hamiltonian.four_spin=0.4", "hamiltonian.components=2", *TINY)
    record("$ train components", lambda: run("train", "--size", 3, "--temperature", 2.5, *parts, "--out", "parts"))
    record("parts", lambda: folder(Path("parts")))
    record("$ estimate components", lambda: run("estimate", "parts", "-n", 300, "--json"))
    record("$ sample components", lambda: run("sample", "parts", "-n", 20, "-o", "parts.h5"))
    record("parts.h5", lambda: hdf5(Path("parts.h5")))


def _grid(record: Record) -> None:
    tokens, labels = la.data.glyphs(60, (8, 9), 3, characters="017")
    with h5py.File("pictures.h5", "w") as h5:
        h5["spins"], h5["condition"] = tokens.numpy(), labels.numpy()
    with h5py.File("occluded.h5", "w") as h5:
        h5["spins"], h5["where"] = tokens[:2].numpy(), np.repeat([[1], [0]], 4, 0).repeat(9, 1).astype(np.int8)
        h5["condition"] = labels[:2].numpy()
    words = ("--data", "pictures.h5", "--levels", 3, *sets(*TINY, "training.evaluate_every=5"))
    record("$ train grid", lambda: run("train", *words, "--out", "grid"))
    record("grid", lambda: folder(Path("grid")))
    record("grid resumed", lambda: _resumed("grid", "step-12"))
    record("$ estimate grid", lambda: run("estimate", "grid", "--json"))
    record("$ estimate grid --data", lambda: run("estimate", "grid", "--data", "pictures.h5"))
    record("$ sample grid", lambda: run("sample", "grid", "--condition", 2, "-n", 10, "-o", "grid.h5"))
    record("$ sample completed", lambda: run("sample", "grid", "--given", "occluded.h5", "-n", 10, "-o", "done.h5"))
    for name in ("grid.h5", "done.h5"):
        record(name, lambda name=name: hdf5(Path(name)) if Path(name).exists() else None)
    record("$ report grid", lambda: run("report", "grid"))
    record("$ info grid", lambda: run("info", "grid", "--json"))


def _exact(record: Record) -> None:
    systems = {
        "ising": (),
        "potts": sets("hamiltonian.name=potts", "hamiltonian.periodic=[true,false]"),
        "glass": sets("hamiltonian.name=edwards_anderson"),
        "j1-j2": sets("hamiltonian.next_nearest=-0.6"),
    }
    for name, words in systems.items():
        for json_or_not in ((), ("--json",)):
            record(
                f"$ exact {name} {' '.join(json_or_not)}",
                lambda words=words, more=json_or_not: run("exact", "--size", 6, *CRITICAL, *words, *more),
            )


def _scan(record: Record) -> None:
    words = ("--temperature", "2:2.6:2", "--size", "3,4", "-n", 200, "--chains", 1)
    words += tuple(sets(*TINY, "model.depth=2", "model.kernel_size=7"))
    record("$ scan", lambda: run("scan", *words, "--out", "scan", "--json"))
    record("scan", lambda: folder(Path("scan")))
    record("$ scan --resume", lambda: _rescanned(words))
    record("scan resumed", lambda: folder(Path("scan")))
    one = sets(*TINY, "model.depth=2", "hamiltonian.name=blume_capel")
    record(
        "$ scan --one-network",
        lambda: run(
            *("scan", "--temperature", "2,2.5", "--size", 4, "-n", 200, "--one-network", *one),
            *("--out", "one", "--json"),
        ),
    )
    record("one", lambda: folder(Path("one")))


def _rescanned(words: tuple[Any, ...]) -> Any:
    """What is done again once the table and the last point are gone."""
    last = sorted(Path("scan/points").glob("4x4*.json"))[0]
    for path in (last, Path("scan/table.csv"), Path("scan/table.h5")):
        path.unlink()
    return run("scan", *words, "--out", "scan", "--resume", "--json")


def _compare(record: Record) -> None:
    """Of a run that is trained already: how many steps fit into a time is another number each time."""
    config = Path("a", "run.toml").read_text(encoding="utf-8")
    Path("first.toml").write_text(config, encoding="utf-8")
    shutil.copytree("a", "compared/first")
    found = run("compare", "first.toml", "--minutes", 0.01, "-n", 400, "--out", "compared", "--json")
    for row in found["shown"]["rows"]:
        row.pop("warnings", None)
    record("$ compare", lambda: found)


def _refusals(record: Record) -> None:
    for words in (
        "train --size 4",
        "train --size 4 --out b --set model.widht=4",
        "train --size 4 --out b --temperature 0",
        "estimate none",
        "estimate a --method exact",
        "mc --size 4 -o n.h5 --method wolf",
        "exact --size 40 --set hamiltonian.field=0.1",
        "info none",
    ):
        record(f"$ {words}", lambda words=words: run(*words.split()))


commands = (command_line,)
