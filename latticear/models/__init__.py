"""Networks. To add one, see "Add a model" in CONTRIBUTING.md."""

from __future__ import annotations

from typing import Any

from latticear.models.base import AbstractModel, check_is_model
from latticear.models.carry_over import transfer_weights
from latticear.models.causality import check_autoregressive
from latticear.models.conditions import ConditionEmbedding
from latticear.models.gated import GatedPixelCNN
from latticear.models.heads import LogisticMixture
from latticear.models.layers import MaskedConv2d
from latticear.models.made import MADE
from latticear.models.mean_field import MeanField
from latticear.models.multiscale import MultiscalePixelCNN
from latticear.models.pixelcnn import PixelCNN
from latticear.models.pixelcnnpp import PixelCNNPlusPlus
from latticear.models.pixelsnail import PixelSNAIL
from latticear.models.recurrent import RecurrentPixelRNN
from latticear.models.residual import ResidualPixelCNN
from latticear.models.tensor_network import TensorNetwork
from latticear.models.transformer import CausalTransformer

__all__ = [
    "MADE",
    "MODELS",
    "AbstractModel",
    "CausalTransformer",
    "ConditionEmbedding",
    "GatedPixelCNN",
    "LogisticMixture",
    "MaskedConv2d",
    "MeanField",
    "MultiscalePixelCNN",
    "PixelCNN",
    "PixelCNNPlusPlus",
    "PixelSNAIL",
    "RecurrentPixelRNN",
    "ResidualPixelCNN",
    "TensorNetwork",
    "check_autoregressive",
    "check_is_model",
    "model_from_dict",
    "transfer_weights",
]

MODELS: dict[str, type[AbstractModel]] = {
    cls.name: cls
    for cls in (
        PixelCNN,
        ResidualPixelCNN,
        GatedPixelCNN,
        PixelCNNPlusPlus,
        PixelSNAIL,
        CausalTransformer,
        MultiscalePixelCNN,
        MeanField,
        MADE,
        RecurrentPixelRNN,
        TensorNetwork,
    )
}
"""The networks that a config may name under `[model]`; each can be built by `cls(shape, n_tokens)` alone."""


def model_from_dict(values: dict[str, Any]) -> AbstractModel:
    """Build a network from the values that its `to_dict` returned, with freshly initialised weights.

    Raises:
        ValueError: for a name that is not in `MODELS` or an argument that the network does not take.
    """
    if not isinstance(values, dict):
        raise ValueError(f"a network is described by its name and arguments, got {values!r}")
    name = values.get("name")
    if name not in MODELS:
        raise ValueError(f"model must be one of {sorted(MODELS)}, got {name!r}")
    return MODELS[name].from_dict(values)
