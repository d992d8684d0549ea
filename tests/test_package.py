"""The house: imports point one way, the table of contents is complete, and the command line starts without PyTorch."""

import ast
import subprocess
import sys
from pathlib import Path

import latticear

PACKAGE = Path(latticear.__file__).parent

FLOORS = [
    {"lattice", "scales"},
    {"library", "samples", "signals", "journal", "trees", "parallel"},
    {"autocorrelation", "tracing", "probe", "ancestral"},
    {"stages"},
    {"wavefront", "space", "observables", "philox"},
    {"hamiltonians", "engines"},
    {"grids", "pictures", "potts", "heatbath"},
    {"clusters", "replicas"},
    {"exact", "montecarlo", "sampling", "receptive", "dataformat", "weights", "moments", "estimates"},
    {"models", "datafile", "configurations", "measurement", "conditions", "checks"},
    {"objectives", "importance", "chains", "rundir", "provenance", "plotting", "conditional", "likelihood"},
    {"dataset", "targets", "twists", "blocks", "islands", "instances"},
    {"smc", "tempering", "annealing"},
    {"training"},
    {"config"},
    {"workflows"},
    {"gridreport"},
    {"report"},
    {"cli"},
    {"__main__"},
]
"""A module imports from floors below its own, never from beside or above."""


def _floor(module: str) -> int:
    return next(k for k, floor in enumerate(FLOORS) if module in floor)


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("latticear."):
            found.add(node.module.split(".")[1])
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[1] for name in node.names if name.name.startswith("latticear.")}
    return found


def test_imports_point_one_way():
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if name == "__init__":
            continue
        for other in _imports(path) - {name}:
            assert _floor(other) < _floor(name), f"{name} imports {other}"


def test_only_the_command_line_prints_and_only_config_knows_pydantic():
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and hasattr(node.func, "id")}
        assert "print" not in names, path
        if path.name != "config.py":
            assert "pydantic" not in path.read_text(), path


def test_table_of_contents_is_complete():
    for name in latticear.__all__:
        assert getattr(latticear, name) is not None
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    typed = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("latticear.")
        for alias in node.names
    }
    assert typed == set(latticear.__all__) - {"__version__"}
    modules = {path.stem for path in PACKAGE.glob("*.py")} | {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    assert not modules & set(latticear.__all__)  # a module of the same name would hide the object


def test_import_has_no_side_effects():
    code = (
        "import sys, latticear, latticear.cli; print([m for m in ('torch', 'numpy', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_module_has_a_test_file():
    tests = {path.stem for path in Path(__file__).parent.glob("test_*.py")}
    for module in {name for floor in FLOORS for name in floor}:
        assert any(test.startswith(f"test_{module}") for test in tests) or module in _TESTED_ELSEWHERE, module


_TESTED_ELSEWHERE = {
    "__main__",  # test_cli
    "ancestral",  # test_sampling
    "replicas",  # test_montecarlo and test_tempering
    "islands",  # test_smc and test_annealing
    "trees",  # test_config
    "samples",  # test_models
    "space",  # test_grids and test_hamiltonians
    "gridreport",  # test_report
    "dataformat",  # test_datafile
    "signals",  # test_workflows
    "objectives",  # test_training
    "targets",  # test_temperature_range
    "dataset",  # test_training
    "tracing",  # test_wavefront
    "probe",  # test_receptive
    "twists",  # test_smc
    "measurement",  # test_importance
}
