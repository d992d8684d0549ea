"""Tables of papers, side by side with latticear: the same systems at the same temperatures.

What the papers print, and with which models it is compared, is in benchmarks/published.toml. A row is one system at one
temperature, a line one model on it. Each line is appended to the store as soon as it is measured, so that the command
goes on where it stopped; `--again` measures lines anew, and the table shows the last measurement. Times are processor
seconds of one thread: training or sums first, then drawing and estimating. "off" is the distance from the exact value
in errors. An ESS is compared within two errors of both; of quantities with an error bar, the error bars are compared,
which also depends on how many configurations were drawn. Independent Monte Carlo configurations check each line
(forward ESS, verdict). Best possible: ESS 1, off below 4. The last line is JSON.

    python benchmarks/published.py [--only ROW ...] [--list] [--stored] [--again] [--store FILE]
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
    return la.train(model={key: value for key, value in model.items() if key not in ("n", "check")}, **options)


def warm_up() -> None:
    """What a first training imports and compiles is no part of its time."""
    la.train(size=4, temperature=2.0, model="tensor_network", progress=False).model.sample(1)
    la.train(size=4, temperature=2.0, model="multiscale", steps=1, batch_size=16, n_monte_carlo=100, progress=False)


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
        "finished": here["started"],
        "machine": machine(),
        "load": os.getloadavg()[0],
        "versions": here["versions"],
    }


def machine() -> str:
    """The hardware in words."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    return f"{torch.get_num_threads()} thread on {os.cpu_count()} cores of {cpu}"


def compared(figure: Tree, values: Tree) -> str:
    """Whether latticear is "better", "equal" or "worse", and by what; worse where ln Z is wrong."""
    ours = values[figure["quantity"]]
    value, error, printed = ours["value"], ours["error"], figure.get("error", 0.0)
    if max(abs(values[key].get("off", 0.0)) for key in ("log_z", figure["quantity"])) > MAX_OFF:
        return "worse: wrong"
    if "value" not in figure:
        return "-"
    if figure["quantity"] == "ess":
        difference, noise = value - figure["value"], 2 * math.hypot(error, printed)
        return "equal" if abs(difference) <= noise else "better" if difference > 0 else "worse"
    ratio = printed / error if error else math.inf
    if 1 / EQUAL <= ratio <= EQUAL:
        return "equal"
    return f"better: error / {ratio:.3g}" if ratio > 1 else f"worse: error x {1 / ratio:.3g}"


def number(entry: Tree) -> str:
    return with_error(entry["value"], entry["error"]) if entry.get("error") else f"{entry['value']:.6g}"


def largest_off(line: Tree) -> str:
    """The largest distance from an exact value, in errors."""
    offs = [abs(entry["off"]) for entry in line["values"].values() if "off" in entry]
    if not offs:
        return "nothing exact"
    return f"{max(offs):.1f}" if max(offs) <= MAX_OFF else f"{max(offs):.3g}: TOO FAR"


def of_model(row: Tree, line: Tree) -> str:
    """The table line of a model: what holds for all its quantities."""
    values = line["values"]
    forward = number(values["forward_ess"]) if "forward_ess" in values else "-"
    seconds = line.get("seconds") or f"{line['training_seconds']:.1f} + {line['estimation_seconds']:.1f}"
    cells = [f"{row['system']}, beta = {row['beta']:g}", line["model"], f"{line['n']:,}", seconds]
    cells += [number(values["ess"]), forward, relative_kl(line), largest_off(line), line["verdict"]]
    return f"| {' | '.join(cells)} |"


def relative_kl(line: Tree) -> str:
    """The relative error of the variational free energy, or twice the error of ln Z where that is more."""
    if line["kl"] is None:
        return "-"
    log_z, noise = line["values"]["log_z"]["exact"], 2 * line["values"]["log_z"]["error"]
    return f"{line['kl'] / log_z:.1e}" if line["kl"] > noise else f"< {noise / log_z:.1e}"


def quoted(name: str, row: Tree) -> list[Tree]:
    """Lines from results of earlier runs, which are not measured here."""
    return [
        {
            "row": name,
            "model": f"{each['model']}, at beta = {each['beta']:g}",
            "n": each["n"],
            "values": {"ess": {"value": each["ess"], "error": each.get("error", 0.0)}, "log_z": {"off": each["off"]}},
            "kl": None,
            "seconds": each["seconds"],
            "verdict": f"quoted from {each['source']}",
        }
        for each in row.get("quoted", [])
    ]


