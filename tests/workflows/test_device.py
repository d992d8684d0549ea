"""The verbs with --device cuda: a run trained there is sampled, estimated and reported there and on the processor."""

import shutil

import pytest
import torch
from support import tiny, verbs

import latticear as la
from latticear.runs.directory import RunDirectory


def _done(*words):
    code, _, errors = verbs.invoke(*words)
    assert code == 0, errors


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["pixelcnn", "multiscale", "tensor_network"])
def test_every_verb(name, tmp_path):
    run, on_device = tmp_path / "run", ["--device", "cuda"]
    sets = [f"model.name={name}", "training.steps=6", "training.checkpoint_every=3", "training.batch_size=32"]
    sets += ["model.bond_dimension=4"] if name == "tensor_network" else []
    options = [word for key in sets for word in ("--set", key)]
    _done("train", "--size", "4", "--temperature", "2.5", "--out", run, *on_device, *options)
    assert RunDirectory(run).latest() is not None
    for device in ("cuda", "cpu"):
        there = ["--device", device]
        _done("sample", run, "-n", "70", "-o", tmp_path / f"{device}.h5", *there)
        if name == "pixelcnn" or device == "cuda":
            _done("estimate", run, "-n", "100", "--method", "is", "--no-check", *there)
    if name == "pixelcnn":
        _done("report", run, *on_device)
    here, found = (la.load_configurations(tmp_path / f"{d}.h5", la.Ising((4, 4))) for d in ("cpu", "cuda"))
    assert here.device.type == found.device.type == "cpu"
    assert (here != found).flatten(1).any(1).sum() <= 2  # in single precision a rounding may change a token


@pytest.mark.gpu
def test_a_training_goes_on_from_a_checkpoint_of_the_other_device(tmp_path):
    begun = tiny.train(tmp_path / "a", "device=cuda")
    shutil.rmtree(RunDirectory(begun).latest())
    shutil.copytree(begun, tmp_path / "b")
    losses = []
    for run, device in ((begun, "cuda"), (tmp_path / "b", "cpu")):
        _done("train", "--out", run, "--resume", "--device", device)
        trainer = RunDirectory(run).load_trainer(RunDirectory(run).latest(), torch.device("cpu"))
        assert trainer["step"] == tiny.STEPS
        losses.append(RunDirectory(run).metrics()[-1]["loss"])
    assert abs(losses[0] - losses[1]) < 1e-3


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["swendsen-wang", "metropolis", "parallel-tempering", "population-annealing"])
def test_monte_carlo(method, tmp_path):
    out, options = tmp_path / "mc.h5", ["--device", "cuda", "--method", method]
    _done("mc", "--size", "4", "--temperature", "3", "-n", "100", "-o", out, *options)
    assert len(la.load_configurations(out, la.Ising((4, 4)))) == 100
