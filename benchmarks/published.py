"""Tables of papers, side by side with latticear: the same systems at the same temperatures.

What the papers print, and with which models it is compared, is in benchmarks/published.toml. A row is one system at one
temperature, a line one model on it. Each line is appended to the store as soon as it is measured, so that the command
goes on where it stopped; `--again` measures lines anew, and the table shows the last measurement. Times are processor
seconds of one thread: training or sums first, then drawing and estimating. "off" is the distance from the exact value
in errors. An ESS is compared within two errors of both; of quantities with an error bar, the error bars are compared,
which also depends on how many configurations were drawn. Independent Monte Carlo configurations check each line
(forward ESS, verdict). Best possible: ESS 1, off below 4. The last line is JSON.

    python benchmarks/published.py [--only ROW ...] [--list] [--again] [--store FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import time
import tomllib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

import latticear as la
from latticear.estimation.estimates import with_error
from latticear.runs.provenance import environment

HERE = Path(__file__).parent
TABLES = HERE / "published.toml"
CRITICAL = HERE.parent / "configs" / "critical.toml"

QUANTITIES = ("free_energy_per_site", "energy_per_site", "entropy_per_site", "abs_magnetization", "log_z")
GROWN_FROM = 32
EXACT_SECONDS = 20.0
MAX_OFF = 4.0
EQUAL = 1.1
"""Ratio of error bars below which they are called equal."""

Tree = dict[str, Any]


def rows(tables: Tree) -> dict[str, Tree]:
    """By name; a row with several betas becomes one for each."""
    found: dict[str, Tree] = {}
    for name, row in tables["rows"].items():
        for beta in row.get("betas", [row.get("beta")]):
            found[f"{name}-{beta}" if "betas" in row else name] = row | {"beta": beta}
    return found


def told(model: Tree) -> str:
    """The model in words."""
    detail = f"chi {model['bond_dimension']}" if "bond_dimension" in model else f"{model['steps']} steps"
    return f"{model['name']} {detail}"


def twobo_couplings(size: int, index: int) -> np.ndarray:
    """Instance `index` of TwoBo's +-J glasses of size >= 4: `(2, size, size)`, bonds to the right and down.

    Their recipe draws all instances one after the other from one generator, those of two dimensions before those of
    three for each size, and the bonds in the order of `networkx.grid_graph` (networkx 3.6): site by site, first those
    down, then those to the right, each with the bond across the boundary after the first.
    """
    skipped = 0
    for other in (2, 4, 8, 16, 32, 64, 12, 24):
        if other == size:
            break
        flat, cubic = (4, 12) if other == 2 else (2 * other**2, 3 * other**3)
        skipped += 10 * (flat + (cubic if other < 32 else 0))
    else:
        raise ValueError(f"TwoBo has no instances of size {size}")
    generator = np.random.RandomState(0)
    drawn = iter(generator.randint(0, 2, size=skipped + (index + 1) * 2 * size**2)[-2 * size**2 :] * 2 - 1)
    right, down = np.zeros((2, size, size))
    last = size - 1
    for y, x in np.ndindex(size, size):
        for bonds, along, site in ((down, y, (last, x)), (right, x, (y, last))):
            if along < last:
                bonds[y, x] = next(drawn)
            if along == 0:
                bonds[site] = next(drawn)
    return np.stack([right, down])


def section(row: Tree) -> Tree:
    """The section `[hamiltonian]` of a row."""
    if "twobo" not in row:
        return row["hamiltonian"]
    size, index = row["twobo"]
    return {"name": "edwards_anderson", "shape": [size, size], "couplings": twobo_couplings(size, index).tolist()}


def trained(row: Tree, model: Tree) -> Any:
    """The run of a model on the system of a row; nothing is kept on disk."""
    options: Tree = {"hamiltonian": section(row), "temperature": 1 / row["beta"], "progress": False}
    if model.get("critical"):
        grow = min(row["hamiltonian"]["shape"]) >= GROWN_FROM
        return la.train(config=CRITICAL, steps=model["steps"], grow=grow, **options)
    if "steps" in model:
        return la.train(model=model["name"], steps=model["steps"], **options)
    return la.train(model={key: value for key, value in model.items() if key != "n"}, **options)


def measured(name: str, row: Tree, model: Tree) -> Tree:
    """One line: what a model finds for the system of a row."""
    t_start = time.process_time()
    run = trained(row, model)
    run.model.sample(1, seed=0)  # sums over later sites are done when they are first needed
    training = time.process_time() - t_start
    system, temperature, n = run.hamiltonian, run.temperature, model["n"]
    exact = la.exact_result(system, temperature, seconds=EXACT_SECONDS)
    check = la.independent_check(system, temperature, model=run.model, n=model.get("check", 2000))
    t_start = time.process_time()
    found = la.estimate(run.model.sample_batches(n, seed=1), system, temperature, exact=exact, check=check)
    estimation = time.process_time() - t_start
    values = {
        key: {"value": found[key].value, "error": found[key].error}
        | ({} if found[key].exact is None else {"exact": found[key].exact, "off": found[key].deviation})
        for key in (*QUANTITIES, "ess", "forward_ess")
        if key in found
    }
    here = environment(torch.device("cpu"))
    return {
        "row": name,
        "model": told(model),
        "n": n,
        "values": values,
        "kl": None if exact is None else exact.log_z - (found["log_z"].value - found.diagnostics["kl"]),
        "exact": None if exact is None else exact.source,
        "training_seconds": training,
        "estimation_seconds": estimation,
        "verdict": str(found.verdict),
        "reasons": list(found.verdict.reasons),
        "commit": here["commit"],
        "started": here["started"],
        "machine": machine(),
        "versions": here["versions"],
    }


def machine() -> str:
    """The hardware in words."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    busy = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{torch.get_num_threads()} thread on {os.cpu_count()} cores of {cpu}{busy}"


