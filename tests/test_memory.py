"""Freed memory stays in the process."""

import subprocess
import sys

import pytest

CODE = """
import resource, sys, torch
from latticear.memory import keep_memory
if sys.argv[1] == "keep":
    keep_memory()
for _ in range(3):
    tensor = torch.ones(2**24)  # 64 MiB
    del tensor
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
tensor = torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="an option of the C library of Linux")
def test_a_tensor_as_large_as_one_before_needs_no_new_pages():
    faults = {
        name: int(subprocess.run([sys.executable, "-c", CODE, name], capture_output=True, text=True, check=True).stdout)
        for name in ("keep", "return")
    }
    assert faults["keep"] < 100 < faults["return"]
