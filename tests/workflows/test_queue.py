"""The batch script of the documentation, with processes in place of nodes: queued again until the run is done."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import tiny

from latticear.runs.config import load_config, to_toml
from latticear.runs.directory import RunDirectory

PAGE = Path(__file__).parents[2] / "docs" / "many-processes.md"
STEPS = 200

COMMANDS = {
    "scontrol": """
        if [ "$1" = show ]; then echo 127.0.0.1; echo 127.0.0.2; else echo "$2" >> queued_again; fi
    """,
    # as srun does: starts the tasks, passes the signal of the time limit on, and ends with the largest status of a task
    "srun": """
        export SLURM_STEP_NUM_TASKS=2
        for task in 0 1; do
            SLURM_PROCID=$task SLURM_LOCALID=$task "$@" > "output-$task" 2>&1 &
            tasks="$tasks $!"
        done
        if [ ! -e queued_again ]; then
            until ls runs/critical/checkpoints/step-* > folders 2> /dev/null; do sleep 0.05; done
            kill -USR1 $tasks
        fi
        largest=0
        for task in $tasks; do
            wait $task
            status=$?
            if [ $status -gt $largest ]; then largest=$status; fi
        done
        exit $largest
    """,
}


def _script() -> str:
    (block,) = (block for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL) if "#SBATCH" in block)
    return block


def _submit(folder: Path) -> int:
    """Run the batch script once, as a job of the queue; returns its exit status."""
    paths = [folder / "bin", Path(sys.executable).parent, os.environ["PATH"]]
    job = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_CPUS_PER_TASK": "1"}
    environment = os.environ | job | {"PATH": os.pathsep.join(map(str, paths))}
    return subprocess.run(["bash", "job.sh"], cwd=folder, env=environment, timeout=600).returncode


@pytest.fixture
def folder(tmp_path):
    """A folder with the batch script, a small run in place of its config, and the commands of Slurm."""
    for name in ("bin", "configs"):
        (tmp_path / name).mkdir()
    for name, lines in COMMANDS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{lines}")
        (tmp_path / "bin" / name).chmod(0o755)
    config = load_config(None, [*tiny.SETS, f"training.steps={STEPS}"], tiny.VALUES)
    (tmp_path / "configs" / "critical.toml").write_text(to_toml(config))
    (tmp_path / "job.sh").write_text(_script())
    return tmp_path


def test_the_job_is_queued_again_until_the_run_is_done(folder):
    assert _submit(folder) == 75
    assert (folder / "queued_again").read_text() == f"{os.getpid()}\n"
    run = RunDirectory(folder / "runs" / "critical")
    stopped = len(run.metrics())
    assert 4 <= stopped < STEPS
    assert "2 processes on 1 machine\n" in (folder / "output-0").read_text()
    assert _submit(folder) == 0
    assert (folder / "queued_again").read_text().count("\n") == 1
    assert run.latest().name == f"step-{STEPS}"
    assert [row["step"] for row in run.metrics()] == list(range(1, STEPS + 1))
    assert "finished" in run.read_json("environment.json")
