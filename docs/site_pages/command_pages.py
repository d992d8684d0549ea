"""The reference of the command line, from typer itself."""

import re
from pathlib import Path

import typer
from sphinx.application import Sphinx
from typer.cli import get_docs_for_click

from latticear.cli import app as commands
from site_pages.writing import write_if_changed

HEAD = """# Commands

All commands with all options, as `latticear COMMAND --help` shows them. [Command line](../command-line.md) shows by
example what they are for.

"""


TYPES = {"path": "PATH", "str": "TEXT"}


def page(app: Sphinx) -> None:
    group = typer.main.get_command(commands)
    context = typer.Context(group)
    texts = [
        get_docs_for_click(obj=command, ctx=context, name=name, call_prefix="latticear")
        for name, command in sorted(group.commands.items())
    ]
    write_if_changed(Path(app.srcdir) / "reference" / "commands.md", HEAD + "\n".join(map(as_section, texts)))


def as_section(text: str) -> str:
    """A command as a section of the page; the types of arguments are written as `--help` writes them."""
    text = re.sub(r"^# `latticear (\S+)`", r"## latticear \1", text, flags=re.MULTILINE)
    text = re.sub(r"^\* `([A-Z.|]+) <[^>]*>`", r"* `\1`", text, flags=re.MULTILINE)
    return re.sub(r"^\* `(.*) <(\w+)>`", lambda found: f"* `{found[1]} {TYPES[found[2]]}`", text, flags=re.MULTILINE)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", page)
    return {"parallel_read_safe": True}
