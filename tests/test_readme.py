"""What the README and CONTRIBUTING show runs."""

import contextlib
import io
import json
import re
import runpy
from pathlib import Path

import pytest
import torch
from support import contracts, tiny
from support.examples import differences
from support.verbs import refusal, succeed

import latticear as la
from latticear.estimation.methods import METHODS, Method
from latticear.kernels.library import instruction_sets
from latticear.models import MODELS
from latticear.runs.directory import load_model
from latticear.sampling import drawer
from latticear.sampling.native import NativeEngine
from latticear.sampling.torch_engine import Engine

ROOT = Path(__file__).parents[1]


def _python_block(name: str, k: int = 0) -> str:
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)[k]


def test_readme_example(tmp_path):
    """The example prints what the README shows, within the differences between processors."""
    code = _python_block("README.md")
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    script = tmp_path / "example.py"
    script.write_text(code)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        names = runpy.run_path(str(script))
    estimates = names["estimates"]
    for name in ("free_energy_per_site", "energy_per_site", "abs_magnetization"):
        assert abs(estimates[name].deviation) < 4
    assert estimates["free_energy_per_site"].error < 1e-4
    shown = re.search(r"```python\n.*?```\n```text\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown is not None
    assert differences(shown[1], printed.getvalue()) == []


def test_differences_are_noticed():
    line = "energy -1.559(6), exact -1.565769, ESS 0.90(1)"
    assert differences(line, "energy -1.58(1), exact -1.565769, ESS 0.95(1)") == []
    for other in (
        "energy -1.62(1), exact -1.565769, ESS 0.90(1)",
        "energy -1.559(6), exact -1.565770, ESS 0.90(1)",
        "energy -1.559(6), exact -1.565769, ESS 0.60(1)",
        "entropy -1.559(6), exact -1.565769, ESS 0.90(1)",
        "energy -1.559, exact -1.565769, ESS 0.90(1)",
        line + "\none more",
    ):
        assert len(differences(line, other)) == 1


def test_contributing_hamiltonian():
    code = _python_block("CONTRIBUTING.md")
    assert len([line for line in code[code.index("class") :].splitlines() if line.strip()]) <= 15
    names: dict = {}
    exec(code, names)
    potts = names["Potts"]((3, 3))
    passed = la.check_hamiltonian(potts)
    assert {"energy", "local", "heat bath", "symmetries", "known neighbours", "enumeration"} <= set(passed)
    assert potts.energy(torch.zeros(1, 3, 3)).item() == -18
    again = names["Potts"](**{key: tuple(v) if isinstance(v, list) else v for key, v in potts.parameters.items()})
    assert again.to_dict() == potts.to_dict()


def test_contributing_model():
    names: dict = {}
    exec(_python_block("CONTRIBUTING.md", 1), names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "logistic", names["LogisticRegression"])
        for n_tokens in (2, 3):
            contracts.check_model(MODELS["logistic"], n_tokens)
        assert isinstance(drawer(MODELS["logistic"]((4, 4))), NativeEngine if instruction_sets() else Engine)


def test_contributing_estimator(run):
    """It is enough in Python, and one line away from the command line."""
    names: dict = {}
    exec(_python_block("CONTRIBUTING.md", 2), names)
    ising = la.Ising(tiny.SIZE)
    exact = la.kaufman(tiny.SIZE, tiny.TEMPERATURE)
    batches = load_model(run).sample_batches(1000)
    bound = names["variational"](batches, ising, tiny.TEMPERATURE, exact=exact)["free_energy_bound_per_site"]
    assert bound.value - bound.exact > 4 * bound.error
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "variational", Method(names["variational"]))
        printed = json.loads(succeed("estimate", run, "-n", 1000, "--method", "variational", "--json"))
        assert printed["free_energy_bound_per_site"]["value"] == bound.value
        assert printed["method"] == "variational"
        assert "free_energy_bound_per_site" in succeed("estimate", run, "-n", 100, "--method", "variational")
    assert "method must be one of" in refusal("estimate", run, "--method", "variational")
