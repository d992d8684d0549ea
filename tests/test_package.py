"""The house: imports point one way, the table of contents is complete, and the command line starts without PyTorch."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import latticear

PACKAGE = Path(latticear.__file__).parent

SCRIPTS = sorted(path for folder in ("benchmarks", "docs") for path in (PACKAGE.parent / folder).glob("*.py"))

FLOORS = (
    "arguments tables",
    "arrays checksums deprecated files lattice processes samples threads kernels",
    "spaces observables random_numbers",
    "lookahead",
    "hamiltonians sampling",
    "models montecarlo exact data",
    "targets",
    "estimation contracts",
    "scaling training",
    "runs plotting",
    "workflows",
    "cli",
    "__main__",
)
"""A room imports from rooms on floors below its own, never from beside or above."""


def _floor(room: str) -> int:
    return next(k for k, floor in enumerate(FLOORS) if room in floor.split())


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("latticear."):
            found.add(node.module.split(".")[1])
        if isinstance(node, ast.ImportFrom) and node.module == "latticear":
            found |= {name.name for name in node.names}
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[1] for name in node.names if name.name.startswith("latticear.")}
    return found


def test_the_drawing_of_the_rooms_is_that_of_the_imports():
    spec = importlib.util.spec_from_file_location("rooms", PACKAGE.parent / "docs" / "rooms.py")
    rooms = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rooms)
    for name, others in rooms.imports().items():
        assert all(_floor(other) < _floor(name) for other in others)
    assert rooms.DRAWING.read_text() == rooms.drawing(), "python docs/rooms.py draws it anew"


def test_imports_point_one_way():
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if name == "__init__":
            continue
        for other in _imports(path) - {name}:
            assert _floor(other) < _floor(name), f"{path.relative_to(PACKAGE)} imports {other}"


def test_only_the_command_line_prints_and_only_the_schema_knows_pydantic():
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and hasattr(node.func, "id")}
        assert "print" not in names, path
        if path.name != "schema.py":
            assert "pydantic" not in path.read_text(), path


def test_table_of_contents_is_complete():
    for name in latticear.__all__:
        assert getattr(latticear, name) is not None
    rooms = {path.stem for path in PACKAGE.glob("*.py")} | {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    for name in rooms & set(latticear.__all__):  # a room would hide another object of its name
        assert getattr(latticear, name) is sys.modules[f"latticear.{name}"]


def test_import_has_no_side_effects():
    code = (
        "import sys, latticear, latticear.cli; print([m for m in ('torch', 'numpy', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_what_scripts_import_exists(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("latticear"):
            module = importlib.import_module(node.module)
            for name in node.names:
                assert hasattr(module, name.name), f"{path.name} imports {name.name} from {node.module}"
