"""Pieces of work side by side; how many threads work is worth, and that they sleep while they wait."""

import os
import subprocess
import sys

import pytest
import torch
from support.verbs import invoke, succeed

import latticear as la
from latticear.threads import SHARE, WAITING, side_by_side, thread_count, useful_threads
from latticear.training import loop


@pytest.fixture(params=[1, 3])
def n_threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_in_order_with_the_modes_of_the_caller(n_threads):
    weight = torch.ones(3, requires_grad=True)
    items = [torch.full((3,), float(k)) for k in range(7)]
    products = side_by_side(lambda item: (weight * item).sum(), items)
    assert [p.item() for p in products] == [3.0 * k for k in range(7)]
    assert all(p.requires_grad for p in products)
    with torch.no_grad():
        assert not any(p.requires_grad for p in side_by_side(lambda item: (weight * item).sum(), items))
    with torch.inference_mode():
        assert all(p.is_inference() for p in side_by_side(lambda item: weight * item, items))
    assert torch.get_num_threads() == n_threads


def test_an_error_reaches_the_caller_and_the_threads_are_as_before(n_threads):
    def fail(item):
        raise ZeroDivisionError(item)

    with pytest.raises(ZeroDivisionError):
        side_by_side(fail, range(4))
    assert torch.get_num_threads() == n_threads


def test_a_number_of_threads_for_a_while(n_threads):
    with thread_count(2):
        assert torch.get_num_threads() == 2
        with thread_count(2):
            pass
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == n_threads
    with pytest.raises(ZeroDivisionError), thread_count(2):
        raise ZeroDivisionError
    assert torch.get_num_threads() == n_threads


def test_each_thread_has_a_share_of_the_work(n_threads):
    assert [useful_threads(k * SHARE, available=4) for k in (0, 0.9, 1, 2.5, 4, 100)] == [1, 1, 1, 2, 4, 4]
    assert useful_threads(100 * SHARE) == n_threads


@pytest.mark.parametrize(("width", "expected"), [(4, 1), (300, 3)])
def test_a_small_training_uses_one_thread_and_leaves_those_of_the_caller(n_threads, monkeypatch, width, expected):
    seen = []
    monkeypatch.setattr(loop.Objective, "__call__", _noting(loop.Objective.__call__, seen))
    model = la.PixelCNN((3, 3), width=width, depth=2)
    assert useful_threads(loop.work_of(model, 256), available=3) == expected
    run = la.fit(model, la.Ising((3, 3)), temperature=2.0, steps=3, batch_size=256)
    for step in run:
        assert torch.get_num_threads() == (n_threads if step.step == 1 else 2)
        torch.set_num_threads(2)
    assert torch.get_num_threads() == 2
    assert seen == [min(expected, n) for n in (n_threads, 2, 2)]


def _noting(call, seen):
    def noting(objective, step):
        seen.append(torch.get_num_threads())
        return call(objective, step)

    return noting


def test_the_threads_are_those_of_the_caller_after_an_error(n_threads):
    model = la.PixelCNN((3, 3), width=4, depth=2)
    with torch.no_grad():
        model.head.weight.fill_(float("nan"))
    with pytest.raises(la.TrainingError):
        next(la.fit(model, la.Ising((3, 3)), temperature=2.0, steps=3, batch_size=16))
    assert torch.get_num_threads() == n_threads


SLEEPERS = """
import os, sys
{first}
import latticear as la
import torch, threading
threads = lambda: len(os.listdir("/proc/self/task"))
from latticear.threads import wait_passively
for n_threads in {n_threads}:
    torch.set_num_threads(n_threads)
    la.PixelCNN((3, 3), width=4).sample(10)  # starts all threads of PyTorch
    before = threads()
    wait_passively()
    named = sum(thread.name == "latticear-sleepers" for thread in threading.enumerate())
    print(named, threads() - before, os.environ.get("OMP_WAIT_POLICY"))
"""


@pytest.mark.parametrize(
    ("first", "n_threads", "policy", "expected"),
    [
        ("import torch", [1, 2], None, ["0 0 None", "1 0 None"]),
        ("import torch", [2], "ACTIVE", ["0 0 ACTIVE"]),
        ("", [2], None, ["0 0 PASSIVE"]),
        ("", [2], "ACTIVE", ["0 0 ACTIVE"]),
    ],
)
def test_threads_are_told_to_sleep_once_and_only_if_nobody_said_otherwise(first, n_threads, policy, expected):
    environment = {key: value for key, value in os.environ.items() if key not in WAITING}
    environment |= {} if policy is None else {"OMP_WAIT_POLICY": policy}
    code = SLEEPERS.format(first=first, n_threads=n_threads)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == expected


def test_the_command_line_limits_the_threads(n_threads, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MKL_NUM_THREADS", "1")
    succeed("exact", "--size", "2", "--threads", "2")
    assert torch.get_num_threads() == 2
    assert os.environ["OMP_NUM_THREADS"] == "2"
    code, _, message = invoke("exact", "--size", "2", "--threads", "0")
    assert code == 1
    assert "error: --threads must be a whole number of at least 1" in message
