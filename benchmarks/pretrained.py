"""How good are the trained runs that the package ships? Trains, measures and packs them, one after the other.

    python benchmarks/pretrained.py [NAME ...]

For each name: `latticear train configs/pretrained/NAME.toml --out runs/pretrained/NAME`, estimates, and a copy of what
is needed in latticear/runs/shipped/NAME, with its card; then the table of docs/pretrained.md. What is there is left as
it is, and a training that was interrupted goes on, so that the same command continues; to make one again, remove its
two folders. About an hour of one quiet core. Ceiling: ESS 1, ln Z within four errors. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w
from claims import processor

import latticear as la
from latticear.checksums import digest_of, sealed_toml
from latticear.estimation.estimates import with_error
from latticear.hamiltonians import AbstractHamiltonian
from latticear.runs.checkpoints import WEIGHTS
from latticear.runs.pretrained import CARD, FOLDER, Card, Reached
from latticear.workflows.copies import write_copy
from latticear.workflows.run import Run

RUNS = Path("runs/pretrained")
"""Where they are trained."""

PAGE = Path("docs/pretrained.md")
"""The page with their table."""

N_ROWS = 100
"""Number of rows of the metrics that are kept of a training."""

SAMPLES = 20_000
"""Number of samples by which they are measured, at each temperature."""

IN_RANGE = (1.5, 2.0, la.T_C, 2.7, 3.3, 4.0)
"""Temperatures at which networks for a range are measured."""

BOND_DIMENSION = 18
"""Of the tensor network whose weighted samples give ln Z where nothing exact does."""


class Shipped(NamedTuple):
    """One of the runs.

    Attributes:
        summary: what it is for.
        source: the run whose weights it starts from; empty for none.
    """

    summary: str
    source: str = ""


SHIPPED = {
    "ising-critical-16": Shipped("Ising model, 16x16, periodic, at T_c"),
    "ising-8": Shipped("Ising model, 8x8, periodic, any temperature from 1.5 to 4"),
    "glass-8": Shipped("+-J spin glass (Edwards-Anderson), one instance, 8x8, periodic, T = 0.8"),
    "ising-critical-32": Shipped("Ising model, 32x32, periodic, at T_c", "ising-critical-16"),
    "potts3-16": Shipped("Potts model with 3 states, 16x16, periodic, at T_c"),
    "ising-critical-64": Shipped("Ising model, 64x64, periodic, at T_c", "ising-critical-32"),
    "ising-16": Shipped("Ising model, 16x16, periodic, any temperature from 1.5 to 4", "ising-8"),
}


def main() -> None:
    """Make those that are not there yet, and print the cards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(SHIPPED)}")
    names = parser.parse_args().names or list(SHIPPED)
    if unknown := set(names) - SHIPPED.keys():
        parser.error(f"no NAME is {', '.join(unknown)}: there are {', '.join(SHIPPED)}")
    cards = []
    for name in names:
        if not (FOLDER / name).exists():
            train(name)
            ship(name)
        cards.append(Card.read(FOLDER / name / CARD))
        print(f"{name:20s}{cards[-1]}", flush=True)
    write_table()
    print(json.dumps([card.to_dict() for card in cards]))


def command_of(name: str) -> list[str]:
    """The words that train a run, after `latticear`."""
    source = SHIPPED[name].source
    start = ["--from", str(RUNS / source)] if source else []
    return ["train", f"configs/pretrained/{name}.toml", *start, "--out", str(RUNS / name)]


def train(name: str) -> None:
    """Train a run, or go on with its training."""
    more = ["--resume"] if (RUNS / name).exists() else []
    subprocess.run([sys.executable, "-m", "latticear", *command_of(name), *more], check=True)


