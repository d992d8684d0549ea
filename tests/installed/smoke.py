"""Tries an installed latticear, in a folder of its own: a run by the command line, and draws in Python.

python smoke.py             with or without the compiled kernels
python smoke.py --kernels   they must be there
python smoke.py --none      they must not, and one line must say so
"""

import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path


def latticear(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-m", "latticear", *words]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return done


def on_the_command_line() -> list[str]:
    """A network is trained and its estimates compared with the exact values; returns what was said of kernels."""
    network = ["--model", "pixelcnn", "--steps", "100", "--set", "model.width=8", "--set", "model.depth=2"]
    said = [latticear("train", "--size", "4", "--temperature", "2.5", *network, "--out", "a")]
    said += [latticear("estimate", "a", "-n", "4000", "--json"), latticear("sample", "a", "-n", "10", "-o", "s.h5")]
    said += [latticear("info", "s.h5"), latticear("report", "a")]
    entry = json.loads(said[1].stdout)["free_energy_per_site"]
    assert abs(entry["value"] - entry["exact"]) < 5 * entry["error"] + 1e-9, entry
    assert Path("a", "report.html").stat().st_size > 10_000
    return [line for done in said for line in done.stderr.splitlines() if "no compiled kernels" in line]


def in_python() -> list[str]:
    import latticear as la
    from latticear.kernels.library import instruction_sets

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for model in (la.PixelCNN((4, 4)), la.default_model(la.Ising((4, 4)), 2.5)):
            samples = model.sample(100, seed=0)
            assert abs(model.log_prob(samples.tokens).double() - samples.log_q).max() < 1e-4
    print(f"latticear {la.__version__}, Python {sys.version.split()[0]}, kernels: {instruction_sets() or 'none'}")
    return [str(warning.message) for warning in caught if "no compiled kernels" in str(warning.message)]


def main(wanted: str | None) -> None:
    import os

    with tempfile.TemporaryDirectory() as folder:
        before = os.getcwd()
        os.chdir(folder)
        try:
            lines, warned = on_the_command_line(), in_python()
        finally:
            os.chdir(before)
    print(*dict.fromkeys(lines), sep="\n")
    if wanted == "--kernels":
        assert not lines
        assert not warned
    if wanted == "--none":
        assert lines
        assert len(warned) == 1


if __name__ == "__main__":
    main(*sys.argv[1:] or [None])
