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
    code = _python_block("README.md")
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    script = tmp_path / "example.py"
    script.write_text(code)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        names = runpy.run_path(str(script))
    free = names["estimates"]["free_energy_per_site"]
    assert abs(free.value - names["exact"].free_energy_per_site) < 4 * free.error
    assert free.error < 2e-3
    assert "free energy per site -2.20" in printed.getvalue()


def test_contributing_hamiltonian():
    header = (
        "from typing import ClassVar, Unpack\nimport torch\nfrom latticear.lattice import Lattice\n"
        "from latticear.hamiltonians.named import LatticeOptions, NamedHamiltonian\n"
    )
    code = _python_block("CONTRIBUTING.md")
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    names: dict = {}
    exec(header + code, names)
    potts = names["Potts"]((3, 3))
    passed = la.check_hamiltonian(potts)
    assert {"energy", "local", "heat bath", "symmetries", "known neighbours", "enumeration"} <= set(passed)
    assert potts.energy(torch.zeros(1, 3, 3)).item() == -18
    again = names["Potts"](**{key: tuple(v) if isinstance(v, list) else v for key, v in potts.parameters.items()})
    assert again.to_dict() == potts.to_dict()


def test_contributing_model():
    header = (
        "from typing import ClassVar, Unpack\nfrom torch import Tensor\nfrom latticear.models import MaskedConv2d\n"
        "from latticear.models.base import AbstractModel, Common\nfrom latticear.sampling.tracing import one_hot\n"
        "from latticear.sampling.schedule import wavefront_rank\n"
    )
    names: dict = {}
    exec(header + _python_block("CONTRIBUTING.md", 1), names)
    assert {"normalised", "reference", "saved", "condition"} <= set(la.check_model(names["LogisticRegression"]((3, 3))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "logistic", names["LogisticRegression"])
        for n_tokens in (2, 3):
            contracts.check_model(MODELS["logistic"], n_tokens)
        assert isinstance(drawer(MODELS["logistic"]((4, 4))), NativeEngine if instruction_sets() else Engine)


def test_contributing_estimator(run):
    """It is enough in Python, and one line away from the command line."""
    header = (
        "import numpy as np\nfrom latticear.estimation import Estimate, Estimates\n"
        "from latticear.estimation.measurement import measurements\n"
    )
    names: dict = {}
    exec(header + _python_block("CONTRIBUTING.md", 2), names)
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


def test_files_that_documents_name_exist():
    for document in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md"):
        text = (ROOT / document).read_text()
        for name in re.findall(r"(?:configs|benchmarks|docs|tests|latticear)/[\w/]+\.(?:toml|py|png|md|json)", text):
            assert (ROOT / name).exists(), f"{document} names {name}"
