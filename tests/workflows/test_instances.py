"""Runs with couplings of the user: tensor networks for any, and networks for all fine-tuned to one."""

import json

import h5py
import numpy as np
import pytest
import torch
from support.verbs import refusal, succeed

import latticear as la
from latticear.exact import exact_result
from latticear.targets import InstanceTarget
from latticear.workflows.words import estimate_command

GLASSES = la.EdwardsAndersonDisorder((4, 4), seed=9).draw(3)
T = 1.2


def _glass(k: int, **options) -> la.EdwardsAnderson:
    return la.EdwardsAnderson((4, 4), GLASSES[k].tolist(), **options)


def _train(out, *words, name="edwards_anderson", model="tensor_network"):
    of = ["--size", "4", "--hamiltonian", name, "--temperature", T, "--model", model]
    succeed("train", *of, *(word for key in words for word in ("--set", key)), "--out", out)
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("instances")
    with h5py.File(path / "glass.h5", "w") as h5:
        h5["couplings"] = GLASSES
    with h5py.File(path / "other.h5", "w") as h5:
        h5["couplings"] = np.ones((2, 3, 3))
    _train(path / "tn", "model.bond_dimension=3")
    network = ["model.width=8", "model.depth=2", "model.bond_dimension=2", "training.steps=3", "training.batch_size=32"]
    _train(path / "all", *network, name="edwards_anderson_disorder", model="pixelcnn")
    return path


def test_a_tensor_network_is_for_any_couplings(folder):
    run, glass = folder / "tn", folder / "glass.h5"
    own = json.loads(succeed("estimate", run, "-n", "300", "--json"))
    stored = (run / "estimates.json").read_text()
    words = ("estimate", run, "--instance", glass, "--index", "2")
    found = json.loads(succeed(*words, "-n", "300", "--json"))
    exact = exact_result(_glass(2), T)
    assert found["log_z"]["exact"] == pytest.approx(exact.log_z, rel=1e-12)
    assert abs(found["log_z"]["value"] - exact.log_z) < 5 * found["log_z"]["error"]
    assert own["log_z"]["exact"] != pytest.approx(exact.log_z, rel=1e-3)
    assert (run / "estimates.json").read_text() == stored
    (kept,) = (run / "instances").iterdir()
    content = json.loads(kept.read_text())
    assert content["log_z"] == found["log_z"]
    assert content["instance"] == {"path": str(glass.resolve()), "index": 2}
    text = " ".join(succeed(*words, "-n", "200").split())
    assert f"instances/{kept.name} had estimates from 300 samples, these from 200 replace them" in text
    succeed("estimate", run, "--instance", glass, "-n", "200")
    assert len(list((run / "instances").iterdir())) == 2


def test_its_samples_are_those_of_a_tensor_network_for_these_couplings(folder):
    out = folder / "samples.h5"
    succeed("sample", folder / "tn", "--instance", folder / "glass.h5", "--index", "1", "-n", "40", "-o", out)
    model = la.TensorNetwork((4, 4), bias=_glass(1).bias(T), bond_dimension=3)
    assert torch.equal(la.load_configurations(out, _glass(1)), model.sample(40, seed=0).tokens)


def test_a_list_of_bonds_is_taken_too(folder, tmp_path):
    """Also by a pair Hamiltonian, whose bonds are replaced together with their couplings."""
    glass = la.EdwardsAnderson((4, 4), GLASSES[0].tolist(), periodic=False)
    rows = torch.cat([glass.bonds.double(), -glass.bond_energies[:, 1, 1, None]], 1)
    np.savetxt(tmp_path / "bonds.txt", rows.numpy())
    keys = ["model.bond_dimension=64", "hamiltonian.periodic=false"]
    of_pair = [*keys, "hamiltonian.bonds=[[0,1],[1,2]]"]
    for name, own in (("edwards_anderson", keys), ("pair", of_pair)):
        run = _train(tmp_path / name, *own, name=name)
        found = json.loads(succeed("estimate", run, "--instance", tmp_path / "bonds.txt", "-n", "100", "--json"))
        assert found["log_z"]["value"] == pytest.approx(exact_result(glass, T).log_z, rel=1e-6)


def test_what_a_tensor_network_refuses(folder, tmp_path):
    run, glass = folder / "tn", folder / "glass.h5"
    assert "holds instances 0..2, got 3" in refusal("estimate", run, "--instance", glass, "--index", "3")
    assert "must hold numbers of shape (2, 4, 4)" in refusal("estimate", run, "--instance", folder / "other.h5")
    assert "No such file" in refusal("sample", run, "--instance", folder / "no.h5", "-o", tmp_path / "x.h5")
    ising = _train(tmp_path / "ising", "model.bond_dimension=2", name="ising")
    assert "this run is for ising: leave it out" in refusal("estimate", ising, "--instance", glass)


