"""A training of each kind, 30 steps long, which several processes take together."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import latticear as la
from latticear.processes import together

STEPS = 30


def _point(objective: str, **options: Any) -> tuple[la.PixelCNN, dict[str, Any]]:
    ising = la.Ising((4, 4), field=0.1)
    model = la.PixelCNN((4, 4), width=8, depth=2, bias=ising.bias(2.5))
    return model, {"hamiltonian": ising, "temperature": 2.5, "objective": objective, "n_monte_carlo": 90, **options}


def _dropout() -> tuple[la.PixelCNNPlusPlus, dict[str, Any]]:
    model = la.PixelCNNPlusPlus((4, 4), width=4, depth=2, dropout=0.3, spin_flip_symmetric=True)
    model.sites_at_once = {"cpu": 80}  # five configurations
    options = {"hamiltonian": la.Ising((4, 4)), "temperature": 2.5, "objective": "forward-kl"}
    return model, options | {"n_monte_carlo": 90, "batch_size": 27}


def _range() -> tuple[la.PixelCNN, dict[str, Any]]:
    ising = la.Ising((4, 4), field=0.1)
    model = la.PixelCNN((4, 4), width=8, depth=2, bias=ising.bias(), n_condition=1)
    return model, {"hamiltonian": ising, "temperature": (2.0, 3.0), "batch_size": 48}


def _disorder() -> tuple[la.PixelCNN, dict[str, Any]]:
    glasses = la.EdwardsAndersonDisorder((4, 4))
    model = la.PixelCNN((4, 4), width=8, depth=2, bias=glasses.bias(2.0), n_condition_maps=2)
    return model, {"hamiltonian": glasses, "temperature": 2.0, "batch_size": 48}


def _grid() -> tuple[la.PixelCNN, dict[str, Any]]:
    generator = torch.Generator().manual_seed(0)
    tokens, labels = (torch.randint(3, size, generator=generator) for size in ((50, 3, 3), (50,)))
    model = la.PixelCNN((3, 3), 3, width=8, depth=2, n_condition=3)
    options = {"hamiltonian": la.Grid((3, 3), 3), "data": tokens, "condition": torch.eye(3)[labels]}
    return model, options | {"objective": "forward-kl", "batch_size": 23}


KINDS: dict[str, Callable[[], tuple[la.PixelCNN, dict[str, Any]]]] = {
    "reverse-kl": lambda: _point("reverse-kl", batch_size=37),
    "forward-kl": lambda: _point("forward-kl", batch_size=29),
    "forward-reverse-kl": lambda: _point("forward-reverse-kl", batch_size=31, heated_share=0.4),
    "dropout": _dropout,
    "temperature range": _range,
    "disorder": _disorder,
    "grid": _grid,
}


def trained(kind: str) -> dict[str, Any]:
    """Losses and metrics of each step, and the weights at the end, as JSON values."""
    model, options = KINDS[kind]()
    model.double()
    system = options.pop("hamiltonian")
    steps = list(la.fit(model, system, steps=STEPS, evaluate_every=7, seed=1, **options))
    weights = {name: weight.flatten().tolist() for name, weight in model.named_parameters()}
    return {"steps": [step.to_dict() for step in steps], "weights": weights}


def train_all() -> None:
    """Train all kinds in one of several processes; write what it has found in a file of its own."""
    with together() as processes:
        found = {kind: trained(kind) for kind in KINDS}
        assert str(processes).startswith(str(processes.size))
    Path(f"{os.environ['WORLD_SIZE']}-{os.environ['RANK']}.json").write_text(json.dumps(found), encoding="utf-8")
