"""Ends that lose nothing: kills, signals, a full disk; and what a terminal and a pipe see meanwhile."""

import errno
import json
import os
import random
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from support import tiny
from support.files import give
from support.verbs import check_estimates, invoke, refusal, succeed

from latticear.data.reading import read_batches
from latticear.runs.directory import RunDirectory, load_model
from latticear.samples import Samples

# ends: kills, signals, a full disk


@pytest.mark.parametrize("objective", ["reverse-kl", "forward-kl"])
def test_a_run_killed_at_random_moments_ends_bit_for_bit_as_if_not(server, tmp_path, data, objective):
    """SIGKILL when the run begins, then up to fifteen checkpoints on and a random moment later, until the end."""
    words = [word for key in tiny.forward(data) for word in ("--set", key)] if objective == "forward-kl" else []
    words += ["--set", "training.steps=60", "--set", "training.checkpoint_every=1", "--resume"]
    assert server.run(tmp_path, "train", *tiny.OPTIONS, *words, "--out", "whole").code == 0
    command, stops = ("train", *tiny.OPTIONS, *words, "--out", "a"), set()
    assert server.run(tmp_path, *command, once="a").code == -signal.SIGKILL
    rng, latest = random.Random(objective), RunDirectory(tmp_path / "a").latest
    for _ in range(100):
        step = rng.randint(0, 15) + (0 if latest() is None else int(latest().name.removeprefix("step-")))
        once = f"a/checkpoints/step-{step}" if step else "a"
        done = server.run(tmp_path, *command, once=once, after=rng.uniform(0, 0.05))
        if done.code == 0:
            break
        assert (done.code, done.stderr) == (-signal.SIGKILL, "")
        stops.add(latest())
    assert latest().name == "step-60"
    assert len(stops) > 2
    assert tiny.content(tmp_path / "a") == tiny.content(tmp_path / "whole")
    assert sorted(os.listdir(tmp_path / "a" / "checkpoints")) == ["step-59", "step-60"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGUSR1, 75)])
def test_a_signal_saves_and_says_how_to_go_on(server, tmp_path, number, code):
    """75 tells a queue to run the same command again."""
    words = ("--set", "training.steps=60", "--set", "training.checkpoint_every=7")
    done = server.run(
        tmp_path, "train", *tiny.OPTIONS, *words, "--out", "a", once="a/checkpoints/step-*", number=number
    )
    assert (done.code, done.stderr) == (code, "")
    assert done.stdout.endswith("interrupted: saved in a; continue with: latticear train --out a --resume\n")
    run = RunDirectory(tmp_path / "a")
    assert 7 <= len(run.metrics()) < 60
    assert run.latest().name == f"step-{len(run.metrics())}"
    assert server.run(tmp_path, "train", "--out", "a", "--resume").code == 0
    assert server.run(tmp_path, "train", *tiny.OPTIONS, *words, "--out", "b").code == 0
    assert tiny.content(tmp_path / "a") == tiny.content(tmp_path / "b")


def test_a_full_disk_stops_with_one_line_and_keeps_what_there_is(server, tmp_path):
    words = ("--set", "training.checkpoint_every=1", "--set", "training.steps=40")
    command = ("train", *tiny.OPTIONS, *words, "--out", "a", "--resume")
    whole = server.run(tmp_path, *command[:-2], "whole")
    assert whole.code == 0
    last = tmp_path / "whole" / "checkpoints" / "step-40"
    sizes = [(last / name).stat().st_size for name in ("model.safetensors", "trainer.pt")]
    for limit in (min(sizes) // 2, max(sizes) - 100):
        done = server.run(tmp_path, *command, max_bytes=limit)
        assert (done.code, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.startswith("error: cannot write a/checkpoints/step-1 (File too large); there is no")
    server.run(tmp_path, *command, once="a/checkpoints/step-3")
    latest = RunDirectory(tmp_path / "a").latest()
    done = server.run(tmp_path, *command, max_bytes=max(sizes) - 100)
    assert done.code == 1
    assert f"the last good checkpoint is {latest.relative_to(tmp_path)}; free space and continue" in done.stderr
    assert server.run(tmp_path, *command).code == 0
    assert tiny.content(tmp_path / "a") == tiny.content(tmp_path / "whole")


def test_estimates_are_shown_even_if_they_cannot_be_kept(copy, monkeypatch):
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("latticear.files.write_durably", full)
    code, stdout, stderr = invoke("estimate", copy, "-n", "200", "--json")
    assert (code, stderr) == (1, f"error: cannot write {copy / 'estimates.json'} (No space left on device)\n")
    check_estimates(json.loads(stdout))


@pytest.mark.parametrize("given", [(), ("--given", "given.h5")])
def test_an_interrupted_export_is_continued(server, copy, tmp_path, given):
    give(tmp_path / "given.h5", np.ones((1, 4, 4)), np.eye(4))
    command = ("sample", "copy", *given, "-o", "s.h5", "-n", "3e4")
    done = server.run(tmp_path, *command, once="s.h5", number=signal.SIGINT)
    assert done.code == 130
    assert done.stdout == "interrupted: s.h5 keeps its samples; continue with the same command and --append\n"
    kept = json.loads(succeed("info", tmp_path / "s.h5", "--json"))["n_samples"]
    assert kept < 30_000
    done = server.run(tmp_path, *command[:-1], str(kept + 100), "--append")
    assert done.stdout == f"s.h5: {kept + 100} configurations\n"
    held = {"given": torch.ones(4, 4, dtype=torch.uint8), "where": torch.eye(4, dtype=torch.bool)} if given else {}
    whole = load_model(copy).sample(kept + 100, **held)
    stored = Samples.cat(list(read_batches(tmp_path / "s.h5", 1000)))
    assert torch.equal(stored.tokens, whole.tokens)
    assert torch.equal(stored.log_q, whole.log_q)


def test_a_training_that_explodes_ends_with_one_line(tmp_path):
    words = ("--set", "training.learning_rate=1e30", "--set", "training.clip_norm=0")
    line = refusal("train", *tiny.OPTIONS, *words, "--out", tmp_path / "a")
    assert "the loss stopped being finite at step 2" in line
    assert "there is no checkpoint before it" in line


# the terminal


def test_a_terminal_shows_progress(server, tmp_path):
    done = server.run(tmp_path, "train", *tiny.OPTIONS, "--set", "training.steps=60", "--out", "a", terminal=True)
    assert done.code == 0
    for word in ("steps", "/60", "F/N <= -2.", "exact -2.201329", "ESS 0.", "0:00:0", "finished: a"):
        assert word in done.stdout
    done = server.run(tmp_path, "estimate", "a", "-n", "2000", "--json", terminal=True, piped=True)
    assert "log_z" in json.loads(done.stdout)
    assert "samples" in done.stderr
    assert "/2000" in done.stderr


def test_a_pipe_is_quiet(server, tmp_path):
    done = server.run(tmp_path, "train", *tiny.OPTIONS, "--out", "a")
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.isprintable() is False  # newlines
    assert done.stdout.replace("\n", "").isprintable()
    assert len(done.stdout.splitlines()) == 2
