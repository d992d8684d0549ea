"""What a workflow decides by itself, said in one line.

The lines go to the logger "latticear" of Python's `logging`; the command line prints them.
"""

from __future__ import annotations

import logging

from latticear.targets.networks import NetworkChoice

__all__ = ["LOGGER", "announce"]

LOGGER = "latticear"


def announce(choice: NetworkChoice | None) -> None:
    """Say which network was chosen and why; nothing if a user has named it."""
    if choice is not None:
        logging.getLogger(LOGGER).info("network: %s, since %s", choice.name, choice.reason)
