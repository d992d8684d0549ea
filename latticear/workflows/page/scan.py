"""The page of a scan: its figure, a table of all points, whether to trust them, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latticear.hamiltonians import EdwardsAndersonDisorder
from latticear.workflows import words
from latticear.workflows.line_a_minute import duration
from latticear.workflows.page import html
from latticear.workflows.page.diagnostics import overall, reasons_of
from latticear.workflows.page.run import banner_of, footer
from latticear.workflows.page.tables import points_table
from latticear.workflows.scan.averages_table import averages_table
from latticear.workflows.scan.table import label_of, row_of

__all__ = ["scan_page"]

Tree = Mapping[str, Any]

CAPTION = (
    "Each quantity against the temperature, with error bars, beside exact curves where there are any; crosses are "
    "Monte Carlo, hollow points have error bars that cannot be trusted."
)


OF_ANALYSIS = {
    "crossing": "Quantities without a dimension, which cross near T_c; how the crossings approach their limit.",
    "collapse": "Each quantity in the variables in which all sizes lie on one curve; hollow points are left out.",
    "peaks": "The maxima and how their heights grow with the size.",
    "thermodynamics": "Free energy, energy, entropy and heat capacity between the temperatures, with bands of one "
    "standard deviation, beside exact curves where there are any.",
}
"""What each figure of an analysis shows."""


def scan_page(
    path: Path,
    settings: Tree,
    points: Sequence[Tree],
    figure: Path | None,
    analysis: Sequence[Path] = (),
    note: str = "",
) -> str:
    """The page of a scan as HTML.

    Args:
        path: the folder of the scan, as the commands of the page name it.
        settings: the contents of its scan.json.
        points: the results of the points that are finished, in the order of the table.
        figure: the PNG file of its figure; None if it is not drawn yet.
        analysis: the PNG files of the figures of its analysis.
        note: what a reader must know of the analysis.
    """
    config = next(iter(settings["configs"].values()))
    sizes, temperatures = settings["sizes"], settings["temperatures"]
    name = config["hamiltonian"]["name"]
    title = (
        f"{name[0].upper()}{name[1:]} {', '.join(sizes)}: a scan from T = {temperatures[0]:g} to {temperatures[-1]:g}"
    )
    total = len(sizes) * len(temperatures)
    noun = "averages over instances" if "instances" in settings else "points"
    lead = f"{len(points)} of {total} {noun}, {_drawn(settings)}, in {path}."
    estimates = [point["estimates"] for point in points]
    parts = [
        html.element("h1", html.escape(title)),
        html.element("p", html.escape(lead), "lead"),
        banner_of(estimates, "points"),
        html.section("What was trained", html.definitions(_facts(settings, points))),
        html.section("Figure", html.figures([(figure, CAPTION, "wide")]) if figure else ""),
        html.section("Finite-size scaling and thermodynamics", *_analysis(analysis, note)),
        html.section("Averages over instances", *_averages(settings, points)),
        html.section("Points", _table(points)),
        html.section("Can these be trusted?", *_distrusted(points)),
        html.section("What to do next", *_commands(path, len(points) < total, _run_of_a_point(settings))),
        footer(),
    ]
    return html.document(title, parts)


def _drawn(settings: Tree) -> str:
    """How many samples each point has, in words."""
    goals = ", ".join(f"{name}={error}" for name, error in settings.get("error", {}).items())
    return f"samples until the errors are {goals}" if goals else f"{settings['n']:,} samples at each"


def _analysis(figures: Sequence[Path], note: str) -> list[str]:
    if not figures:
        return []
    captioned = [(figure, OF_ANALYSIS.get(figure.stem, ""), "wide") for figure in figures]
    return [html.element("p", html.escape(note)), html.figures(captioned)]


def _facts(settings: Tree, points: Sequence[Tree]) -> list[tuple[str, str]]:
    config = next(iter(settings["configs"].values()))
    training, instances = config["training"], settings.get("instances", {})
    trained = {(tuple(p["shape"]), p["temperature"]): p["seconds"] for p in points}
    is_range = words.temperature(config).count(" to ") == 1
    if is_range:  # one network for all points of a size
        trained = {shape: seconds for (shape, _), seconds in trained.items()}
    return [
        ("system", words.system(_of_files(config) if instances else config, sized=False)),
        ("sizes", ", ".join(settings["sizes"])),
        *(
            [("instances", ", ".join(f"{len(some)} of {size}" for size, some in instances.items()))]
            if instances
            else []
        ),
        ("temperatures", ", ".join(f"{t:g}" for t in settings["temperatures"])),
        ("network", words.network(config["model"]) + (", one for all temperatures of a size" if is_range else "")),
        ("objective", training["objective"]),
        (
            "steps",
            f"{training['steps']:,}" + ("" if is_range else " at the first point of a chain, fewer at the others"),
        ),
        ("chains", str(settings["chains"])),
        ("batch size", str(training["batch_size"])),
        ("seed", str(config["seed"])),
        ("training time", f"{duration(sum(trained.values()))} in all"),
    ]


def _of_files(config: Tree) -> Tree:
    """The config of a scan over instances without what would draw couplings at random."""
    section = {key: value for key, value in config["hamiltonian"].items() if key not in ("distribution", "seed")}
    return {**config, "hamiltonian": section}


def _averages(settings: Tree, points: Sequence[Tree]) -> list[str]:
    """What is averaged over instances, with both errors."""
    if "instances" not in settings or not points:
        return []
    table = averages_table(
        [{"size": label_of(p["shape"]), "temperature": p["temperature"], **row_of(p)} for p in points]
    )
    columns = [html.Column(heading, "number") for heading in table.headings]
    notes = [html.element("p", html.escape(note)) for note in table.notes]
    return [html.table(columns, [list(map(html.escape, row)) for row in table.rows]), *notes]


def _table(points: Sequence[Tree]) -> str:
    if not points:
        return ""
    rows = [(["x".join(map(str, p["shape"])), f"{p['temperature']:g}"], p["estimates"]) for p in points]
    return points_table(rows, ["size", "T"])


def _distrusted(points: Sequence[Tree]) -> list[str]:
    """A paragraph for each point that is not trusted, with its reasons."""
    bad = [point for point in points if overall(point["estimates"])[0] == "bad"]
    if not bad:
        return []
    rows = [f"{_place(point)}: {'; '.join(reasons_of(point['estimates']))}" for point in bad]
    return [html.element("ul", "\n".join(html.element("li", html.escape(row)) for row in rows))]


def _place(point: Tree) -> str:
    return f"{'x'.join(map(str, point['shape']))}, T = {point['temperature']:g}"


def _run_of_a_point(settings: Tree) -> str:
    """Where the run of a point is, with capitals for what depends on the point."""
    config = next(iter(settings["configs"].values()))
    has_own = "instances" in settings and config["hamiltonian"]["name"] != EdwardsAndersonDisorder.name
    return "SIZE/instance-K/T..." if has_own else "SIZE/T..."


def _commands(path: Path, is_unfinished: bool, run: str) -> list[str]:
    opened = f"python -c \"import xarray; print(xarray.open_dataset('{path}/table.h5'))\""
    lines = [
        ("All quantities of all points in Python; table.csv has the same for a spreadsheet:", opened),
        ("The page of one point, with its own figures:", f"latticear report {path}/{run}"),
        ("Critical temperature, exponents and thermodynamics, also on this page:", f"latticear analyse {path}"),
        ("This page again:", f"latticear report {path}"),
    ]
    if is_unfinished:
        again = f"latticear scan ... --out {path} --resume"
        lines.insert(0, ("The scan is not finished: repeat its command with --resume:", again))
    return [html.command(line, meaning) for meaning, line in lines]
