"""The compiled kernels are there, and are refused if they belong to other sources."""

import re
from pathlib import Path

import pytest

import latticear
import latticear.kernels.library
from latticear.kernels.library import INTERFACE, instruction_sets, library

SOURCES = Path(latticear.__file__).parent / "kernels"


def test_interface_is_that_of_the_sources():
    found = re.search(r"INTERFACE = (\d+)", (SOURCES / "program.h").read_text())
    assert int(found[1]) == INTERFACE


def test_instruction_sets():
    assert instruction_sets() in ([], ["baseline"], ["baseline", "avx2"], ["baseline", "avx2", "avx512"])


@pytest.mark.skipif(library() is None, reason="the kernels were not built: there was no C compiler")
def test_other_sources_are_refused(monkeypatch):
    monkeypatch.setattr(latticear.kernels.library, "INTERFACE", INTERFACE + 1)
    with pytest.raises(RuntimeError, match="another version of latticear; install latticear again"):
        library.__wrapped__()
