"""A page of the reference for each room, from its `__all__` and the docstrings: Markdown, in Google's style."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import griffe
from sphinx.application import Sphinx

from site_pages.names import public_name
from site_pages.writing import write_if_changed

ROOMS = [
    "hamiltonians",
    "lattice",
    "models",
    "sampling",
    "montecarlo",
    "exact",
    "data",
    "samples",
    "targets",
    "training",
    "estimation",
    "scaling",
    "observables",
    "plotting",
    "lookahead",
    "contracts",
    "processes",
]
"""In the order in which a user meets them."""

SEVERAL = re.compile(r"^    \w+(?:, \w+)+:", re.MULTILINE)
"""Several names that a docstring describes together; without spaces they are read as one."""

PARTS = {"parameters": "param", "raises": "raises", "returns": "returns", "yields": "returns"}


def pages(app: Sphinx) -> None:
    """Write the pages, before Sphinx looks which there are."""
    folder = Path(app.srcdir) / "reference" / "api"
    titles = {}
    for room in ROOMS:
        module = importlib.import_module(f"latticear.{room}")
        titles[room] = inspect.cleandoc(module.__doc__ or "").split("\n", 1)[0]
        write_if_changed(folder / f"{room}.md", page(room, module))
    write_if_changed(folder / "index.md", overview(titles))


def overview(titles: dict[str, str]) -> str:
    toctree = "\n".join(ROOMS)
    rows = "\n".join(f"| [`la.{room}`]({room}.md) | {title} |" for room, title in titles.items())
    return f"""# Python

`import latticear as la`: what a user types is in `la` itself, the rest in a room of the package, `la.exact.kasteleyn`.
The pages follow the rooms; a name is listed as it is typed.

| room | what is in it |
|---|---|
{rows}

