"""The names by which users reach what a room has."""

from typing import Any

import latticear as la

__all__ = ["public_name"]


def public_name(room: str, name: str, found: Any) -> str:
    """`la.NAME` for what is in `la` itself, deprecated names aside, and else `la.ROOM.NAME`."""
    return f"la.{name}" if name in la.__all__ and getattr(la, name) is found else f"la.{room}.{name}"
