"""The compiled kernels are there, and are refused if they belong to other sources."""

import ctypes

import pytest

import latticear.kernels.library
from latticear.kernels.library import instruction_sets, library
from latticear.kernels.structures import INTERFACE, STRUCTURES, Phase

BUILT = pytest.mark.skipif(library() is None, reason="the kernels were not built: there was no C compiler")


def test_instruction_sets():
    assert instruction_sets() in ([], ["baseline"], ["baseline", "avx2"], ["baseline", "avx2", "avx512"])


@BUILT
def test_another_interface_is_refused(monkeypatch):
    monkeypatch.setattr(latticear.kernels.library, "INTERFACE", INTERFACE + 1)
    with pytest.raises(RuntimeError, match="built from another version of latticear; install latticear again"):
        library.__wrapped__()


@BUILT
@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda structure: structure.__name__)
def test_a_structure_of_another_size_is_refused(monkeypatch, structure):
    fields = [*structure._fields_, ("more", ctypes.c_int64)]
    longer = type(structure.__name__, (ctypes.Structure,), {"_fields_": fields})
    mirrors = tuple(longer if mirror is structure else mirror for mirror in STRUCTURES)
    monkeypatch.setattr(latticear.kernels.library, "STRUCTURES", mirrors)
    why = f"its {structure.__name__} has {ctypes.sizeof(structure)} bytes, that of this version {ctypes.sizeof(longer)}"
    with pytest.raises(RuntimeError, match=f"built from another version .* install latticear again: {why}"):
        library.__wrapped__()


@BUILT
def test_another_structure_is_no_argument():
    with pytest.raises(ctypes.ArgumentError):
        library().latticear_patches_size(ctypes.byref(Phase()), 0, 0, 1)
