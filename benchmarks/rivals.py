"""A trained sampler against Swendsen-Wang and Wolff, on the same machine and for the same time.

Effective configurations a second: `ESS n / t` of the network's independent samples, `n / (2 tau_int t)` of a Monte
Carlo series, by the slower of energy and |m|. And the error of ln Z: importance sampling against thermodynamic
integration, `ln Z(beta) = N ln 2 - int_0^beta <E>`, by Gauss-Legendre nodes with Swendsen-Wang at each and the time
divided evenly; the number of nodes is doubled until the exact integrand says that the rule is wrong by less than its
error. The time of the training is given beside: it is what the network has to earn back. The last line is JSON.

    python benchmarks/rivals.py RUN... [--seconds 30] [--threads 1]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch

import latticear as la
from latticear.runs.directory import RunDirectory
from latticear.workflows import trained

CHAINS = 100


def neural(run: Path, seconds: float) -> dict[str, float]:
    config, model = trained(run, "cpu")
    ising, temperature, _ = config.target.single
    model.sample(1)
    n, log_w, t_start = 0, [], time.perf_counter()
    while time.perf_counter() - t_start < seconds:
        batch = model.sample(1024, seed=3, start=n)
        log_w.append(-ising.token_energy(batch.tokens) / temperature - batch.log_q)
        n += len(batch)
    elapsed = time.perf_counter() - t_start
    w = torch.cat(log_w)
    w = (w - w.max()).exp()
    ess = float(w.sum() ** 2 / (w**2).sum() / n)
    environment = RunDirectory(run).read_json("environment.json")
    return {
        "rate": n * ess / elapsed,
        "ess": ess,
        "milliseconds": 1e3 * elapsed / n,
        "log_z_error": math.sqrt((1 / ess - 1) / n),
        "training_seconds": environment.get("seconds", math.nan),
    }


def series(ising: la.Ising, temperature: float, method: str, seconds: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Energies and |m| of all chains after each sweep, `(sweeps, chains)`, and the time that took."""
    energies, m = [], []
    chains = la.monte_carlo(
        ising, temperature, n=10**9, method=method, n_chains=CHAINS, thermalization=100 + ising.shape[0], thinning=1
    )
    first = next(chains)
    t_start = time.perf_counter()
    batch = first
    while time.perf_counter() - t_start < seconds or len(energies) < 50:
        batch = next(chains)
        energies.append(ising.token_energy(batch.tokens).numpy())
        m.append((2 * batch.tokens.double().mean((1, 2)) - 1).abs().numpy())
    return np.stack(energies), np.stack(m), time.perf_counter() - t_start


def cluster(ising: la.Ising, temperature: float, method: str, seconds: float) -> dict[str, float]:
    energy, m, elapsed = series(ising, temperature, method, seconds)
    tau = max(la.estimation.integrated_autocorrelation_time(x).tau for x in (energy, m))
    return {"rate": energy.size / (2 * tau) / elapsed, "tau_int": tau, "milliseconds": 1e3 * elapsed / energy.size}


def integration(ising: la.Ising, temperature: float, seconds: float) -> dict[str, float]:
    """ln Z by thermodynamic integration, its error, and what the rule itself is wrong by."""
    exact = la.kaufman(ising.shape, temperature).log_z
    n_nodes = 8
    while True:
        x, weight = np.polynomial.legendre.leggauss(n_nodes)
        betas, weight = (x + 1) / 2 / temperature, weight / 2 / temperature
        energy = [la.kaufman(ising.shape, 1 / b).energy_per_site * ising.n_sites for b in betas]
        rule = ising.n_sites * math.log(2) - float(weight @ np.array(energy)) - exact
        mean, error = np.array([measured(ising, 1 / b, seconds / n_nodes) for b in betas]).T
        log_z, sigma = ising.n_sites * math.log(2) - float(weight @ mean), math.sqrt(float(weight**2 @ error**2))
        if abs(rule) < sigma or n_nodes >= 64:
            return {"log_z_error": sigma, "rule_error": rule, "off": (log_z - exact) / sigma, "n_nodes": n_nodes}
        n_nodes *= 2


def measured(ising: la.Ising, temperature: float, seconds: float) -> tuple[float, float]:
    energy, _, _ = series(ising, temperature, "swendsen-wang", seconds)
    mean, error, _ = la.estimation.mean_error(energy)
    return float(mean), float(error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--threads", type=int, default=1, help="of the network; the cluster kernels use one")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for run in options.runs:
        ising, temperature, _ = trained(run, "cpu").target.single
        row = {
            "size": ising.shape[0],
            "network": neural(run, options.seconds),
            "swendsen-wang": cluster(ising, temperature, "swendsen-wang", options.seconds),
            "wolff": cluster(ising, temperature, "wolff", options.seconds),
            "integration": integration(ising, temperature, options.seconds),
        }
        rows.append(row)
        print(f"{row['size']}x{row['size']}, T = {temperature:.6f}, {options.seconds:g} s each")
        for name in ("network", "swendsen-wang", "wolff"):
            told = ", ".join(f"{key} {value:.3g}" for key, value in row[name].items() if key != "rate")
            print(f"  {name:14s} {row[name]['rate']:10.1f} effective configurations a second ({told})")
        ratio = row["integration"]["log_z_error"] / row["network"]["log_z_error"]
        print(f"  error of ln Z: network {row['network']['log_z_error']:.2e}, integration "
              f"{row['integration']['log_z_error']:.2e} ({row['integration']['n_nodes']} nodes): time for the same "
              f"error {ratio**2:.3g} to 1", flush=True)  # fmt: skip
    print(json.dumps({"rows": rows, "seconds": options.seconds, "threads": options.threads}))


if __name__ == "__main__":
    main()
