"""How much faster do two processes train than one, how much of the time do they talk, and what to expect of GPUs?

Measured are training steps (reverse-kl, T_c) of the default networks by one and by two processes of one thread each,
which take turns so that a busy machine slows both down: strong scaling shares a batch among the processes, weak scaling
gives each process a batch of its own. Best possible: as many times faster as there are processes, nothing spent in
messages. "messages" is the share of a step that the first process spends in `torch.distributed`, waiting for the other
one included.

For 8 and 64 GPUs the last table is a model, not a measurement: the seconds that a step takes on one GPU are divided by
their number but for those of its launches, and the message of the gradient is added, as a ring sends it. The numbers
that it assumes are printed. The last line is JSON.

    python benchmarks/scaling.py [--networks pixelcnn multiscale] [--sizes 8 16] [--batch 256] [--steps 6] [--repeats 3]
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import time
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import torch
import torch.multiprocessing

import latticear as la
from latticear.processes import Processes, current, together

NETWORKS = ("pixelcnn", "multiscale")
WARM_UP = 3


class Machine(NamedTuple):
    """What the model assumes of a number of GPUs.

    Attributes:
        n: number of GPUs.
        bandwidth: bytes a second that each sends along the ring.
        latency: seconds of a message from one to the next.
    """

    n: int
    bandwidth: float
    latency: float


RATE = 2e13
"""Multiply-adds a second of a GPU in the products of a training step (float32 with TF32, a third of the peak)."""
LAUNCH = 3e-6
"""Seconds of one kernel in a captured graph, during which the GPU has little to do."""
MACHINES = (Machine(8, 2e11, 5e-6), Machine(64, 2e10, 1e-5))
"""Eight GPUs of a node that NVLink connects; eight such nodes with InfiniBand."""


def built(network: str, size: int) -> tuple[Any, Any]:
    """A network and its system."""
    ising = la.Ising((size, size))
    return la.MODELS[network]((size, size), spin_flip_symmetric=True, bias=ising.bias(la.T_C)), ising


def worker(rank: int, size: int, port: int, connection: Connection) -> None:
    """Take steps whenever told to, with the other processes; the first one answers."""
    shared = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in shared.items()}
    torch.set_num_threads(1)
    add, spent = Processes.add, [0.0]

    def timed(self: Processes, *tensors: torch.Tensor) -> None:
        t_start = time.perf_counter()
        add(self, *tensors)
        spent[0] += time.perf_counter() - t_start

    Processes.add = timed  # type: ignore[method-assign]
    with together():
        while (job := connection.recv()) is not None:
            network, extent, batch, steps = job
            model, ising = built(network, extent)
            current().wait()
            begin = la.fit(
                model, ising, temperature=la.T_C, objective="reverse-kl", steps=WARM_UP + steps, batch_size=batch
            )
            seconds, messages = [], []
            before = time.perf_counter()
            for _ in begin:
                now = time.perf_counter()
                seconds.append(now - before)
                messages.append(spent[0])
                before, spent[0] = now, 0.0
            connection.send((seconds[WARM_UP:], messages[WARM_UP:]))


class Crew:
    """Processes that take training steps together; with their number 1, a process alone."""

    def __init__(self, size: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        context = torch.multiprocessing.get_context("spawn")
        self.size, self._connections, self._processes = size, [], []
        for rank in range(size):
            here, there = context.Pipe()
            process = context.Process(target=worker, args=(rank, size, port, there))
            process.start()
            self._connections.append(here)
            self._processes.append(process)

    def take(self, network: str, extent: int, batch: int, steps: int) -> tuple[list[float], list[float]]:
        """Seconds of each step, and of the messages in it."""
        for connection in self._connections:
            connection.send((network, extent, batch, steps))
        first, *_ = [connection.recv() for connection in self._connections]
        return first

    def end(self) -> None:
        for connection in self._connections:
            connection.send(None)
        for process in self._processes:
            process.join()


def measured(crews: list[Crew], network: str, extent: int, batch: int, steps: int, repeats: int) -> dict[str, Any]:
    """Strong and weak scaling of a network: medians over steps that the crews take by turns."""
    alone, pair = crews
    jobs = {"one": (alone, batch), "strong": (pair, batch), "weak": (pair, pair.size * batch)}
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    messages: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repeats):
        for name, (crew, size) in jobs.items():
            taken, talked = crew.take(network, extent, size, steps)
            seconds[name].append(statistics.median(taken))
            messages[name].append(sum(talked) / sum(taken))
    model, _ = built(network, extent)
    one, strong, weak = (statistics.median(seconds[name]) for name in jobs)
    return {
        "network": network,
        "size": extent,
        "batch": batch,
        "megabytes": 4e-6 * sum(weight.numel() for weight in model.parameters()),
        "seconds": one,
        "strong": {"speed_up": one / strong, "messages": statistics.median(messages["strong"])},
        "weak": {"efficiency": one / weak, "messages": statistics.median(messages["weak"])},
    }


def modelled(network: str, extent: int, batch: int) -> list[dict[str, Any]]:
    """Strong and weak scaling on GPUs by the model, with a batch for each GPU in the weak case."""
    model, _ = built(network, extent)
    size = 4 * sum(weight.numel() for weight in model.parameters())
    work = 4 * batch * model.n_products / RATE  # a draw, a pass, and twice as much back
    n_launches = 12 * (int(model.rank.max()) + 1)  # of a draw, which is sequential; layers and their parts
    rows = []
    for machine in MACHINES:
        sent = 2 * (machine.n - 1) * (machine.latency + size / machine.n / machine.bandwidth)
        fixed = n_launches * LAUNCH
        one, strong, weak = fixed + work, fixed + work / machine.n + sent, fixed + work + sent
        rows.append(
            {
                "network": network,
                "size": extent,
                "batch": batch,
                "gpus": machine.n,
                "seconds": one,
                "message": sent,
                "strong": {"speed_up": one / strong, "messages": sent / strong},
                "weak": {"efficiency": one / weak, "messages": sent / weak},
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--batch", type=int, default=256, help="configurations of a step, of one process")
    parser.add_argument("--steps", type=int, default=6, help="steps of a turn")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each kind")
    options = parser.parse_args()
    crews = [Crew(1), Crew(2)]
    print(
        f"{'network':10} {'L':>3} {'batch':>5} {'s/step':>8} {'MB':>6} | strong: {'times':>5} {'messages':>8}", end=" "
    )
    print(f"| weak: {'efficiency':>10} {'messages':>8}")
    rows = []
    for network in options.networks:
        for extent in options.sizes:
            row = measured(crews, network, extent, options.batch, options.steps, options.repeats)
            rows.append(row)
            strong, weak = row["strong"], row["weak"]
            print(
                f"{network:10} {extent:3} {row['batch']:5} {row['seconds']:8.4f} {row['megabytes']:6.2f} |"
                f" {strong['speed_up']:13.2f} {strong['messages']:8.1%} | {weak['efficiency']:16.2f}"
                f" {weak['messages']:8.1%}",
                flush=True,
            )
    for crew in crews:
        crew.end()
    print(f"\nmodel: {RATE:.0e} multiply-adds/s, {LAUNCH:.0e} s for a launch", end="")
    for machine in MACHINES:
        print(f"; {machine.n} GPUs: {machine.bandwidth:.0e} bytes/s, {machine.latency:.0e} s", end="")
    print(
        f"\n{'network':10} {'L':>3} {'batch':>6} {'GPUs':>4} {'s/step':>8} {'message':>9} | strong: times messages",
        end="",
    )
    print(" | weak: efficiency messages")
    predicted = [row for network in NETWORKS for extent in (64, 128) for row in modelled(network, extent, 4096)]
    for row in predicted:
        strong, weak = row["strong"], row["weak"]
        print(
            f"{row['network']:10} {row['size']:3} {row['batch']:6} {row['gpus']:4} {row['seconds']:8.3f}"
            f" {row['message']:9.1e} | {strong['speed_up']:13.2f} {strong['messages']:8.1%} |"
            f" {weak['efficiency']:16.2f} {weak['messages']:8.1%}"
        )
    print(json.dumps({"rows": rows, "model": predicted}))


if __name__ == "__main__":
    main()
