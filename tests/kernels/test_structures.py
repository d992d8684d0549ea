"""What is mirrored of the C sources is what they say, name by name."""

import ctypes
import re
from pathlib import Path

import pytest

import latticear
from latticear.kernels import structures
from latticear.kernels.structures import FUNCTIONS, KINDS, STRUCTURES

FOLDER = Path(latticear.__file__).parent / "kernels"
HEADERS = "".join((FOLDER / name).read_text() for name in ("program.h", "patches.h", "rows.h"))
SOURCES = "".join(path.read_text() for path in sorted(FOLDER.glob("*.c")))


def _bare(text: str) -> str:
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


def _kind(declared: str) -> str:
    """What a C type is to the caller of a function: a pointer, or the name of the type."""
    return "pointer" if "*" in declared else declared.strip().removeprefix("const ")


def _mirrored(type_: type) -> str:
    numbers = {
        ctypes.c_int32: "int32_t",
        ctypes.c_int64: "int64_t",
        ctypes.c_uint64: "uint64_t",
        ctypes.c_double: "double",
        None: "void",
    }
    return numbers.get(type_, "pointer")


def _fields(body: str) -> list[tuple[str, str, int]]:
    """Name, type and number of elements of each field of a structure, in their order."""
    found = []
    for declaration in _bare(body).split(";")[:-1]:
        type_, rest = re.fullmatch(r"\s*((?:const )?\w+)\s+(.*?)\s*", declaration, re.DOTALL).groups()
        for name in rest.split(","):
            stars, bare, extent = re.fullmatch(r"\s*((?:\*|const |\s)*)(\w+)(?:\[(\w+)\])?\s*", name).groups()
            length = 1 if extent is None else getattr(structures, extent)
            found.append((bare, _kind(type_ + stars), length))
    return found


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda structure: structure.__name__)
def test_structures(structure):
    bodies = {name: body for body, name in re.findall(r"typedef struct \{(.*?)\} (\w+);", HEADERS, re.DOTALL)}
    assert set(bodies) == {mirror.__name__ for mirror in STRUCTURES}
    mirrored = []
    for name, type_ in structure._fields_:
        length = getattr(type_, "_length_", 1)
        mirrored.append((name, _mirrored(type_ if length == 1 else type_._type_), length))
    assert mirrored == _fields(bodies[structure.__name__])


def test_functions():
    declared = {
        name: (_kind(result), *(_kind(re.sub(r"\w+$", "", argument.strip())) for argument in arguments.split(",")))
        for result, name, arguments in re.findall(
            r"^((?:const )?\w+ \**)(latticear_\w+)\((.*?)\) \{", _bare(SOURCES), re.DOTALL | re.MULTILINE
        )
    }
    assert set(declared) == set(FUNCTIONS)
    for name, types in FUNCTIONS.items():
        mirrored = [_mirrored(type_) for type_ in types]
        assert mirrored == [kind for kind in declared[name] if kind], name


def test_constants():
    for name in ("INTERFACE", "CONFIGURATIONS", "LANES", "MAX_INPUTS", "MAX_TOKENS", "MOST_TOKENS"):
        assert int(re.search(rf"\b{name} = (\d+)", HEADERS)[1]) == getattr(structures, name)
    kinds = re.search(r"enum kind \{(.*?)\}", _bare(HEADERS), re.DOTALL)[1]
    assert tuple(kind.lower() for kind in re.findall(r"\w+", kinds)) == KINDS
