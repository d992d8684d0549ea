"""Several processes train one model: losses, metrics and weights are those of one process, but for rounding."""

import json
import math

import pytest
import torch
from support import trainings

import latticear as la
from latticear.processes import ALONE, Processes
from latticear.training.checks import check_processes
from latticear.training.dataset import Dataset
from latticear.training.options import TrainingOptions


@pytest.fixture(scope="module")
def alone():
    return {kind: trainings.trained(kind) for kind in trainings.KINDS}


def _same(found, expected):
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            _same(found[key], expected[key])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            _same(*pair)
    else:
        assert math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-9), (found, expected)


@pytest.mark.parametrize("size", [2, 3])
def test_any_number_of_processes_takes_the_same_steps(size, alone, server, tmp_path):
    ended = server.run_together(tmp_path, "support.trainings:train_all", size=size)
    assert [(each.code, each.stderr) for each in ended] == [(0, "")] * size
    for rank in range(size):
        _same(json.loads((tmp_path / f"{size}-{rank}.json").read_text()), alone)
    assert {"ess", "free_energy_per_site"} <= alone["forward-reverse-kl"]["steps"][-1].keys()
    assert "forward_ess" in alone["forward-reverse-kl"]["steps"][-1]
    assert "nll_held_out" in alone["grid"]["steps"][-1]


@pytest.mark.parametrize(("n", "size"), [(37, 4), (4, 4), (3, 5), (0, 2)])
def test_shares_are_all_there_is(n, size):
    shares = [Processes(rank, size).share(n) for rank in range(size)]
    rows = torch.arange(n)
    assert torch.equal(torch.cat([rows[share.rows] for share in shares]), rows)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_one_process_waits_for_nobody():
    value = torch.tensor([1.0])
    ALONE.add(value)
    ALONE.wait()
    assert (value.item(), ALONE.any(True), ALONE.any(False), ALONE.of_first([1]), str(ALONE)) == (
        1.0,
        True,
        False,
        [1],
        "1 process",
    )


def test_each_process_needs_a_configuration():
    options = TrainingOptions(batch_size=3)
    check_processes(Processes(0, 3), options)
    with pytest.raises(ValueError, match="batch_size must be at least 4, one configuration for each process, got 3"):
        check_processes(Processes(0, 4), options)


def test_a_part_of_a_batch_is_a_part_of_the_same_draw():
    ising = la.Ising((4, 4))
    data = Dataset(torch.randint(2, (40, 4, 4)), ising, 0.1, True, 3, torch.device("cpu"))
    whole = data.draw(20, 5).tokens
    assert torch.equal(torch.cat([data.draw(20, 5, part).tokens for part in (slice(0, 7), slice(7, 20))]), whole)
