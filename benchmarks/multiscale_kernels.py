"""What the compiled kernels of the multiscale network save for more than two tokens, conditions and couplings.

Measured in turns, in processor time of one thread (medians of some rounds), by the kernels and by PyTorch, which would
compute them otherwise: `log_prob` without gradients, with its backward pass, a draw, and a step of training by reverse
KL with the default options of a config. The conditions are shared by as many configurations as in training.
Reference: the ratio for two states at one temperature. The last line is JSON.

    python benchmarks/multiscale_kernels.py [--size 8] [--batch 256] [--rounds 7]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from timing import best_of

import latticear as la
from latticear.runs.config import RunConfig, build_model, parse_config

STEPS, WARM_UP = 12, 4

STEP = "training step"

SYSTEMS: dict[str, dict[str, Any]] = {
    "Ising, one temperature": {"hamiltonian": {"name": "ising"}, "temperature": la.T_C},
    "Potts, q = 3": {"hamiltonian": {"name": "potts", "q": 3}, "temperature": 1.0},
    "Potts, q = 8": {"hamiltonian": {"name": "potts", "q": 8}, "temperature": 0.75},
    "Ising, temperatures 1.8 to 3": {"hamiltonian": {"name": "ising"}, "temperature": [1.8, 3.0]},
    "Edwards-Anderson disorder": {"hamiltonian": {"name": "edwards_anderson_disorder"}, "temperature": 1.0},
}


def config_of(name: str, size: int, batch: int) -> RunConfig:
    """The config of a system, for reverse KL."""
    tree = SYSTEMS[name]
    training = {"objective": "reverse-kl", "batch_size": batch, "steps": STEPS}
    hamiltonian = {**tree["hamiltonian"], "shape": [size, size]}
    return parse_config({**tree, "hamiltonian": hamiltonian, "model": {"name": "multiscale"}, "training": training})


@contextmanager
def by(kernels: bool) -> Iterator[None]:
    """Let the kernels compute, or PyTorch."""
    own = la.MultiscalePixelCNN.kernels
    if not kernels:
        la.MultiscalePixelCNN.kernels = lambda _: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        la.MultiscalePixelCNN.kernels = own  # type: ignore[method-assign]


def calls(config: RunConfig, batch: int) -> dict[str, Callable[[], object]]:
    """What is measured of a network, by name."""
    model = build_model(config)
    condition = None
    if model.conditioned:
        drawn = config.target.draw_conditions(model, batch // 16, 0, 1).values
        condition = drawn.repeat_interleave(16, 0)
    tokens = model.sample(batch, seed=1, condition=condition).tokens.long()

    def weighed() -> object:
        with torch.no_grad():
            return model.log_prob(tokens, condition)

    def learned() -> None:
        model.log_prob(tokens, condition).sum().backward()

    return {
        "log_prob": weighed,
        "with gradients": learned,
        "sample": lambda: model.sample(batch, seed=2, condition=condition),
    }


def seconds_per_step(config: RunConfig) -> float:
    """Of the fastest step of a training."""
    options = {key: value for key, value in config.training.items() if key not in ("data", "checkpoint_every")}
    times = []
    for _ in la.fit(build_model(config), config.target, **options):
        times.append(time.process_time())
    return min(b - a for a, b in zip(times[WARM_UP:], times[WARM_UP + 1 :], strict=False))


def measure(name: str, size: int, batch: int, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of each call and of a step, by the kernels and by PyTorch: medians of the rounds."""
    config = config_of(name, size, batch)
    times: dict[str, dict[str, list[float]]] = {}
    work = calls(config, batch)
    for _ in range(rounds):
        for call in (*work, STEP):
            for who in ("kernels", "pytorch"):
                with by(who == "kernels"):
                    found = seconds_per_step(config) if call == STEP else best_of(work[call], 3, time.process_time)
                times.setdefault(call, {}).setdefault(who, []).append(found)
    return {call: {who: statistics.median(found) for who, found in row.items()} for call, row in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=8)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("milliseconds of the processor by the kernels, by PyTorch, and the ratio")
    systems = {}
    for name in SYSTEMS:
        systems[name] = measure(name, options.size, options.batch, options.rounds)
        print(name)
        for call, row in systems[name].items():
            mine, other = 1e3 * row["kernels"], 1e3 * row["pytorch"]
            print(f"    {call:16s}{mine:9.2f}{other:9.2f}{other / mine:8.1f}", flush=True)
    print(json.dumps({"systems": systems, **vars(options), "torch": torch.__version__, "machine": platform.machine()}))


if __name__ == "__main__":
    main()
