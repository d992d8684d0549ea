"""Reading a page of a run: its elements, and whether it is well formed and needs nothing from outside."""

import base64
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

__all__ = ["Page"]

VOID = {"meta", "link", "img", "br"}
"""Elements without an end."""


class Page(HTMLParser):
    """A page, parsed; an assertion fails where an element does not end, or ends twice.

    Attributes:
        text: all text but that of the style sheet, with single spaces.
        images: the bytes of its pictures.
        rows: the texts of the cells of all rows of all tables.
        tags: the names of all elements.
    """

    def __init__(self, content: str) -> None:
        super().__init__()
        self._open: list[str] = []
        self._parts: list[str] = []
        self.images: list[bytes] = []
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self._addresses: list[str] = []
        self.style = ""
        self.feed(content)
        self.close()
        assert not self._open
        self.text = " ".join(" ".join(self._parts).split())

    @classmethod
    def read(cls, path: Path) -> "Page":
        return cls(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        values = dict(attrs)
        self._addresses += [values[key] for key in ("src", "href") if key in values]
        if tag == "img":
            kind, data = values["src"].split(",", 1)
            assert kind == "data:image/png;base64"
            self.images.append(base64.b64decode(data, validate=True))
            assert values["alt"]
        if tag not in VOID:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" in self._open:
            self.style += data
            return
        self._parts.append(data)
        if self._open and {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data

    def check_self_contained(self) -> None:
        """Nothing is loaded from elsewhere, and nothing runs."""
        assert all(address.startswith("data:") for address in self._addresses)
        assert not {"script", "iframe", "object"} & self.tags
        assert "url(" not in self.style
        assert "@import" not in self.style

    def row(self, *first: str) -> list[str]:
        """The row that begins with these texts."""
        (row,) = self.all_rows(*first)
        return row

    def all_rows(self, *first: str) -> Iterator[list[str]]:
        return (row for row in self.rows if tuple(row[: len(first)]) == first)
