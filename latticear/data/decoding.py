"""Tokens from the configurations of files whose values are known, in one pass."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from latticear.data.contents import Stored
from latticear.data.format import spin_table
from latticear.samples import token_dtype
from latticear.spaces import ConfigurationSpace

__all__ = ["all_tokens", "check_numbers", "decoder", "spin_decoder", "token_decoder"]

_BLOCK_SITES = 2**22

Decode = Callable[[np.ndarray], Tensor]


def decoder(has_tokens: bool, space: ConfigurationSpace) -> Decode:
    """A function that turns an array of tokens, or of values of the system, into tokens."""
    return token_decoder(space.n_tokens) if has_tokens else spin_decoder(space)


def spin_decoder(hamiltonian: ConfigurationSpace) -> Decode:
    """A function from spins to tokens: a table for int8, else `hamiltonian.tokens`, whose error names a bad value."""
    spins = spin_table(hamiltonian)
    tokens_of = np.zeros(256, dtype=np.uint8)
    if spins is not None:
        tokens_of[spins.view(np.uint8)] = np.arange(len(spins))

    def decode(block: np.ndarray) -> Tensor:
        if spins is not None and block.dtype == np.int8:
            tokens = tokens_of[block.view(np.uint8)]
            if np.array_equal(spins[tokens], block):
                return torch.from_numpy(tokens)
        return hamiltonian.tokens(torch.from_numpy(np.array(block, dtype=np.float64)))

    return decode


def token_decoder(n_tokens: int) -> Decode:
    """A function from tokens of any type of numbers to tokens of the smallest unsigned type."""

    def decode(block: np.ndarray) -> Tensor:
        if block.size and not (block.min() >= 0 and block.max() < n_tokens):
            raise ValueError(f"tokens must lie in 0..{n_tokens - 1}, got {block.min()}..{block.max()}")
        if block.dtype.kind == "f" and not np.array_equal(block, np.trunc(block)):
            raise ValueError(f"tokens must be integers, got {block[block != np.trunc(block)][0]}")
        return torch.from_numpy(block.astype(np.int32)).to(token_dtype(n_tokens))

    return decode


def check_numbers(path: str, data: Stored, hamiltonian: ConfigurationSpace) -> None:
    """Raise ValueError unless an array holds numbers in the shape (n, H, W), or (n, C, H, W), of a system."""
    if data.dtype.kind not in "iuf" or data.shape[1:] != hamiltonian.size:
        expected = ", ".join(map(str, hamiltonian.size))
        raise ValueError(f"{path} must hold numbers of shape (n, {expected}), got {data.dtype} {data.shape}")
    if data.shape[0] == 0:
        raise ValueError(f"{path} holds no configuration")


def all_tokens(path: str, data: Stored, hamiltonian: ConfigurationSpace, decode: Decode) -> Tensor:
    """Decode all configurations in blocks: as float64 at once, a file would take eight times its size in memory."""
    check_numbers(path, data, hamiltonian)
    n = data.shape[0]
    try:
        tokens = torch.empty(data.shape, dtype=token_dtype(hamiltonian.n_tokens))
    except RuntimeError as error:
        raise ValueError(f"{path} holds {n} configurations, which do not fit into memory") from error
    step = max(1, _BLOCK_SITES // math.prod(hamiltonian.size))
    for start in range(0, n, step):
        try:
            tokens[start : start + step] = decode(np.ascontiguousarray(data[start : start + step]))
        except ValueError as error:
            raise ValueError(f"{path}, configurations from {start}: {error}") from error
    return tokens
