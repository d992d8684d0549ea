"""Everything that version 0.1.0 had by name is still found by that name, with a warning that says where it is now."""

import json
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pytest

import latticear as la
from latticear.deprecated import MODULES, NAMES, renamed_keywords

GONE = {
    "latticear.engines": {"kernels_of"},
    "latticear.engines.choice": {"Kernels", "OwnOrder", "kernels_of"},
    "latticear.engines.lowering": {"NodeRecord", "StepRecord"},
    "latticear.models.couplings": {"Told"},
    "latticear.config": {"GridConfig", "build_hamiltonian", "build_space"},
    "latticear.estimates": {"rarity_reasons"},
    "latticear.plotting": {"against_temperature"},
    "latticear.targets": {"Targets"},
    "latticear.training.checks": {"OBJECTIVES", "SCHEDULES", "check_condition", "check_optimizer", "check_target"},
    "latticear.workflows": {
        "condition_at",
        "first_instance",
        "is_grid_run",
        "judged_temperature",
        "single_temperature",
        "trained_any",
    },
    "latticear.workflows.grids": {"asked_condition", "grid_data", "is_grid_run", "read_encoded"},
    "latticear.workflows.runs": {
        "condition_at",
        "first_instance",
        "judged_temperature",
        "served_instance",
        "single_system",
        "single_temperature",
        "trained_any",
    },
}
"""Names that only the package itself used: targets, drawers and `latticear.kernels.structures` stand in their place."""

OLD: dict[str, list[str]] = {
    module: sorted(set(names) - GONE.get(module, set()))
    for module, names in json.loads((Path(__file__).parent / "golden" / "names_0.1.0.json").read_text())[
        "modules"
    ].items()
}


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    """Modules of the old names are made, and warn, once in a process."""
    for old in MODULES:
        monkeypatch.delitem(sys.modules, f"latticear.{old}", raising=False)


def _all_of(module: str) -> tuple[dict[str, object], list[str]]:
    """All names that a module had, but for modules within it, and what is said when they are imported from it."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = import_module(module)
        modules = {name for name in OLD[module] if f"{module}.{name}".removeprefix("latticear.") in MODULES}
        values = {name: getattr(found, name) for name in OLD[module] if name not in modules}
    assert all(warning.category is DeprecationWarning for warning in said)
    return values, [str(warning.message) for warning in said]


@pytest.mark.parametrize("module", OLD)
def test_names_of_0_1_0(module):
    values, said = _all_of(module)
    old = module.removeprefix("latticear").removeprefix(".")
    if old in MODULES:
        assert len(said) == (2 if "engines." in old else 1)  # that of the package before it
        assert f"{module} is now latticear.{MODULES[old]}" in said[-1]
        new = import_module(f"latticear.{MODULES[old]}")
        apart = NAMES.get(old, {})
        assert all(values[name] is getattr(new, name) for name in values.keys() - apart)
        assert all(f"{module}.{name} is now latticear.{place}" in said[-1] for name, place in apart.items())
    else:
        moved = NAMES.get(old, {})
        assert sorted(said) == sorted(
            f"{module}.{name} is now latticear.{moved[name]}; the old name will be removed"
            for name in values
            if name in moved
        )
    for name, value in values.items():
        place = NAMES.get(old, {}).get(name)
        if place is not None:
            home, _, new_name = place.rpartition(".")
            assert value is getattr(import_module(f"latticear.{home}"), new_name)


def test_tables_name_what_is_gone_and_what_is_there():
    for old in MODULES:
        assert not list(Path(la.__file__).parent.glob(f"{old.replace('.', '/')}.py")), old
        assert f"latticear.{old}" in OLD
    for module, names in NAMES.items():
        assert set(names) <= set(OLD[f"latticear.{module}".removesuffix(".")])
    renamed = {name: place for name, place in NAMES[""].items() if not place.endswith(f".{name}")}
    assert renamed == {"read_configurations": "data.load_configurations"}
    assert not NAMES[""].keys() & (set(la.__all__) | set(dir(la)))
    assert set(OLD["latticear"]) <= {*la.__all__, *NAMES[""], "__version__"}


def test_what_never_was_is_not_found():
    with pytest.raises(AttributeError, match="spam"):
        la.spam  # noqa: B018
    with pytest.raises(AttributeError, match=r"latticear\.montecarlo.*spam"):
        la.montecarlo.spam  # noqa: B018
    with pytest.raises(ModuleNotFoundError, match=r"latticear\.spam"):
        import_module("latticear.spam")
    with pytest.raises(ModuleNotFoundError, match="importance"):
        import_module("importance")


def test_warnings_point_at_the_line_that_uses_the_name(tmp_path):
    script = tmp_path / "user.py"
    script.write_text(
        "import latticear as la\n"
        "import latticear.importance\n"
        "from latticear.montecarlo import run_chains\n"
        "from latticear.engines.choice import drawer\n"
        "assert latticear.importance.estimate is la.estimate\n"
        "la.kasteleyn\n"
        "from latticear.weights import *\n"
        "diagnose\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    lines = [line.split(":")[1] for line in done.stderr.splitlines() if "DeprecationWarning" in line]
    assert lines == ["2", "3", "4", "4", "6", "7"]
    assert all(str(script) in line for line in done.stderr.splitlines() if "DeprecationWarning" in line)


def test_old_keywords():
    @renamed_keywords(n_replicas="n")
    def twice(*, n: int) -> int:
        """What it does."""
        return 2 * n

    assert twice(n=3) == 6
    with pytest.warns(
        DeprecationWarning, match="the argument n_replicas of twice is now n; the old name will be removed"
    ) as said:
        assert twice(n_replicas=3) == 6
    assert said[0].filename == __file__
    with (
        pytest.warns(DeprecationWarning, match="of twice is now n;"),
        pytest.raises(TypeError, match="both n and n_replicas"),
    ):
        twice(n=3, n_replicas=3)
    assert twice.__doc__ == "What it does."
