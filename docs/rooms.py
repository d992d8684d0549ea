"""Draw the rooms of the package and who imports whom: `python docs/rooms.py` writes docs/figures/rooms.svg.

A room stands above all that it imports. Lines lead from a room to those which it imports and which no other of its
imports imports already; the others follow from these. Grey rooms are single files.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "latticear"
DRAWING = DOCS / "figures" / "rooms.svg"

WIDTH, HEIGHT, GAP, RISE = 118, 30, 14, 66
"""Of a room, between two beside each other, and from one floor to the next, in pixels."""


def sources() -> dict[str, list[Path]]:
    """The files of each room: a folder of the package, or a file directly in it."""
    folders = {path.parent.name: sorted(path.parent.rglob("*.py")) for path in PACKAGE.glob("*/__init__.py")}
    files = {path.stem: [path] for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")}
    return dict(sorted((files | folders).items()))


def imports() -> dict[str, set[str]]:
    """By room the rooms that it imports."""
    rooms = sources()
    found = {room: {name for file in files for name in imported(file)} for room, files in rooms.items()}
    return {room: (names & set(rooms)) - {room} for room, names in found.items()}


def imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "latticear":
            names |= {node.module.split(".")[1]} if "." in node.module else {alias.name for alias in node.names}
    return names


def drawing() -> str:
    """The drawing, as SVG."""
    graph = imports()

    @cache
    def floor(room: str) -> int:
        return 1 + max((floor(other) for other in graph[room]), default=-1)

    @cache
    def below(room: str) -> frozenset[str]:
        return frozenset(graph[room]).union(*(below(other) for other in graph[room]))

    floors = [[room for room in graph if floor(room) == k] for k in range(1 + max(map(floor, graph)))]
    wide = max(map(len, floors)) * (WIDTH + GAP) + GAP
    high = len(floors) * RISE + GAP
    place = {
        room: ((wide - len(rooms) * (WIDTH + GAP) + GAP) / 2 + x * (WIDTH + GAP), high - (k + 1) * RISE)
        for k, rooms in enumerate(floors)
        for x, room in enumerate(rooms)
    }
    direct = {room: graph[room] - frozenset().union(*(below(other) for other in graph[room])) for room in graph}
    lines = [line(place[room], place[other]) for room, others in direct.items() for other in sorted(others)]
    boxes = [box(room, files, *place[room]) for room, files in sources().items()]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-family="sans-serif">'
    return "\n".join([head, f'<rect width="{wide}" height="{high}" fill="#ffffff"/>', *lines, *boxes, "</svg>\n"])


def line(above: tuple[float, float], below: tuple[float, float]) -> str:
    (x, y), (u, v) = above, below
    x, u, y = x + WIDTH / 2, u + WIDTH / 2, y + HEIGHT
    bend = (v - y) / 2
    return f'<path d="M{x:g} {y:g}C{x:g} {y + bend:g} {u:g} {v - bend:g} {u:g} {v:g}" stroke="#9aa5b1" fill="none"/>'


def box(room: str, files: list[Path], x: float, y: float) -> str:
    colour = "#e3eef4" if len(files) > 1 else "#f1f1f1"
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="5" fill="{colour}" stroke="#0b6e99"/>'
        f'<text x="{x + WIDTH / 2:g}" y="{y + 20:g}" text-anchor="middle" font-size="13" fill="#111111">{room}</text>'
    )


if __name__ == "__main__":
    DRAWING.write_text(drawing(), encoding="utf-8")
