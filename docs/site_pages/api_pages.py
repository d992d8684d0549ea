"""A page of the reference for each room, from its `__all__` and the docstrings: Markdown, in Google's style."""

from __future__ import annotations

import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import griffe
from sphinx.application import Sphinx

import latticear as la
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
    blocks = [f"# {room}", title, text]
    for name in sorted(public(module), key=str.lower):
        short = getattr(la, name, None) is getattr(module, name)
        blocks.append("\n".join(entry(f"la.{name}" if short else f"la.{room}.{name}", getattr(module, name))))
    return "\n\n".join(blocks) + "\n"


def public(module: ModuleType) -> list[str]:
    """The names of a room that have a docstring of their own."""
    return [name for name in module.__all__ if inspect.getdoc(getattr(module, name)) and not inspect.ismodule(name)]


def entry(name: str, found: Any) -> Iterator[str]:
    """A name with its signature, its description and, for a class, its methods."""
    full = name.replace("la.", "latticear.", 1)
    yield f"## {name}"
    if inspect.isclass(found):
        body = [*described(found), *(line for each in methods(found) for line in each)]
        yield from directive("py:class", f"{full}{signature(found)}", body)
    elif callable(found):
        yield from directive("py:function", f"{full}{signature(found)}", described(found))
    else:
        yield from directive(
            "py:data", full, ["A " + type(found).__name__ + "." if not isinstance(found, float) else ""]
        )


def methods(of: type) -> Iterator[list[str]]:
    """The public methods and properties that a class defines itself."""
    for name, found in vars(of).items():
        if name.startswith("_") or not getattr(found, "__doc__", None):
            continue
        if isinstance(found, property):
            yield list(directive("py:property", name, described(found)))
        elif isinstance(found, classmethod | staticmethod):
            kind = ":classmethod:" if isinstance(found, classmethod) else ":staticmethod:"
            call = f"{name}{signature(getattr(of, name))}"
            yield list(directive("py:method", call, described(found.__func__), kind))
        elif inspect.isfunction(found):
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
    except (TypeError, ValueError):
        return "()"
    parameters = [
        p.replace(default=inspect.Parameter.empty if p.default is inspect.Parameter.empty else Written(p.default))
        for p in list(given.parameters.values())[int(bound) :]
    ]
    returned = inspect.Signature.empty if inspect.isclass(found) else given.return_annotation
    return str(given.replace(parameters=parameters, return_annotation=returned)).replace("'", "")


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
    for section in griffe.Docstring(inspect.getdoc(found) or "").parse("google", warnings=False):
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
    return [f":{kind}{' ' + name if name else ''}: {first}", *("    " + line for line in rest)]


def attribute(item: Any) -> list[str]:
    first, *rest = textwrap.dedent(item.description).split("\n")
    return [f"- `{item.name}`: {first}", *("  " + line for line in rest)]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", pages)
    return {"parallel_read_safe": True}
