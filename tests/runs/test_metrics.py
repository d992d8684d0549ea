"""Rows of metrics.jsonl that are lost or changed are noticed by the digest in the checkpoint."""

import pytest
from support.rundirs import save_step, without_sums

from latticear.checksums import ChangedFileWarning, DamagedError
from latticear.runs.checkpoints import problems_of
from latticear.runs.directory import RunDirectory


@pytest.fixture
def run(tmp_path):
    """Five rows, and checkpoints after the second and the fourth."""
    run = RunDirectory.create(tmp_path / "run", "seed = 0\n", {})
    for step in range(1, 6):
        run.log({"step": step, "loss": 1 / step})
        if step % 2 == 0:
            save_step(run, step)
    return run


def _replace(run, old, new):
    file = run.path / "metrics.jsonl"
    file.write_text(file.read_text().replace(old, new))


def test_rows_after_the_newest_checkpoint_may_be_lost(run):
    assert [row["step"] for row in run.metrics()] == [1, 2, 3, 4, 5]
    _replace(run, '{"step": 5, "loss": 0.2}\n', "")
    assert [row["step"] for row in run.metrics()] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("old", "new", "standing"),
    [
        ('"loss": 0.25', '"loss": 0.26', "rows up to step-2: remove checkpoints/step-4 to train on from there, or"),
        ('{"step": 4, "loss": 0.25}\n', "", "rows up to step-2: remove checkpoints/step-4 to train on"),
        ('"loss": 1.0', '"loss": 1.1', "the weights stand: remove metrics.jsonl to go on without these rows"),
        ('"step": 1', '"step": x', "the weights stand: remove metrics.jsonl"),
    ],
)
def test_rows_before_it_may_not(run, old, new, standing):
    _replace(run, old, new)
    for read in (run.metrics, lambda: run.truncate_metrics(4)):
        with pytest.raises(DamagedError, match=rf"metrics\.jsonl is damaged: rows before step-4 are lost .*{standing}"):
            read()


def test_the_way_on_is_one(run):
    _replace(run, '"loss": 0.25', '"loss": 0.26')
    run.discard_checkpoint(4)
    run.truncate_metrics(2)
    assert [row["step"] for row in run.metrics()] == [1, 2]


def test_a_file_that_is_missing_is_told(run):
    (run.path / "metrics.jsonl").unlink()
    with pytest.warns(ChangedFileWarning, match=r"metrics\.jsonl is missing: .* are lost"):
        assert run.metrics() == []


def test_without_the_file_they_begin_anew(run):
    (run.path / "metrics.jsonl").unlink()
    with pytest.warns(ChangedFileWarning, match=r"metrics\.jsonl is missing: .* are lost"):
        run.truncate_metrics(4)
    run.truncate_metrics(4)  # it is said once
    run.log({"step": 5, "loss": 0.3})
    assert [row["step"] for row in run.metrics()] == [5]
    save_step(run, 6)
    _replace(run, "0.3", "0.4")
    with pytest.raises(DamagedError, match="rows before step-6 are lost"):
        run.metrics()
    assert not any(any(problems_of(checkpoint).values()) for checkpoint in run.checkpoints())


def test_rows_without_a_digest_must_reach_the_checkpoint(run):
    without_sums(run.path)
    _replace(run, '"loss": 0.25', '"loss": 0.26')
    assert len(run.metrics()) == 5
    _replace(run, '{"step": 3, "loss"', "x")
    with pytest.raises(DamagedError, match="the rows that can be read end at step 2, before step-4"):
        run.metrics()