def comparisons(row: Tree, line: Tree) -> list[str]:
    """The table lines of the printed figures, and of quantities beside which no printed figure could be read."""
    found = []
    for figure in row.get("figures", [{"quantity": "free_energy_per_site"}]):
        ours = line["values"].get(figure["quantity"], {})
        if "value" not in ours:
            continue
        exact, off = (f"{ours['exact']:.9g}", f"{ours['off']:+.1f}") if "exact" in ours else ("-", "-")
        printed = f"{number(figure)} {figure['by']}" if "by" in figure else "not read"
        printed += f", n = {figure['n']:,}" if "n" in figure else ""
        cells = [f"{row['system']}, beta = {row['beta']:g}", figure["quantity"], printed, exact, number(ours)]
        cells += [f"{line['n']:,}", line["model"], off, compared(figure, line["values"])]
        found.append(f"| {' | '.join(cells)} |")
    return found


COMPARED = ("system", "quantity", "printed", "exact", "latticear", "n", "model", "off", "latticear is")
MODELS = ("system", "model", "n", "seconds", "ESS", "forward ESS", "KL / ln Z", "off at most", "verdict")


def table(tables: Tree, lines: list[Tree]) -> list[str]:
    """The tables of all papers that have lines."""
    loads = [line["load"] for line in lines]
    text = [
        f"latticear: {', '.join(sorted({line['machine'] for line in lines}))}, shared: load {min(loads):.1f} to "
        f"{max(loads):.1f}; commit {', '.join(sorted({line['commit'][:9] for line in lines}))}",
        "seconds: of the processor, training or sums + drawing and estimating; off: errors away from the exact value",
    ]
    for paper, about in tables["papers"].items():
        of_paper = {name: row for name, row in rows(tables).items() if row["paper"] == paper}
        own = [line for name in of_paper for line in lines if line["row"] == name]
        if not own:
            continue
        earlier = [line for name, row in of_paper.items() for line in quoted(name, row)]
        said = [f"{line['row']}, {line['model']}: {line['reasons'][0]}" for line in own if line["verdict"] != "trusted"]
        own = sorted([*own, *earlier], key=lambda line: list(of_paper).index(line["row"]))
        text += ["", about["cite"], f"read: {about['read']}", f"their machine: {about['machine']}", "", *head(COMPARED)]
        text += [one for line in own for one in comparisons(of_paper[line["row"]], line)]
        text += ["", *head(MODELS), *(of_model(of_paper[line["row"]], line) for line in own)]
        text += said
    return text


def head(columns: tuple[str, ...]) -> list[str]:
    return [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]


def stored(path: Path) -> list[Tree]:
    """The last measurement of each line, in the order of the file."""
    last: dict[tuple[str, str], Tree] = {}
    if path.exists():
        for text in path.read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            last[line["row"], line["model"]] = line
    return list(last.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="ROW", help="rows, or rows and models, whose name contains one")
    parser.add_argument("--list", action="store_true", help="print the rows and their models, and what is stored")
    parser.add_argument("--stored", action="store_true", help="print the tables of what is stored, and measure nothing")
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
    measures = not (options.list or options.stored)
    if measures and any(options.again or (name, told(model)) not in done for name, _, model in asked):
        warm_up()
    for name, row, model in asked:
        known = (name, told(model)) in done
        if options.list:
            print(f"{name:18s} {row['system']}, beta = {row['beta']}: {told(model)}{', stored' if known else ''}")
        elif measures and (options.again or not known):
            line = measured(name, row, model)
            with options.store.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(of_model(row, line), file=sys.stderr, flush=True)
    if options.list:
        return
    names = {(name, told(model)) for name, _, model in asked}
    shown = [line for line in stored(options.store) if (line["row"], line["model"]) in names]
    print("\n".join(table(tables, shown) if shown else []))
    if missing := sorted(names - {(line["row"], line["model"]) for line in shown}):
        print(f"not measured: {', '.join(map(' '.join, missing))}")
    print(json.dumps({"rows": shown}))


if __name__ == "__main__":
    main()
