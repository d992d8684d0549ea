"""What a run is, in words: phrases for `latticear info` and for the page of a run, from configs and JSON files."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import PurePath
from typing import Any

from latticear.estimation.verdict import Verdict
from latticear.hamiltonians import EdwardsAnderson
from latticear.models import MODELS
from latticear.workflows.line_a_minute import duration

__all__ = [
    "boundary",
    "command",
    "estimate_command",
    "instance_option",
    "learns",
    "lookahead",
    "machine",
    "network",
    "size_of",
    "system",
    "temperature",
    "trained_for",
    "verdict_of",
]

Tree = Mapping[str, Any]

PLAIN: tuple[Any, ...] = (None, "", False, 0, 1, [], (), "square")
"""Values of parameters of a system that go without saying."""

SHOWN = ("width", "depth", "kernel_size", "n_mixtures", "n_heads")
"""Arguments of networks that say how large they are."""


def learns(model: Tree) -> bool:
    """Whether the model of a config has weights to train."""
    return MODELS[model["name"]].has_weights


def size_of(space: Tree) -> str:
    """HxW of the section `[hamiltonian]` or `[grid]` of a config."""
    return "x".join(str(extent) for extent in space["shape"])


def boundary(periodic: Any) -> str:
    """The boundary conditions in words.

    Example:
        >>> boundary(True), boundary([True, False])
        ('periodic', 'periodic in y, open in x')
    """
    if isinstance(periodic, bool):
        return "periodic" if periodic else "open"
    y, x = periodic
    if y == x:
        return boundary(y)
    return f"{boundary(y)} in y, {boundary(x)} in x"


def system(config: Tree, *, sized: bool = True) -> str:
    """The system of a config in words, without its temperature.

    Args:
        config: nested dictionaries.
        sized: whether to give the size of the lattice.

    Example:
        >>> system({"hamiltonian": {"name": "ising", "shape": [4, 6], "coupling": 1.0, "field": 0.5, "periodic": True}})
        'ising 4x6, periodic, field 0.5'
    """
    if "grid" in config:
        grid = config["grid"]
        more = {"components": grid.get("n_components", 1), "classes": grid.get("n_classes", 0)}
        counts = [f"{n} {what}" for what, n in more.items() if n > 1]
        return ", ".join([f"grid {size_of(grid)}", f"{grid.get('levels')} levels", *counts])
    hamiltonian = config["hamiltonian"]
    rest = {key: value for key, value in hamiltonian.items() if key not in ("name", "shape", "periodic")}
    name = hamiltonian["name"].replace("_", " ")
    fixed = [f"{key} fixed at {_counts(rest.pop(key))}" for key in ("composition", "magnetization") if key in rest]
    digest = rest.pop("couplings_digest", None)
    if digest is not None:  # the keys that would draw couplings at random say nothing of those from a file
        rest = {key: value for key, value in rest.items() if key not in ("couplings", "index", "distribution", "seed")}
    parts = [f"{name} {size_of(hamiltonian)}" if sized else name]
    parts += [boundary(hamiltonian["periodic"])] if "periodic" in hamiltonian else []
    parts += [f"{key.replace('_', ' ')} {_short(value)}" for key, value in rest.items() if value not in PLAIN]
    parts += fixed
    parts += [] if digest is None else [f"couplings of a file (digest {digest})"]
    return ", ".join(parts)


def temperature(config: Tree) -> str:
    """The temperature of a config in words; empty for a grid.

    Example:
        >>> temperature({"temperature": 2.269}), temperature({"temperature": [1.5, 3.5]})
        ('T = 2.269', 'T = 1.5 to 3.5')
    """
    t = config.get("temperature")
    if t is None:
        return ""
    return f"T = {t:.6g}" if isinstance(t, (int, float)) else f"T = {t[0]:g} to {t[1]:g}"


def network(model: Tree, n_parameters: int | None = None) -> str:
    """The network of a config in words: its name, its size and the arguments that say how large it is."""
    sizes = [f"{key.replace('_', ' ')} {_short(model[key])}" for key in SHOWN if model.get(key) is not None]
    return ", ".join([model["name"], *([] if n_parameters is None else [f"{n_parameters:,} parameters"]), *sizes])


def lookahead(model: Tree, environment: Tree) -> str:
    """The sums over later sites in words: their bond dimension, and their cut and memory if the run states them.

    Example:
        >>> lookahead({"bond_dimension": 8}, {"lookahead": {"largest_cut": 2.3e-7, "megabytes": 1.25}})
        'summed at bond dimension 8, largest weight cut 2.3e-07, 1.2 MB of memory'
    """
    text, stated = f"summed at bond dimension {model['bond_dimension']}", environment.get("lookahead")
    if not stated:
        return text
    memory = stated["megabytes"]
    shown = f"{memory:,.0f}" if memory >= 10 else f"{memory:.2g}"
    return f"{text}, largest weight cut {stated['largest_cut']:.2g}, {shown} MB of memory"


def trained_for(environment: Tree, last_step: Tree | None) -> str:
    """How long a training took, and when it ended; so far, if it has not ended."""
    if "finished" in environment:
        return f"{duration(environment.get('seconds', 0.0))}, finished {_moment(environment['finished'])}"
    if last_step is None:
        return "not begun"
    return f"{duration(last_step['elapsed'])} so far, begun {_moment(environment.get('started'))}"


def machine(environment: Tree) -> str:
    """On what a run was trained: versions, device and threads."""
    versions = environment.get("versions", {})
    parts = [f"{name} {versions[name]}" for name in ("latticear", "torch") if name in versions]
    parts += [str(environment["device"])] if "device" in environment else []
    parts += [_counted(environment["threads"], "thread")] if "threads" in environment else []
    return ", ".join(parts)


def command(environment: Tree) -> str:
    """The command line that began a run, without the folder of the program."""
    program, *rest = str(environment.get("command", "")).split(" ", 1)
    return " ".join([PurePath(program).name, *rest])


def estimate_command(path: PurePath, config: Tree) -> str:
    """The command line that estimates a run; for a disorder it names a file of couplings."""
    return f"latticear estimate {path}{instance_option(config)}"


def instance_option(config: Tree) -> str:
    """The option that names a file of couplings, where a run needs it: for a disorder, but not for one instance."""
    of_one = config.get("hamiltonian", {}).get("name") == EdwardsAnderson.name
    return " --instance FILE" if config["model"].get("n_condition_maps") and not of_one else ""


def verdict_of(estimates: Tree) -> Verdict:
    """The verdict on estimates, with its reasons.

    Args:
        estimates: the contents of estimates.json, or one quantity of it.
    """
    verdict = Verdict.from_dict(estimates)
    return Verdict(verdict, estimates.get("warnings", ())) if "verdict" not in estimates else verdict


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _moment(text: str | None) -> str:
    """A time in ISO 8601, to the minute."""
    try:
        return datetime.fromisoformat(str(text)).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return "at an unknown time"


def _counts(value: Any) -> str:
    """A magnetisation, or the numbers of sites with each state.

    Example:
        >>> _counts((40, 24)), _counts(0.25)
        ('40:24', '0.25')
    """
    return ":".join(map(str, value)) if isinstance(value, (list, tuple)) else f"{value:g}"


def _short(value: Any) -> str:
    """A value of a config as text; of long lists their length."""
    if isinstance(value, (list, tuple)):
        return f"({len(value)} values)" if len(value) > 8 else "x".join(map(_short, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
