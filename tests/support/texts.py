"""The texts that the package prints, from its source: what an f-string inserts is left open."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["is_shown", "printed_texts"]

OPEN = "{}"
"""Stands for what is inserted."""


def printed_texts(*paths: Path) -> Iterator[str]:
    """Texts of four words or more in files and folders, but for docstrings and the messages of what is raised."""
    for path in paths:
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            yield from _texts(ast.parse(file.read_text()))


def is_shown(text: str, page: str) -> bool:
    """Whether a page has a text with something in the places that are open."""
    parts = re.sub(r"\{[^}]*\}", OPEN, text).strip(" ;,:{}").split(OPEN)
    pattern = ".{0,150}?".join(re.escape(re.sub(r"\s+", " ", part)) for part in parts)
    return re.search(pattern, re.sub(r"\s+", " ", page)) is not None


def _texts(tree: ast.AST) -> Iterator[str]:
    passed: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            passed |= {id(part) for part in ast.walk(node)}
        elif isinstance(node, ast.JoinedStr):
            passed |= {id(part) for part in node.values if isinstance(part, ast.Constant)}
    for node in ast.walk(tree):
        text = "" if id(node) in passed else _text(node)
        if len(re.findall(r"[a-z(|)]{2,}", text)) >= 4 and " " in text.strip():
            yield text


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else OPEN for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