```{{toctree}}
:hidden:

{toctree}
```
"""


def page(room: str, module: ModuleType) -> str:
    title, _, text = inspect.cleandoc(module.__doc__ or "").partition("\n")
    blocks = [f"# la.{room}", title, text]
    for name in sorted(public(module), key=str.lower):
        found, text = getattr(module, name), docstring_of_constant(module, name)
        blocks.append("\n".join(entry(public_name(room, name, found), found, text)))
    return "\n\n".join(blocks) + "\n"


def public(module: ModuleType) -> list[str]:
    """The names of a room that have a docstring of their own."""
    return [name for name in module.__all__ if inspect.getdoc(getattr(module, name)) and not inspect.ismodule(name)]


def docstring_of_constant(module: ModuleType, name: str) -> str:
    """The text below the assignment of a name, in the module that a room takes it from; empty if there is none."""
    body = ast.parse(inspect.getsource(module)).body
    for node, below in zip(body, [*body[1:], None], strict=True):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            return inspect.cleandoc(below.value.value) if is_text else ""
        if isinstance(node, ast.ImportFrom) and any(name == (each.asname or each.name) for each in node.names):
            return docstring_of_constant(importlib.import_module(str(node.module)), name)
    return ""


def entry(name: str, found: Any, text: str) -> Iterator[str]:
    """A name with its signature, its description and, for a class, its methods; a constant with its text."""
    full = name.replace("la.", "latticear.", 1)
    yield f"## {name}"
    if inspect.isclass(found):
        body = [*described(found), *inherited(found), *(line for each in methods(found) for line in each)]
        yield from directive("py:class", f"{full}{signature(found)}", body)
    elif callable(found):
        yield from directive("py:function", f"{full}{signature(found)}", described(found))
    else:
        yield from directive("py:data", full, [text, "", contents(found)])


def contents(found: Any) -> str:
    """What a constant holds: a number, or the names in a list or dictionary."""
    if isinstance(found, int | float):
        return f"Its value is {found:.12g}."
    if isinstance(found, Mapping | Sequence):
        return "It holds " + ", ".join(f"`{getattr(each, '__name__', each)}`" for each in found) + "."
    return ""


def inherited(of: type) -> Iterator[str]:
    """A line for each class of the package that a class is derived from, with what it has from there."""
    own = {name for name in vars(of) if not name.startswith("_")}
    for base in of.__mro__[1:]:
        if base.__module__.startswith("latticear"):
            names = [name for name in vars(base) if name not in own and is_public_member(base, name)]
            own |= set(names)
            if names:
                yield from [f"Also, from {link(base)}: {', '.join(link(base, name) for name in names)}.", ""]


def link(of: type, member: str = "") -> str:
    """A class, or a member of it, as code; with a link where the class has an entry."""
    room, name = of.__module__.split(".")[1], of.__name__
    module = importlib.import_module(f"latticear.{room}")
    if room not in ROOMS or name not in module.__all__:
        return f"`{member or name}`"
    full = public_name(room, name, of).replace("la.", "latticear.", 1)
    return f"{{py:obj}}`{member} <{full}.{member}>`" if member else f"{{py:obj}}`{name} <{full}>`"


def is_public_member(of: type, name: str) -> bool:
    """Whether a class defines a method or property for users by this name."""
    found = vars(of)[name]
    kinds = property | classmethod | staticmethod
    return (
        not name.startswith("_")
        and bool(getattr(found, "__doc__", None))
        and (isinstance(found, kinds) or inspect.isfunction(found))
    )


def methods(of: type) -> Iterator[list[str]]:
    """The public methods and properties that a class defines itself."""
    for name, found in vars(of).items():
        if not is_public_member(of, name):
            continue
        if isinstance(found, property):
            yield list(directive("py:property", name, described(found)))
        elif isinstance(found, classmethod | staticmethod):
            kind = ":classmethod:" if isinstance(found, classmethod) else ":staticmethod:"
            call = f"{name}{signature(getattr(of, name))}"
            yield list(directive("py:method", call, described(found.__func__), kind))
        else:
            yield list(directive("py:method", f"{name}{signature(found, bound=True)}", described(found)))


def directive(kind: str, argument: str, body: Any, option: str = "") -> Iterator[str]:
    lines = list(body)
    longest = max([2, *(len(fence) for line in lines for fence in re.findall(r":{3,}", line))])
    fence = ":" * (longest + 1)
    yield f"{fence}{{{kind}}} {argument}"
    yield from [option] if option else []
    yield ""
    yield from lines
    yield fence
    yield ""


def signature(found: Any, *, bound: bool = False) -> str:
    """The arguments with their defaults and the annotations as they are written."""
    try:
        given = inspect.signature(found)
        if inspect.isclass(found) and list(given.parameters) == ["args", "kwargs"]:  # those of its metaclass
            given, bound = inspect.signature(found.__init__), True
    except (TypeError, ValueError):
        return "()"
    parameters = [
        p.replace(default=inspect.Parameter.empty if p.default is inspect.Parameter.empty else Written(p.default))
        for p in list(given.parameters.values())[int(bound) :]
    ]
    returned = inspect.Signature.empty if inspect.isclass(found) else given.return_annotation
    shown = str(given.replace(parameters=parameters, return_annotation=returned))
    return re.sub(r"ForwardRef\(([^()]*)\)", r"\1", shown.replace("'", ""))


class Written:
    """A default as it is shown: numbers and words as they are, functions and objects by their names."""

    def __init__(self, default: Any) -> None:
        self.default = default

    def __repr__(self) -> str:
        plain = self.default is None or isinstance(self.default, int | float | str | tuple)
        shown = repr(self.default) if plain else getattr(self.default, "__name__", "...")
        return shown.replace("'", '"')


def described(found: Any) -> Iterator[str]:
    """The docstring as Markdown: text, lists of fields, examples."""
    text = SEVERAL.sub(lambda names: names[0].replace(", ", ","), inspect.getdoc(found) or "")
    for section in griffe.Docstring(text).parse("google", warnings=False):
        kind = section.kind.value
        if kind == "text":
            yield from [*section.value.split("\n"), ""]
        elif kind == "admonition":
            yield from [f"**{section.title}**", "", *example(section.value.description), ""]
        elif kind == "examples":
            yield from [line for _, text in section.value for line in example(text)]
        elif kind == "attributes":
            yield from ["**Attributes**", "", *(line for item in section.value for line in attribute(item)), ""]
        elif kind in PARTS:
            yield from [line for item in section.value for line in field(PARTS[kind], item)]
            yield ""


def example(text: str) -> list[str]:
    return ["```pycon", *text.split("\n"), "```"] if ">>>" in text else text.split("\n")


def field(kind: str, item: Any) -> list[str]:
    name = getattr(item, "name", None) or (str(item.annotation) if kind == "raises" else "")
    first, *rest = textwrap.dedent(item.description).split("\n") or [""]
    rest = ["    " + line for line in rest]
    return [line for each in name.split(",") for line in (f":{kind}{' ' + each if each else ''}: {first}", *rest)]


def attribute(item: Any) -> list[str]:
    first, *rest = textwrap.dedent(item.description).split("\n")
    names = ", ".join(f"`{name}`" for name in item.name.split(","))
    return [f"- {names}: {first}", *("  " + line for line in rest)]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", pages)
    return {"parallel_read_safe": True}
