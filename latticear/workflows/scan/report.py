"""The page of a scan, finished or not, from what stands in its folder."""

from __future__ import annotations

from pathlib import Path

from latticear.files import write_atomically
from latticear.workflows.page.scan import scan_page
from latticear.workflows.scan.point import size_name
from latticear.workflows.scan.records import SETTINGS, read_point, read_record
from latticear.workflows.scan.refined import read_refinement

__all__ = ["ANALYSED", "ANALYSIS", "FIGURE", "is_scan", "report_scan"]

FIGURE, PAGE = "scan.png", "report.html"

ANALYSIS, ANALYSED = "analysis.json", ("crossing", "collapse", "peaks", "thermodynamics")
"""The file and the figures of an analysis, which the page shows if there is one."""


def is_scan(folder: Path) -> bool:
    """Whether a folder is that of a scan."""
    return (folder / SETTINGS).is_file()


def report_scan(folder: Path) -> Path:
    """Write the page of a scan, `report.html`, from its points that are finished; returns its path.

    Args:
        folder: the folder of the scan.

    Raises:
        ValueError: if a file in it is damaged.
        OSError: if a file cannot be read or written.
    """
    settings = read_record(folder / SETTINGS, ("configs", "sizes", "temperatures", "n", "chains"))
    settings["temperatures"] = sorted([*settings["temperatures"], *read_refinement(folder).temperatures])
    points = [read_point(file) for file in (folder / "points").glob("*.json")]
    order = {size: k for k, size in enumerate(settings["sizes"])}
    points.sort(key=lambda point: (order[size_name(point["shape"])], point["temperature"]))
    figure = folder / FIGURE
    page = scan_page(folder, settings, points, figure if figure.exists() else None, *_analysis_of(folder, len(points)))
    write_atomically(folder / PAGE, page.encode())
    return folder / PAGE


def _analysis_of(folder: Path, n_points: int) -> tuple[list[Path], str]:
    """The figures of the analysis of a scan, none if there is none, and how many points it has."""
    if not (folder / ANALYSIS).exists():
        return [], ""
    analysed = read_record(folder / ANALYSIS, ("points",), "make it again with latticear analyse")["points"]
    figures = [path for name in ANALYSED if (path := folder / f"{name}.png").exists()]
    again = "" if analysed == n_points else f"; there are {n_points} now: latticear analyse {folder} takes them all"
    return figures, f"From {analysed} points by latticear analyse{again}. The numbers are in {ANALYSIS}."
