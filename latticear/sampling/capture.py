"""Sampling recorded as a CUDA graph, so that one call launches hundreds of small kernels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from latticear.sampling.reference import Drawn, Given

__all__ = ["Captured"]


class Captured:
    """A function that draws configurations, whose CUDA kernels are recorded once and replayed at each call.

    Args:
        draw: the function; it must use the same memory addresses in each call and never wait for the device.
        u: uniform numbers on a CUDA device; those of all later calls must have the same shape.
        given: sites held fixed, or None; later calls must hold sites fixed as well, or none either.
    """

    def __init__(self, draw: Callable[[Tensor, Given | None], Drawn], u: Tensor, given: Given | None) -> None:
        with torch.inference_mode(False), torch.no_grad(), torch.cuda.device(u.device):
            self._u = u.clone()  # in no inference mode, for it is written in any mode later
            self._given = None if given is None else Given(*(part.clone() for part in given))
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                draw(self._u, self._given)  # libraries allocate at their first call, which cannot be recorded
            torch.cuda.current_stream().wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._drawn = draw(self._u, self._given)

    def draw(self, u: Tensor, given: Given | None) -> Drawn:
        """Replay the recorded function for other uniform numbers and held sites, and return its result."""
        self._u.copy_(u)
        if self._given is not None and given is not None:
            for mine, part in zip(self._given, given, strict=True):
                mine.copy_(part)
        self._graph.replay()
        return Drawn(*(part.clone() for part in self._drawn))
