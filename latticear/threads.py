"""The number of threads of PyTorch, and independent pieces of work in parallel threads.

Small matrix products do not become faster if PyTorch divides each of them among its threads. It is faster to run whole
pieces of work in parallel Python threads, because PyTorch releases the interpreter lock while it computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch

__all__ = ["side_by_side", "thread_count"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Compute `[work(item) for item in items]` in as many threads as PyTorch may use, one thread for each item.

    The results do not depend on the number of threads. The gradient and inference modes of the calling thread hold in
    all of them.
    """
    items, n_threads = list(items), torch.get_num_threads()
    if n_threads == 1 or len(items) < 2:
        return [work(item) for item in items]
    task = partial(_alone, work, torch.is_grad_enabled(), torch.is_inference_mode_enabled())
    with thread_count(1), ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(task, items))


def _alone(work: Callable[[Item], Result], grad: bool, inference: bool, item: Item) -> Result:
    torch.set_num_threads(1)
    with torch.inference_mode(inference), torch.set_grad_enabled(grad):
        return work(item)


@contextmanager
def thread_count(n: int) -> Iterator[None]:
    """PyTorch's number of threads, for a while."""
    before = torch.get_num_threads()
    if n == before:
        yield
        return
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