def compared(figure: Tree, ours: Tree) -> str:
    """Who is better: "better", "equal" or "worse", from the side of latticear, and by what."""
    value, error = ours["value"], ours["error"]
    printed = figure.get("error", 0.0)
    if figure["quantity"] == "ess":
        difference, noise = value - figure["value"], 2 * math.hypot(error, printed)
        return "equal" if abs(difference) <= noise else "better" if difference > 0 else "worse"
    ratio = printed / error if error else math.inf
    if 1 / EQUAL <= ratio <= EQUAL:
        return "equal errors"
    return f"better, error / {ratio:.3g}" if ratio > 1 else f"worse, error x {1 / ratio:.3g}"


def number(entry: Tree) -> str:
    return with_error(entry["value"], entry["error"]) if entry.get("error") else f"{entry['value']:.6g}"


def sentence(line: Tree) -> str:
    """The line of a model that holds for all its quantities."""
    offs = [abs(entry["off"]) for entry in line["values"].values() if "off" in entry]
    off = "nothing exact to compare with" if not offs else f"at most {max(offs):.1f} errors off"
    if offs and max(offs) > MAX_OFF:
        off += ", WHICH IS TOO FAR"
    forward = f", forward {number(line['values']['forward_ess'])}" if "forward_ess" in line["values"] else ""
    kl = ""
    if line["kl"] is not None:
        kl = f", KL {line['kl']:.2g} = {line['kl'] / line['values']['log_z']['exact']:.1e} ln Z"
    reasons = f" ({'; '.join(line['reasons'])})" if line["verdict"] != "trusted" else ""
    return (
        f"  {line['model']}: {line['training_seconds']:.1f} + {line['estimation_seconds']:.1f} s, n = {line['n']}, "
        f"ESS {number(line['values']['ess'])}{forward}{kl}; {off}; {line['verdict']}{reasons}"
    )


def table(tables: Tree, lines: list[Tree]) -> list[str]:
    """The tables of all papers that have lines."""
    text: list[str] = []
    for paper, about in tables["papers"].items():
        of_paper = {name: row for name, row in rows(tables).items() if row["paper"] == paper}
        if not any(line["row"] in of_paper for line in lines):
            continue
        text += ["", about["cite"], f"read: {about['read']}", f"their machine: {about['machine']}"]
        for name, row in of_paper.items():
            own = [line for line in lines if line["row"] == name]
            text += [f"{name}: {row['system']}, torus, beta = {row['beta']}"] if own else []
            text += [one for line in own for one in (sentence(line), *comparisons(row, line))]
            text += [f"  {row['note']}"] if own and "note" in row else []
    return text


def comparisons(row: Tree, line: Tree) -> list[str]:
    """A line of text for each printed figure; the quantities themselves where nothing is printed."""
    found = []
    for figure in row.get("figures", []):
        ours = line["values"][figure["quantity"]]
        exact = f"  exact {ours['exact']:.9g}, off {ours['off']:+.1f}" if "exact" in ours else ""
        found.append(
            f"    {figure['quantity']:22s} {figure['by']} {number(figure)}  latticear {number(ours)}{exact}  "
            f"{compared(figure, ours)}"
        )
    named = {figure["quantity"] for figure in row.get("figures", [])}
    for key in QUANTITIES:
        if key not in named and "exact" in line["values"].get(key, {}):
            ours = line["values"][key]
            found.append(
                f"    {key:22s} nothing printed  latticear {number(ours)}  exact {ours['exact']:.9g}, "
                f"off {ours['off']:+.1f}"
            )
    return found


def stored(path: Path) -> list[Tree]:
    """The last measurement of each line, in the order of the file."""
    last: dict[tuple[str, str], Tree] = {}
    if path.exists():
        for text in path.read_text().splitlines():
            line = json.loads(text)
            last[line["row"], line["model"]] = line
    return list(last.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="ROW", help="rows, or rows and models, whose name contains one")
    parser.add_argument("--list", action="store_true", help="print the rows and their models, and what is stored")
    parser.add_argument("--again", action="store_true", help="measure lines anew that are stored")
    parser.add_argument("--store", type=Path, default=Path("published.jsonl"), help="file of the lines")
    parser.add_argument("--tables", type=Path, default=TABLES, help="file of the rows and printed figures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", la.UnreliableEstimateWarning)
    tables = tomllib.loads(options.tables.read_text())
    asked = [
        (name, row, model)
        for name, row in rows(tables).items()
        for model in row["models"]
        if not options.only or any(part in f"{name} {told(model)}" for part in options.only)
    ]
    if not asked:
        parser.error(f"no row contains {' or '.join(options.only)}; --list names all")
    done = {(line["row"], line["model"]) for line in stored(options.store)}
    for name, row, model in asked:
        known = (name, told(model)) in done
        if options.list:
            print(f"{name:18s} {row['system']}, beta = {row['beta']}: {told(model)}{', stored' if known else ''}")
        elif options.again or not known:
            line = measured(name, row, model)
            with options.store.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(f"{name}{sentence(line)}", file=sys.stderr, flush=True)
    if options.list:
        return
    names = {(name, told(model)) for name, _, model in asked}
    shown = [line for line in stored(options.store) if (line["row"], line["model"]) in names]
    print("\n".join(table(tables, shown)[1:]))
    print(json.dumps({"rows": shown}))


if __name__ == "__main__":
    main()
