"""One thread per test process: the suite runs in parallel, and results must not depend on the number of cores."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import shutil

import forks
import matplotlib
import pytest
import tiny
import torch

torch.set_num_threads(1)
matplotlib.use("agg")


@pytest.fixture(scope="module")
def server():
    with forks.Server() as running:
        yield running


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.monte_carlo(tmp_path_factory.mktemp("data") / "mc.h5")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny.train(tmp_path_factory.mktemp("run") / "a")


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run, tmp_path / "copy")