def ship(name: str) -> None:
    """Measure a trained run, and write a copy and its card into the package."""
    run = la.load_run(RUNS / name)
    temperatures = IN_RANGE if run.target.covers_range else None
    results = run.estimate(SAMPLES, temperatures=temperatures)
    content = json.loads((RUNS / name / "estimates.json").read_text())
    content.pop("sha256")
    environment = run.environment | {"command": " ".join(["latticear", *command_of(name)])}
    environment["versions"] |= {
        "latticear": tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    }
    if "from" in environment:
        environment["from"] |= {"run": str(RUNS / SHIPPED[name].source)}
    if "couplings" in environment:
        environment["couplings"] |= {"file": Path(environment["couplings"]["file"]).name}
    half = RUNS / f".{name}.shipped"
    shutil.rmtree(half, ignore_errors=True)
    about: dict[str, Any] = {"step": run.metrics[-1]["step"], "environment": environment, "estimates": content}
    write_copy(half, run.config, run.model, metrics=thinned(run.metrics), **about)
    reached = [reached_at(run.hamiltonian, result) for result in results]
    (half / CARD).write_text(sealed_toml(tomli_w.dumps(card_of(name, run, half, environment, reached).to_dict())))
    FOLDER.mkdir(exist_ok=True)
    shutil.move(half, FOLDER / name)


def thinned(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every k-th row of the metrics, and the last one."""
    return [*rows[: -1 : max(1, len(rows) // N_ROWS)], rows[-1]]


def card_of(name: str, run: Run, folder: Path, environment: dict[str, Any], reached: list[Reached]) -> Card:
    """The card of a run whose files are in a folder."""
    files = {str(path.relative_to(folder)): digest_of(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    (weights,) = (digest for path, digest in files.items() if path.endswith(WEIGHTS))
    return Card(
        name=name,
        summary=SHIPPED[name].summary,
        command=environment["command"],
        seconds=round(environment["seconds"], 1),
        finished=environment["finished"],
        processor=processor(),
        threads=environment["threads"],
        parameters=sum(parameter.numel() for parameter in run.model.parameters()),
        weights=weights,
        versions=environment["versions"],
        reached=reached,
        files=files,
    )


def reached_at(system: AbstractHamiltonian, result: la.Estimates) -> Reached:
    """What estimates say, beside the exact ln Z, or that of a tensor network."""
    t, ess, log_z = result.temperature, result["ess"], result["log_z"]
    exact = la.exact_result(system, t)
    if exact is not None:
        value, error, method = exact.log_z, 0.0, exact.method
    else:
        network = la.TensorNetwork(system.shape, system.n_tokens, bias=system.bias(t), bond_dimension=BOND_DIMENSION)
        found = la.estimate(network.sample_batches(SAMPLES, seed=1), system, t)["log_z"]
        value, error, method = found.value, found.error, f"tensor network of bond dimension {BOND_DIMENSION}"
    numbers = (ess.value, ess.error, log_z.value, log_z.error, value, error)
    return Reached(t, result.n, *map(float, numbers), exact_by=method)


def write_table() -> None:
    """Replace the rows of the table of the page by those of all cards."""
    rows = [row for name in la.PRETRAINED for row in rows_of(la.PRETRAINED[name])]
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if not line.startswith("| `")]
    below = next(k for k, line in enumerate(lines) if line.startswith("|---")) + 1
    PAGE.write_text("\n".join([*lines[:below], *rows, *lines[below:]]) + "\n", encoding="utf-8")


def rows_of(card: Card) -> list[str]:
    """The rows of a card, one for each temperature."""
    rows = []
    for each in card.reached:
        time = "" if rows else f"{card.seconds / 60:.0f} min"
        ess, log_z = with_error(each.ess, each.ess_error), with_error(each.log_z, each.log_z_error)
        exact = f"{each.log_z_exact:.8g}"
        if each.exact_error:
            exact = f"{with_error(each.log_z_exact, each.exact_error)}, {each.exact_by}"
        rows.append(f"| `{card.name}` | {each.temperature:.6g} | {time} | {ess} | {log_z} | {exact} |")
    return rows


if __name__ == "__main__":
    main()