def test_a_tensor_network_for_the_disorder(folder, tmp_path):
    run = _train(tmp_path / "run", "model.bond_dimension=3", name="edwards_anderson_disorder")
    words = ("--instance", folder / "glass.h5", "--index", "2", "-n", "300", "--json")
    one, other = (json.loads(succeed("estimate", path, *words)) for path in (run, folder / "tn"))
    assert one["log_z"]["value"] == pytest.approx(other["log_z"]["value"], rel=1e-9)


def test_a_network_for_all_begins_as_the_tensor_network(folder):
    model = la.load_run(folder / "all").model
    disorder = la.EdwardsAndersonDisorder((4, 4))
    fresh = la.default_model(la.targets.DisorderTarget(disorder, T), name="pixelcnn", bond_dimension=2)
    network = la.TensorNetwork((4, 4), bias=disorder.bias(T), bond_dimension=2, n_condition_maps=2)
    condition = model.condition_of(maps=GLASSES).repeat_interleave(4, 0)
    tokens = network.sample(12, condition=condition).tokens
    assert torch.allclose(fresh.log_prob(tokens, condition), network.log_prob(tokens, condition), atol=1e-6)
    assert not torch.allclose(model.log_prob(tokens, condition), network.log_prob(tokens, condition), atol=1e-4)


def test_fine_tuned_to_one_instance(folder):
    run, out = folder / "all", folder / "one"
    words = ("train", "--from", run, "--instance", folder / "glass.h5", "--steps", "4", "--out", out)
    succeed(*words, "--index", "1")
    one = la.load_run(out)
    assert isinstance(one.target, InstanceTarget)
    assert torch.equal(one.hamiltonian.maps, GLASSES[1])
    assert (one.config.training["anneal"], one.config.training["steps"], one.temperature) == (0.0, 4, T)
    assert one.environment["from"]["run"] == str(run.resolve())
    found = json.loads(succeed("estimate", out, "-n", "300", "--json"))
    assert found["log_z"]["exact"] == pytest.approx(exact_result(_glass(1), T).log_z, rel=1e-12)
    estimates = la.estimate(one.samples(300), one.hamiltonian, one.temperature)
    assert estimates["log_z"].value == pytest.approx(found["log_z"]["value"], rel=1e-9)
    assert estimate_command(out, one.config.to_dict()) == f"latticear estimate {out}"
    assert "finished" in succeed(*words, "--index", "1", "--resume")
    changed = refusal(*words, "--resume", "--index", "2")
    assert "--resume continues a run as it was: hamiltonian.couplings_digest" in changed
    again = la.train(source=out, instance=(folder / "glass.h5", 2), steps=1, progress=False)
    assert torch.equal(again.hamiltonian.maps, GLASSES[2])
    assert "this run is for one system" in refusal("estimate", out, "--instance", folder / "glass.h5")


def test_it_begins_with_the_weights_of_the_source(folder):
    """A single step of a tiny rate: the probabilities are those of the source, given the couplings."""
    options = {"steps": 1, "learning_rate": 1e-12, "ema_decay": 0.0, "progress": False}
    one = la.train(source=folder / "all", instance=folder / "glass.h5", **options)
    tokens, every = one.samples(20).tokens, la.load_run(folder / "all").model
    condition = every.condition_of(maps=GLASSES[:1])[0]
    assert torch.allclose(one.model.log_prob(tokens, condition), every.log_prob(tokens, condition), atol=1e-6)


def test_what_fine_tuning_refuses(folder, tmp_path):
    glass, out = folder / "glass.h5", tmp_path / "new"
    words = ("train", "--instance", glass, "--out", out)
    assert "--instance goes with --from RUN" in refusal(*words)
    assert "fine-tunes a network for all couplings" in refusal(*words, "--from", folder / "tn")
    assert "must hold numbers of shape (2, 4, 4)" in refusal(
        "train", "--from", folder / "all", "--instance", folder / "other.h5", "--out", out
    )
    assert "leave out --grow" in refusal(*words, "--grow")
    config = folder / "all" / "run.toml"
    assert f"leave {config} out" in refusal("train", config, *words[1:], "--from", folder / "all")
    with pytest.raises(ValueError, match="instance must be a file of couplings or"):
        la.train(out, source=folder / "all", instance=3)
    assert not out.exists()
