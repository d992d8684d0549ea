"""The compiled kernels are there, and are refused if they belong to other sources."""

import ctypes

import pytest

import latticear as la
import latticear.kernels.library
from latticear.kernels.library import KernelsWarning, instruction_sets, library
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


@pytest.fixture
def kernels_at(monkeypatch):
    """A function that has the kernels looked for at another path, and what follows from it forgotten afterwards."""
    cached = (library, latticear.kernels.library._say_missing)

    def at(path):
        monkeypatch.setattr(latticear.kernels.library, "_path", lambda: path)
        for function in cached:
            function.cache_clear()

    yield at
    for function in cached:
        function.cache_clear()


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "there was no C compiler when it was installed"), (b"no library", "they cannot be loaded: .*")],
)
def test_missing_kernels_are_told_once(kernels_at, tmp_path, content, why):
    if content is not None:
        (tmp_path / "a.so").write_bytes(content)
    kernels_at(None if content is None else str(tmp_path / "a.so"))
    line = f"no compiled kernels .{why}.: .* slower; .*, install gcc .* pip install"
    with pytest.warns(KernelsWarning, match=line) as said:
        drawn = _draw_all()
    assert len(said) == 1
    assert (drawn[0].tokens == drawn[1].tokens).all()


def _draw_all():
    """What may miss the kernels: networks, cluster updates, tensor networks."""
    drawn = [la.PixelCNN((3, 3), seed=seed).sample(4, seed=0) for seed in (0, 0, 1)]
    la.monte_carlo(la.Ising((3, 3)), 2.0, n=4, method="swendsen-wang", seed=0)
    la.TensorNetwork((3, 3), bias=la.Ising((3, 3)).bias(2.0, bond_dimension=2)).sample(2, seed=0)
    return drawn
