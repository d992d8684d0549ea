"""Generated pages are written where they differ from what is there, so that Sphinx reads only what changed."""

from pathlib import Path

__all__ = ["write_if_changed"]


def write_if_changed(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
