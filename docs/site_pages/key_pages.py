"""The reference of the keys of configs: from the schema that checks them and the docstrings of the constructors."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import griffe
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx

from latticear.lattice import Lattice
from latticear.models import AbstractModel
from latticear.runs.schema import schemas
from latticear.targets import TARGETS
from site_pages.names import public_name
from site_pages.writing import write_if_changed

HEAD = """# Keys of a config

A run is described by a TOML file, and `--set section.key=value` changes a key. What is not given has the default
below; `run.toml` in the folder of a run has every key with its value, and is itself a config. Keys are checked when a
config is read: an unknown key is refused, with the most similar one.

"""

SECTIONS = {
    "hamiltonian": "The system. Its other keys are the arguments of the class that `name` selects.",
    "grid": "In place of `[hamiltonian]`: configurations without an energy ([grids of integers](../grids.md)).",
    "model": "The sampler. Without this section the one that suits the system is taken ([which](../which-sampler.md)).",
    "training": "How a network is trained ([training](../training.md)). The class is `la.TrainingOptions`.",
    "data": "How `training.data` is read ([your own data](../data.md)).",
}

BESIDES = {
    "bond_dimension": "of the tensor network that it begins with ([lookahead](../lookahead.md)); `auto`: by trial",
    "boltzmann_bias": "whether the network holds the interactions with neighbours that are already drawn",
    "hamiltonian.composition": "fixes the number of sites in each state ([fixed composition](../fixed-composition.md))",
    "hamiltonian.magnetization": "fixes the mean spin ([fixed composition](../fixed-composition.md))",
    "components": "C: a site with r^C states is drawn as C tokens of r values ([components](../systems.md#components))",
    "spin_flip_symmetric": "whether it has the symmetry of a flip of all spins; `auto`: where the system has it",
    "translation_invariant": "whether all sites share their weights; `auto`: where the lattice is periodic",
    "model.periodic": "boundaries of the convolutions; `auto`: those of the lattice",
    "training.data": "a file of configurations to learn from; empty: Monte Carlo is run where data are needed",
    "checkpoint_every": "number of steps between two checkpoints",
    "n_classes": "number of classes of the data, for a network that draws by class",
    "dataset": "name of the array in the file",
    "values": "which number of the file is which token",
    "check": "whether the configurations are compared with the Hamiltonian before they are used",
}
"""Keys that are not arguments of a constructor, or mean more in a config."""


def page(app: Sphinx) -> None:
    write_if_changed(Path(app.srcdir) / "reference" / "keys.md", HEAD + "\n".join(top()) + "\n".join(sections()))


def top() -> Iterator[str]:
    yield from ["## At the top", "", "| key | default | what it is |", "|---|---|---|"]
    places = {key: default for kind in TARGETS for key, default in kind.keys.items()}
    for key, default in places.items():
        yield f'| `{key}` | `{default:.6g}` | T, with k_B = 1 and in units of the coupling, or a range, `"1.5:3.5"` |'
    yield "| `seed` | `0` | seed of all random numbers |"
    yield '| `device` | `"auto"` | `auto`, `cpu` or `cuda` |'
    yield "\n"


def sections() -> Iterator[str]:
    for section, members in schemas().items():
        yield from [f"## [{section}]", "", SECTIONS[section], ""]
        shared = {} if len(members) == 1 else common(section, members)
        if shared:
            yield from [f"### Every {section}", "", *table(section, shared), ""]
        for name, (of, schema) in members.items():
            rest = {key: row for key, row in rows(section, of, schema.model_fields).items() if key not in shared}
            yield from (
                [f"### {name}", "", f"`{public_name(of.__module__.split('.')[1], of.__name__, of)}`", ""]
                if name
                else []
            )
            yield from (
                [*table(section if name == "" else f"{section}.{name}", rest), ""]
                if rest
                else ["No keys of its own.", ""]
            )


Row = tuple[str, str, str]


def common(section: str, members: dict[str, Any]) -> dict[str, Row]:
    """The keys that all members of a section have with the same meaning."""
    each = [rows(section, of, schema.model_fields) for of, schema in members.values()]
    return {key: row for key, row in each[0].items() if all(other.get(key) == row for other in each)}


def table(section: str, of: dict[str, Row]) -> list[str]:
    """A table of keys, each of which a link `keys.html#section.key` leads to."""
    lines = [
        f'| <a id="{section}.{key}"></a>`{key}` | {kind} | {default} | {text} |'
        for key, (kind, default, text) in of.items()
    ]
    return ["| key | type | default | what it is |", "|---|---|---|---|", *lines]


def rows(section: str, of: Callable[..., Any], fields: dict[str, FieldInfo]) -> dict[str, Row]:
    described = arguments(Lattice) | arguments(AbstractModel) | arguments(of)
    rows = {}
    for key, field in fields.items():
        if key != "name":
            text = BESIDES.get(f"{section}.{key}") or described.get(key) or BESIDES.get(key, "")
            rows[key] = (words(field.annotation), default(field), text.replace("|", "\\|"))
    return rows


def arguments(of: Callable[..., Any]) -> dict[str, str]:
    """What the docstring says of each argument, in one line."""
    texts = [inspect.getdoc(of) or "", inspect.getdoc(getattr(of, "__init__", None)) or ""]
    parsed = [section for text in texts for section in griffe.Docstring(text).parse("google", warnings=False)]
    items = [item for section in parsed if section.kind.value == "parameters" for item in section.value]
    return {item.name: re.sub(r"\s+", " ", item.description) for item in items}


WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text"}


def words(annotation: Any) -> str:
    """A type in the words of TOML."""
    of, inner = get_origin(annotation), get_args(annotation)
    if of is Annotated:
        return words(inner[0])
    if of is Literal:
        return " or ".join(f'`"{value}"`' for value in inner)
    if of in (Union, UnionType):
        return " or ".join(dict.fromkeys(words(each) for each in inner if each is not NoneType))
    if of in (tuple, Sequence):
        items = [each for each in inner if each is not Ellipsis]
        return f"[{', '.join(map(words, items))}{', ...' if of is Sequence or len(items) < len(inner) else ''}]"
    return WORDS.get(annotation, "table")


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "to be given"
    return "none" if field.default is None else f"`{toml(field.default)}`".replace("|", "\\|")


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", page)
    return {"parallel_read_safe": True}
