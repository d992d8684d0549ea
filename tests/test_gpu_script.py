"""`make gpu`, as far as it runs without a GPU: its one line, and its measurements at tiny sizes on a CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def _refusal(**environment):
    found = subprocess.run(
        ["sh", "benchmarks/gpu.sh"], cwd=ROOT, env=os.environ | environment, capture_output=True, text=True
    )
    assert (found.returncode, found.stdout, found.stderr.count("\n")) == (1, "", 1)
    return found.stderr


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"GPU_DEVICES": "/no/such/device"}, "this machine has no GPU; nothing was measured"),
        (
            {"GPU_DEVICES": "/dev/null", "PYTHON": "no-such-python"},
            "there is no no-such-python: give one as PYTHON=",
        ),
        (
            {"GPU_DEVICES": "/dev/null", "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""},
            f"the PyTorch of {sys.executable} sees no GPU: give another Python as PYTHON=...",
        ),
    ],
)
def test_without_a_gpu_one_line_says_what_is_missing(environment, line):
    assert line in _refusal(**environment)


def test_the_measurements_run_on_a_cpu(tmp_path):
    out = tmp_path / "results.txt"
    command = [sys.executable, "benchmarks/gpu.py", "--device", "cpu", "--quick", "--out", out]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    *_, last = out.read_text().splitlines()
    result = json.loads(last)
    drawn = [row for row in result["rows"] if "model" in row]
    assert [(row["model"], row["width"]) for row in drawn] == [("pixelcnn", 32), ("pixelcnn", 64), ("multiscale", 32)]
    assert all(row["configurations_per_second"] > 0 and row["log_q_off"] < 1e-4 for row in drawn)
    assert [row["training"] for row in result["rows"] if "training" in row] == [4]
    assert {part: end.split()[0] for part, end in result["parts"].items()} == {"drawing": "done", "training": "done"}


def test_a_part_that_takes_too_long_keeps_what_it_has_found(tmp_path):
    """Cut off right after its first row, the ceilings, which is then in the results."""
    code = (
        "import sys; sys.path.insert(0, 'benchmarks'); import gpu, torch;"
        "gpu.LIMITS['drawing'] = 4; gpu.command = lambda part, options, rows: [sys.executable, '-u', '-c',"
        '\'import json, sys, time; open(sys.argv[1], "w").write(json.dumps({"ceilings": {}})); time.sleep(60)\','
        "str(rows)];"
        f"sys.argv[1:] = ['--device', 'cpu', '--quick', '--parts', 'drawing', '--out', '{tmp_path / 'out.txt'}'];"
        "gpu.main()"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    result = json.loads((tmp_path / "out.txt").read_text().splitlines()[-1])
    assert result["parts"] == {"drawing": "cut off after 4 s"}
    assert result["rows"] == [{"ceilings": {}}]
