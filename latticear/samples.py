"""Batches of configurations with their log-probabilities and origin: what samplers return and estimators take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from latticear.arguments import needed_package
from latticear.tables import brief

if TYPE_CHECKING:
    import xarray

__all__ = ["Samples", "check_log_q", "token_dtype"]

LEAST_LOG_Q = -1e6
"""Lowest log-probability of a configuration, for each site: the weight of a lower one says nothing."""

ROUNDING_LOG_Q = 1e-3
"""By how much the log-probability of a configuration may exceed 0, for each site, through rounding."""

MAX_MADE = 200
"""Number of characters up to which a repr shows how samples were made."""


@dataclass(frozen=True)
class Samples:
    """A batch of n configurations.

    Attributes:
        tokens: `(n, H, W)`, or `(n, C, H, W)` if a site has C components; the smallest unsigned type that holds q.
        log_q: float64 `(n,)`, in nats: the log-probability with which the sampler drew each configuration, computed
            by the sampler itself and never again afterwards. If some sites were held fixed, it covers the other sites
            only. None if the probability is unknown (Monte Carlo).
        seed: seed of the random-number stream that the samples were drawn from.
        condition: `(n, k)`, the condition of the model for each sample; None for a model without a condition.
        provenance: how the samples were made, as JSON values.
        log_q_given: float64 `(n,)`, the log-probability that the model gives to the sites that were held fixed, each
            conditioned on the sites of lower rank (earlier in the order of the model); None if no site was held fixed.
        where: bool, of the shape of `tokens`, True at the sites that were held fixed; None if no site was.
        records: further numbers of each configuration that the estimator of a simulation needs, `(n, ...)` by name.
    """

    tokens: Tensor
    log_q: Tensor | None
    seed: int
    condition: Tensor | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    log_q_given: Tensor | None = None
    where: Tensor | None = None
    records: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        """Numbers and shapes, in a few lines; the tensors are `tokens`, `log_q` and so on."""
        shape = " x ".join(map(str, self.tokens.shape[1:]))
        lines = [f"Samples: {len(self):,} configurations {shape}, seed {self.seed}"]
        if self.log_q is None:
            lines.append("no log_q: their probability is not known")
        elif len(self):
            low, mean, high = (f"{value:.6g}" for value in (self.log_q.min(), self.log_q.mean(), self.log_q.max()))
            lines.append(f"log_q from {low} to {high}, {mean} on average")
        if self.condition is not None:
            lines.append(f"condition of {self.condition.shape[-1]} numbers")
        if self.where is not None:
            lines.append(f"{self.where.flatten(1).sum(1).double().mean():g} sites held fixed in each")
        lines += [f"records: {', '.join(self.records)}"] if self.records else []
        if self.provenance:
            made = ", ".join(f"{name} = {brief(value)}" for name, value in self.provenance.items())
            lines.append(made if len(made) <= MAX_MADE else f"{made[:MAX_MADE]} ...")
        return "\n  ".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Where the samples come from, as JSON values: their number and shape, seed and provenance."""
        shape = list(self.tokens.shape[1:])
        return {"n": len(self), "shape": shape, "seed": self.seed, "provenance": self.provenance}

    def to_xarray(self, hamiltonian: Any = None) -> xarray.Dataset:
        """The samples as an xarray data set with the named dimensions sample, component (if there are any), y and x.

        Its variables have the names of the datasets in the HDF5 files that `latticear sample` writes: tokens, log_q
        (in nats), condition, and log_q_given and where if sites were held fixed.

        Args:
            hamiltonian: the Hamiltonian or Grid of the samples; the data set then also has spins, the values of the
                sites, and the energy of each sample if there is one.

        Raises:
            ImportError: if xarray is not installed; says how to install it.
        """
        xarray = needed_package("xarray", "to_xarray")
        sites = ("sample", *(() if self.tokens.ndim == 3 else ("component",)), "y", "x")
        variables: dict[str, tuple[tuple[str, ...], Tensor | None]] = {
            "tokens": (sites, self.tokens),
            "log_q": (("sample",), self.log_q),
            "condition": (("sample", "condition_component"), self.condition),
            "log_q_given": (("sample",), self.log_q_given),
            "where": (sites, self.where),
        }
        if hamiltonian is not None:
            variables["spins"] = sites, hamiltonian.spins(self.tokens)
            variables["energy"] = ("sample",), hamiltonian.token_energy(self.tokens)
        given = {name: (dims, values.cpu().numpy()) for name, (dims, values) in variables.items() if values is not None}
        system = {} if hamiltonian is None else {hamiltonian.kind: json.dumps(hamiltonian.to_dict())}
        about = {"seed": self.seed, "provenance": json.dumps(self.provenance), **system}
        return xarray.Dataset(given, {"sample": np.arange(len(self))}, about)

    def __getitem__(self, part: slice) -> Samples:
        """The samples of a slice of the batch."""
        return replace(
            self,
            tokens=self.tokens[part],
            log_q=None if self.log_q is None else self.log_q[part],
            condition=None if self.condition is None else self.condition[part],
            log_q_given=None if self.log_q_given is None else self.log_q_given[part],
            where=None if self.where is None else self.where[part],
            records={name: values[part] for name, values in self.records.items()},
        )

    def detached(self) -> Samples:
        """The same samples on the CPU, apart from any larger batch that they are a part of: to be sent elsewhere."""
        named = {
            name: _detached(getattr(self, name)) for name in ("tokens", "log_q", "condition", "log_q_given", "where")
        }
        return replace(self, **named, records={name: _detached(values) for name, values in self.records.items()})

    @staticmethod
    def cat(batches: Sequence[Samples]) -> Samples:
        """Concatenate batches that follow each other in one random-number stream."""

        def joined(parts: list[Tensor | None]) -> Tensor | None:
            tensors = [part for part in parts if part is not None]
            return torch.cat(tensors) if len(tensors) == len(parts) else None

        return replace(
            batches[0],
            tokens=torch.cat([batch.tokens for batch in batches]),
            log_q=joined([batch.log_q for batch in batches]),
            condition=joined([batch.condition for batch in batches]),
            log_q_given=joined([batch.log_q_given for batch in batches]),
            where=joined([batch.where for batch in batches]),
            records={
                name: torch.cat([batch.records[name] for batch in batches])
                for name in batches[0].records
                if all(name in batch.records for batch in batches)
            },
        )


