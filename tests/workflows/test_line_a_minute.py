"""A line a minute where there is no terminal: what it says, and that a short command says nothing."""

import json

import pytest
from support import tiny
from support.verbs import invoke

from latticear.workflows import line_a_minute
from latticear.workflows.line_a_minute import LineAMinute, duration


@pytest.fixture(autouse=True)
def every_minute(monkeypatch):
    monkeypatch.setattr(line_a_minute, "EVERY", 60.0)


class Minute:
    """A clock, and the lines that are written by it."""

    def __init__(self) -> None:
        self.now, self.written = 0.0, []

    def lines(self, **options) -> LineAMinute:
        return LineAMinute(self.written.append, clock=lambda: self.now, **options)


def test_nothing_in_the_first_minute_and_one_line_in_each_later_one():
    time = Minute()
    lines = time.lines(unit="samples")
    for k in range(1, 181):
        time.now = float(k)
        lines(10 * k, 3600)
    assert time.written == [
        "samples 600/3600, 5 min left",
        "samples 1200/3600, 4 min left",
        "samples 1800/3600, 3 min left",
    ]


def test_the_time_left_is_of_the_part_that_is_being_done():
    time = Minute()
    lines = time.lines()
    for now, done, total in ((0, 1, 100), (59, 100, 100), (60, 1, 41), (140, 21, 41)):  # another part begins at 60
        time.now = now
        lines(done, total, "8x8 T = 2")
    assert time.written == ["1/41: 8x8 T = 2", "21/41: 8x8 T = 2, 80 s left"]
    for now, done in ((220, 9), (300, 19)):  # a shorter one of the same total
        time.now = now
        lines(done, 41, "")
    assert time.written[2:] == ["9/41", "19/41, 3 min left"]


def test_a_resumed_training_does_not_count_what_was_done_before():
    time = Minute()
    lines = time.lines(unit="steps")
    lines(901, 1000)
    time.now = 99.0
    lines(912, 1000)
    assert time.written == ["steps 912/1000, 13 min left"]


@pytest.mark.parametrize("words", [("--json",), ()])
def test_lines_go_to_standard_error_alone(copy, monkeypatch, words):
    monkeypatch.setattr(line_a_minute, "EVERY", 0.0)
    code, stdout, stderr = invoke("estimate", copy, "-n", "200", *words)
    assert code == 0
    lines = [line for line in stderr.splitlines() if line.startswith("samples ")]
    assert lines[-1] == "samples 200/200"
    assert "samples 200/200" not in stdout
    assert not words or json.loads(stdout)["n"] == 200


def test_a_training_says_step_free_energy_and_ess(tmp_path, monkeypatch):
    monkeypatch.setattr(line_a_minute, "EVERY", 0.0)
    code, stdout, stderr = invoke("train", *tiny.OPTIONS, "--out", tmp_path / "run")
    assert code == 0
    lines = stderr.splitlines()
    assert len(lines) == tiny.STEPS
    for k, line in enumerate(lines):
        for word in (f"steps {k + 1}/{tiny.STEPS}: F/N <= -2.", "exact -2.2013", "ESS 0."):
            assert word in line
        assert line.endswith(" left") == (0 < k < tiny.STEPS - 1)
    bound = "(one batch: an upper bound on average; latticear estimate gives the value)"
    assert bound in stdout.splitlines()[0]
    assert not any(bound in line for line in lines[:-1])


def test_durations_have_units():
    assert duration(7200.0) == "2 h"
