"""What the README and CONTRIBUTING show runs."""

import contextlib
import io
import re
import runpy
from pathlib import Path

import contracts
import pytest
import torch
from test_hamiltonians import test_conditional_energies_are_differences_of_the_whole_energy as check_conditional

from latticear.engines import drawer
from latticear.engines.native import NativeEngine
from latticear.engines.portable import Engine
from latticear.exact import enumerate_states, transfer_matrix
from latticear.library import instruction_sets
from latticear.models import MODELS

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
        "from typing import Any\nimport torch\nfrom torch import Tensor\n"
        "from latticear.hamiltonians import AbstractHamiltonian\nfrom latticear.lattice import Lattice\n"
    )
    names: dict = {}
    exec(header + _python_block("CONTRIBUTING.md"), names)
    potts = names["Potts"]((3, 3))
    check_conditional(potts)
    strip, plain = transfer_matrix(potts, 1.0), enumerate_states(potts, 1.0)
    assert strip.log_z == pytest.approx(plain.log_z, rel=1e-12)
    assert potts.energy(torch.zeros(1, 3, 3)).item() == -18


def test_contributing_model():
    header = (
        "from typing import ClassVar, Unpack\nfrom torch import Tensor\nfrom latticear.models import MaskedConv2d\n"
        "from latticear.models.base import AbstractModel, Common\nfrom latticear.tracing import one_hot\n"
        "from latticear.wavefront import wavefront_rank\n"
    )
    names: dict = {}
    exec(header + _python_block("CONTRIBUTING.md", 1), names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "logistic", names["LogisticRegression"])
        for n_tokens in (2, 3):
            contracts.check_model(MODELS["logistic"], n_tokens)
        assert isinstance(drawer(MODELS["logistic"]((4, 4))), NativeEngine if instruction_sets() else Engine)


def test_files_that_documents_name_exist():
    for document in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md"):
        text = (ROOT / document).read_text()
        for name in re.findall(r"(?:configs|benchmarks|docs|tests|latticear)/[\w/]+\.(?:toml|py|png|md|json)", text):
            assert (ROOT / name).exists(), f"{document} names {name}"
