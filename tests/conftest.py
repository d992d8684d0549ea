"""One thread per test process: the suite runs in parallel, and results must not depend on the number of cores."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import gc
import math
import random
import shutil
import signal
from contextlib import nullcontext

import hypothesis
import matplotlib
import pytest
import torch
from support import contracts, forks, tiny
from support.fake_device import fake_device

import latticear as la
from latticear.workflows import line_a_minute

collect_ignore_glob = ["support/*"]  # scripts among them; nothing there is a test

torch.set_num_threads(1)
TOO_SLOW = [hypothesis.HealthCheck.too_slow]  # a busy machine
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None, suppress_health_check=TOO_SLOW)
hypothesis.settings.load_profile("fixed")
matplotlib.use("agg")
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background of a script has ignored
os.fsync = lambda descriptor: None  # a kill loses nothing that was written; waiting for a busy disk took minutes
EVERY = line_a_minute.EVERY


def pytest_addoption(parser):
    help = "run the tests in a random order: modules among each other, and the tests of each"
    parser.addoption("--shuffle", type=int, metavar="SEED", help=help)


def pytest_collection_modifyitems(config, items):
    """The longest first, so that no process waits for another at the end; no test may need another before it."""
    items.sort(key=lambda item: item.path.parent.name != "workflows")
    seed = config.getoption("--shuffle")
    if seed is None:
        return
    rng, modules = random.Random(seed), {}
    for item in items:
        modules.setdefault(item.path, []).append(item)
    parts = [rng.sample(part, len(part)) for part in modules.values()]
    items[:] = [item for part in rng.sample(parts, len(parts)) for item in part]


def pytest_collection_finish():
    """What has been imported stays, and need not be looked through by the garbage collector again and again."""
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """A short command may take minutes on a busy machine: its line is no error, but an example may show one."""
    line_a_minute.EVERY = EVERY if isinstance(item, pytest.DoctestItem) else math.inf
    try:
        return (yield)
    finally:
        line_a_minute.EVERY = EVERY


@pytest.fixture(autouse=True)
def seeded():
    """Every test sees the same random numbers, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def device_for_gpu_tests(request):
    """Tests marked `gpu` run on the CUDA device where there is one, and on a fake one elsewhere."""
    fake = request.node.get_closest_marker("gpu") and not torch.cuda.is_available()
    with fake_device() if fake else nullcontext():
        yield


@pytest.fixture(scope="session")
def server():
    with forks.Server() as running:
        yield running


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """The tiny run and its data, which every module gets a copy of."""
    folder = tmp_path_factory.mktemp("once")
    return tiny.train(folder / "a"), tiny.monte_carlo(folder / "mc.h5")


@pytest.fixture(scope="module")
def data(made_once, tmp_path_factory):
    return shutil.copy(made_once[1], tmp_path_factory.mktemp("data") / "mc.h5")


@pytest.fixture(scope="module")
def run(made_once, tmp_path_factory):
    return shutil.copytree(made_once[0], tmp_path_factory.mktemp("run") / "a")


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run, tmp_path / "copy")


@pytest.fixture(scope="module")
def ising() -> la.Ising:
    """A small system, peaked and without symmetry."""
    return la.Ising((3, 3), field=0.1)


@pytest.fixture(scope="module")
def model(ising) -> la.PixelCNN:
    """For `ising` at T = 2: close enough to the target to weigh well, wrong enough to need the weights."""
    return contracts.peaked(la.PixelCNN((3, 3), 2, width=4, depth=2, kernel_size=3, bias=ising.bias(2.0)), scale=0.4)