def _detached(values: Tensor | None) -> Any:
    """A tensor on the CPU with no memory but its own; one row for all samples stays a single row in memory."""
    if values is None:
        return None
    values = values.detach().cpu()
    return values.clone() if values.untyped_storage().nbytes() > values.nbytes else values


def check_log_q(name: str, log_q: Tensor, n_sites: int, *, row: str, first: int = 0) -> None:
    """Check that numbers can be the logarithms of probabilities of configurations.

    Args:
        name: what a message calls the numbers.
        log_q: the numbers, `(n,)`.
        n_sites: number of tokens of a configuration.
        row: what a message calls one of them.
        first: index of the first of them, for the message.

    Raises:
        ValueError: if one of them is not finite, above 0 but for rounding, or absurdly low; says which is the first.
    """
    if log_q.ndim != 1:
        raise ValueError(f"{name} must have shape (n,), got {tuple(log_q.shape)}")
    least = LEAST_LOG_Q * n_sites
    wrong = ~((log_q >= least) & (log_q <= ROUNDING_LOG_Q * n_sites))  # true for nan as well
    if wrong.any():
        at = int(wrong.nonzero()[0])
        raise ValueError(
            f"{name} must be the logarithm of the probability of each configuration, from {least:.3g} to 0, got "
            f"{float(log_q[at]):.6g} in {row} {first + at}: draw the samples again"
        )


def token_dtype(n_tokens: int) -> torch.dtype:
    """The smallest torch type that holds tokens 0..n_tokens - 1."""
    return torch.uint8 if n_tokens <= 256 else torch.int32
