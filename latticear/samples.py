"""Batches of configurations with their log-probabilities and origin: what samplers return and estimators take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

__all__ = ["Samples", "token_dtype"]


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


def token_dtype(n_tokens: int) -> torch.dtype:
    """The smallest torch type that holds tokens 0..n_tokens - 1."""
    return torch.uint8 if n_tokens <= 256 else torch.int32
