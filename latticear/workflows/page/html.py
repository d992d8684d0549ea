"""The parts of a page: small functions that return HTML. Plain text is escaped where it enters."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import NamedTuple

__all__ = [
    "Column",
    "banner",
    "command",
    "definitions",
    "document",
    "element",
    "escape",
    "figures",
    "pill",
    "section",
    "table",
]


class Column(NamedTuple):
    """A column of a table: its heading, and a CSS class of its cells."""

    heading: str
    kind: str = ""


def element(tag: str, content: str, kind: str = "") -> str:
    """An element around HTML that is already escaped."""
    return f'<{tag} class="{kind}">{content}</{tag}>' if kind else f"<{tag}>{content}</{tag}>"


def document(title: str, parts: Iterable[str]) -> str:
    """The whole page.

    Args:
        title: title of the window, plain text.
        parts: HTML.
    """
    template = Template((files(__package__) / "template.html").read_text(encoding="utf-8"))
    generator = f"latticear {version('latticear')}"
    return template.substitute(title=escape(title), generator=escape(generator), body="\n".join(filter(None, parts)))


def section(heading: str, *parts: str) -> str:
    """A heading and what belongs to it; empty without parts."""
    inside = "\n".join(filter(None, parts))
    return f"<section>\n{element('h2', escape(heading))}\n{inside}\n</section>" if inside else ""


def definitions(pairs: Iterable[tuple[str, str]], code: Sequence[str] = ()) -> str:
    """A list of terms and what they are, plain text; terms without anything are left out.

    Args:
        pairs: terms and texts.
        code: terms whose text is a command or a number in hexadecimal digits.
    """
    rows = [
        element("dt", escape(term)) + element("dd", element("code", escape(text)) if term in code else escape(text))
        for term, text in pairs
        if text
    ]
    return element("dl", "\n".join(rows)) if rows else ""


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], kind: str = "scroll") -> str:
    """A table in a box.

    Args:
        columns: headings, plain text, and CSS classes.
        rows: cells, HTML.
        kind: CSS class of the box: "scroll", which scrolls where the table is too wide, or "scroll stack", where each
            row of four cells (name, value, verdict, meaning) becomes a paragraph on a narrow screen.
    """
    head = "".join(element("th", escape(column.heading), column.kind) for column in columns)
    body = "\n".join(
        element("tr", "".join(element("td", cell, c.kind) for c, cell in zip(columns, row, strict=True)))
        for row in rows
    )
    inside = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>"
    return f'<div class="{kind}" tabindex="0">\n<table>\n{inside}\n</table>\n</div>'


def pill(verdict: str, word: str = "") -> str:
    """A word in the colour of a verdict.

    Args:
        verdict: good, warn or bad.
        word: the word; empty for the verdict itself.
    """
    return element("span", escape(word or verdict), f"pill {verdict}")


def banner(verdict: str, word: str, sentences: Sequence[str]) -> str:
    """The answer at the top of a page: a word in the colour of a verdict, and plain sentences."""
    lines = [escape(sentence) for sentence in sentences]
    text = lines[0] if len(lines) == 1 else element("ul", "".join(element("li", line) for line in lines))
    return element("div", element("strong", escape(word)) + element("div", text), f"banner {verdict}")


def command(line: str, meaning: str) -> str:
    """A command line and what it does, plain text."""
    return element("p", escape(meaning)) + element("pre", element("code", escape(line)))


def figures(pictures: Iterable[tuple[Path, str, str]]) -> str:
    """Figures with their captions.

    Args:
        pictures: for each, its PNG file, its caption in plain text, and a CSS class.
    """
    parts = [
        element("figure", _image(path) + element("figcaption", escape(text)), kind) for path, text, kind in pictures
    ]
    return element("div", "\n".join(parts), "figures") if parts else ""


def _image(path: Path) -> str:
    """A PNG file as an image inside the page."""
    content = path.read_bytes()
    width, height = (int.from_bytes(content[k : k + 4]) for k in (16, 20))
    data = base64.b64encode(content).decode()
    name = escape(path.stem.replace("_", " "))
    image = f'<img alt="{name}" width="{width}" height="{height}" src="data:image/png;base64,{data}">'
    return f'<div class="picture" tabindex="0">{image}</div>'
