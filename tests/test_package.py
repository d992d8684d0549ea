"""The house: imports point one way, the table of contents is complete, and the command line starts without PyTorch."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import latticear

PACKAGE = Path(latticear.__file__).parent

SCRIPTS = sorted(path for folder in ("benchmarks", "docs") for path in (PACKAGE.parent / folder).glob("*.py"))

FLOORS = (
    "arguments tables",
    "arrays checksums deprecated files lattice locks processes samples threads kernels",
    "spaces observables random_numbers",
    "lookahead",
    "hamiltonians sampling",
    "models montecarlo exact data",
    "targets",
    "estimation contracts",
    "scaling training",
    "runs plotting",
    "workflows",
    "cli",
    "__main__",
)
"""A room imports from rooms on floors below its own, never from beside or above."""


def _floor(room: str) -> int:
    return next(k for k, floor in enumerate(FLOORS) if room in floor.split())


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("latticear."):
            found.add(node.module.split(".")[1])
        if isinstance(node, ast.ImportFrom) and node.module == "latticear":
            found |= {name.name for name in node.names}
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[1] for name in node.names if name.name.startswith("latticear.")}
    return found


def test_the_drawing_of_the_rooms_is_that_of_the_imports():
    spec = importlib.util.spec_from_file_location("rooms", PACKAGE.parent / "docs" / "rooms.py")
    rooms = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rooms)
    for name, others in rooms.imports().items():
        assert all(_floor(other) < _floor(name) for other in others)
    assert rooms.DRAWING.read_text() == rooms.drawing(), "python docs/rooms.py draws it anew"


def test_imports_point_one_way():
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if name == "__init__":
            continue
        for other in _imports(path) - {name}:
            assert _floor(other) < _floor(name), f"{path.relative_to(PACKAGE)} imports {other}"


def test_only_the_command_line_prints_and_only_the_schema_knows_pydantic():
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and hasattr(node.func, "id")}
        assert "print" not in names, path
        if path.name != "schema.py":
            assert "pydantic" not in path.read_text(), path


def test_table_of_contents_is_complete():
    for name in latticear.__all__:
        assert getattr(latticear, name) is not None
    rooms = {path.stem for path in PACKAGE.glob("*.py")} | {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    for name in rooms & set(latticear.__all__):  # a room would hide another object of its name
        assert getattr(latticear, name) is sys.modules[f"latticear.{name}"]


def test_import_has_no_side_effects():
    code = (
        "import sys, latticear, latticear.cli; print([m for m in ('torch', 'numpy', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


WINDOWS = """
import builtins, ctypes, importlib, os, pkgutil, signal, sys, types

def import_all():
    import latticear
    names = [module.name for module in pkgutil.walk_packages(latticear.__path__, "latticear.")]
    names = [name for name in names if not name.endswith(("__main__", "_native"))]
    return len(list(map(importlib.import_module, names)))

n = import_all()  # all that others have written is there now, as this system needs it
for name in [name for name in sys.modules if name.split(".")[0] == "latticear"]:
    del sys.modules[name]
for name in ("fork", "sysconf", "waitpid", "WIFSIGNALED"):
    delattr(os, name)
for name in ("SIGUSR1", "SIGALRM", "alarm", "SIGKILL"):
    delattr(signal, name)
for name in ("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"):
    sys.modules[name] = None
sys.platform = "win32"

class Kernel:
    def LockFileEx(self, handle, flags, _, low, high, place):
        print("lock", handle.value, flags, low, high, place._obj.offset_high)
        return 1

ctypes.WinDLL = lambda name, use_last_error: Kernel()
kernel = types.SimpleNamespace(GlobalMemoryStatusEx=lambda status: status.__setitem__(1, status[0]))
ctypes.windll = types.SimpleNamespace(kernel32=kernel)
sys.modules["msvcrt"] = types.SimpleNamespace(get_osfhandle=lambda descriptor: 7)
assert import_all() == n

from latticear.data.damage import death_of
from latticear.locks import lock
from latticear.runs.signals import NUMBERS
from latticear.workflows.limits import most_samples
with open(os.devnull, "rb") as file:
    lock(file)
    lock(file, shared=True, wait=True)
print(NUMBERS == (signal.SIGINT, signal.SIGTERM), most_samples() >= 0, repr(death_of(None)))
"""


def test_every_module_can_be_imported_on_windows():
    """Imitated: the modules and functions that it lacks are taken away, and two of its own are put in."""
    done = subprocess.run([sys.executable, "-c", WINDOWS], capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["lock 7 3 1 0 2147483647", "lock 7 0 1 0 2147483647", "True True ''"]


def test_texts_are_opened_as_utf8():
    """Windows would take another encoding."""
    for path in PACKAGE.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and _opens_text(call):
                assert "encoding" in {keyword.arg for keyword in call.keywords}, f"{path}:{call.lineno}"


def _opens_text(call: ast.Call) -> bool:
    of, name = (
        (call.func.value, call.func.attr) if isinstance(call.func, ast.Attribute) else (None, ast.unparse(call.func))
    )
    if name in ("read_text", "write_text"):
        return of is not None
    if name != "open" or (isinstance(of, ast.Name) and of.id in ("os", "gzip", "zipfile")):
        return False
    given = call.args[of is None :] + [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
    return not any("b" in ast.unparse(mode) for mode in given[:1])


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_what_scripts_import_exists(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("latticear"):
            module = importlib.import_module(node.module)
            for name in node.names:
                assert hasattr(module, name.name), f"{path.name} imports {name.name} from {node.module}"
