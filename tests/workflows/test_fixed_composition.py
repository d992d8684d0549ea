"""Runs at fixed composition, by the command line and from a program."""

import json
import re

import h5py
import numpy as np
import pytest
import torch
from support import tiny
from support.verbs import invoke, refusal, succeed

import latticear as la
from latticear.exact import enumerate_states
from latticear.hamiltonians import hamiltonian_from_dict
from latticear.runs.config import build_model, load_config, parse_config, to_toml

FIXED = "hamiltonian.magnetization=0.25"
COMPOSITION = (6, 10)
SYSTEM = la.FixedComposition(la.Ising((4, 4)), COMPOSITION)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny.train(tmp_path_factory.mktemp("fixed") / "run", FIXED)


def inside(spins: np.ndarray) -> bool:
    return bool((spins.reshape(len(spins), -1).sum(1) == 4).all())


def test_all_verbs_keep_it(run, tmp_path):
    estimates = json.loads(succeed("estimate", run, "-n", 400, "--json"))
    exact = enumerate_states(SYSTEM, tiny.TEMPERATURE)
    assert estimates["log_z"]["exact"] == pytest.approx(exact.log_z, rel=1e-12)
    assert abs(estimates["log_z"]["value"] - exact.log_z) < 4 * estimates["log_z"]["error"]
    assert estimates["abs_magnetization"] | {"reasons": []} == {
        "value": 0.25,
        "error": 0.0,
        "exact": 0.25,
        "fixed": True,
        "verdict": "trusted",
        "reasons": [],
    }
    succeed("sample", run, "-n", 30, "-o", tmp_path / "s.h5")
    succeed("sample", run, "-n", 50, "-o", tmp_path / "s.h5", "--append")
    with h5py.File(tmp_path / "s.h5") as file:
        assert inside(file["spins"][()])
        assert json.loads(file.attrs["hamiltonian"])["composition"] == [6, 10]
        log_q = file["log_q"][()]
    loaded = la.load_run(run)
    assert loaded.hamiltonian.composition == COMPOSITION
    tokens = la.load_configurations(tmp_path / "s.h5", loaded.hamiltonian)
    with torch.no_grad():
        torch.testing.assert_close(loaded.model.log_prob(tokens), torch.from_numpy(log_q), rtol=0, atol=1e-4)
    assert "ising 4x4, periodic, magnetization fixed at 0.25" in succeed("info", run)
    assert "composition fixed at 6:10" in succeed("info", tmp_path / "s.h5")
    assert la.check_run(run, n=400).reliable


def test_a_resumed_run_is_the_same(run, tmp_path):
    def stop(done: int, total: int, text: str) -> None:
        if done == tiny.STEPS // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny.train(tmp_path / "run", FIXED, report=stop)
    tiny.train(tmp_path / "run", FIXED, resume=True)
    assert tiny.content(tmp_path / "run") == tiny.content(run)


def test_data_are_exchanges_or_must_have_the_composition(tmp_path):
    sets = ("training.objective=forward-kl", "training.n_monte_carlo=300", "training.steps=4")
    tiny.train(tmp_path / "drawn", FIXED, *sets)
    heated = ("training.objective=forward-reverse-kl", "training.heated_share=0.5", "training.n_monte_carlo=300")
    tiny.train(tmp_path / "heated", FIXED, *heated)
    succeed("mc", "--size", 4, "--temperature", tiny.TEMPERATURE, "--set", FIXED, "-n", 300, "-o", tmp_path / "mc.h5")
    assert inside(h5py.File(tmp_path / "mc.h5")["spins"][()])
    tiny.train(tmp_path / "data", FIXED, *tiny.forward(tmp_path / "mc.h5"))
    free = np.ones((300, 4, 4), dtype=np.int8)
    np.save(tmp_path / "free.npy", free)
    with pytest.raises(ValueError, match=r"the data must have the composition \(6, 10\), got \(0, 16\) in config"):
        tiny.train(tmp_path / "other", FIXED, *tiny.forward(tmp_path / "free.npy"))
    whole = tiny.monte_carlo(tmp_path / "whole.h5")
    with pytest.raises(ValueError, match="configurations of another Hamiltonian: composition"):
        tiny.train(tmp_path / "other", FIXED, *tiny.forward(whole))


def test_a_range_of_temperatures(tmp_path):
    out = tmp_path / "range"
    tiny.train(out, "hamiltonian.composition=[6, 10]", "temperature=[2.0, 3.0]")
    found = json.loads(succeed("estimate", out, "-n", 200, "--temperature", "2.5", "--json"))["log_z"]
    assert abs(found["value"] - found["exact"]) < 5 * found["error"]


def test_a_program_trains_and_saves(tmp_path):
    system = la.FixedComposition(la.BlumeCapel((3, 3), crystal_field=0.4), (2, 3, 4))
    model = la.PixelCNN((3, 3), 3, width=4, depth=2, bias=system.bias(1.5), composition=system.composition)
    for _ in la.fit(model, system, temperature=1.5, objective="reverse-kl", steps=3, batch_size=32):
        pass
    saved = la.save_run(tmp_path / "run", model, system, 1.5)
    assert la.load_run(tmp_path / "run").hamiltonian.composition == (2, 3, 4)
    assert la.load_run(tmp_path / "run").model.composition == (2, 3, 4)
    assert saved is not None


def test_configs_state_it_once():
    for how in (FIXED, "hamiltonian.composition=[6, 10]"):
        config = load_config(None, [how], tiny.VALUES)
        assert config.model["name"] == "pixelcnn"
        assert config.model["composition"] == COMPOSITION
        assert config.model["spin_flip_symmetric"] is False
        assert parse_config(config.to_dict()) == config
        assert hamiltonian_from_dict(config.target.space.to_dict()).composition == COMPOSITION
        assert build_model(config).composition == COMPOSITION
    assert "composition" not in to_toml(load_config(None, ["model.name=pixelcnn"], tiny.VALUES))
    symmetric = load_config(None, ["hamiltonian.magnetization=0"], tiny.VALUES)
    assert symmetric.model["spin_flip_symmetric"] is True


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["hamiltonian.composition=[6, 9]"], r"with the sum 16, got \(6, 9\) with the sum 15"),
        (["hamiltonian.magnetization=0.3"], "comes in steps of 0.125: take 0.25 or 0.375, got 0.3"),
        (["hamiltonian.magnetization=2"], "magnetization must lie in -1 to 1, got 2"),
        ([FIXED, "hamiltonian.composition=[6, 10]"], "give composition or magnetization, and not both"),
        (["hamiltonian.name=blume_capel", FIXED], "magnetization is for a system of two states, got 3 states"),
        ([FIXED, "model.name=multiscale"], "multiscale cannot keep a composition"),
        ([FIXED, "model.spin_flip_symmetric=true"], "does not have that symmetry"),
        (["model.composition=[8, 8]"], "model.composition follows from that of the system: give hamiltonian.comp"),
        (["hamiltonian.name=edwards_anderson_disorder", FIXED], "a composition is that of one system"),
    ],
)
def test_what_does_not_add_up_is_refused(tmp_path, sets, message):
    words = [word for key in sets for word in ("--set", key)]
    line = refusal("train", "--size", 4, "--temperature", 2.0, "--out", tmp_path / "run", *words)
    assert re.search(message, line)


def test_a_model_and_a_system_that_differ_are_refused():
    model = la.PixelCNN((4, 4), composition=(8, 8))
    with pytest.raises(ValueError, match=r"the system has the composition \(6, 10\), the model keeps \(8, 8\): build"):
        la.fit(model, SYSTEM, temperature=2.0)
    with pytest.raises(ValueError, match=r"the model leaves it free: build the model with composition=\(6, 10\)"):
        la.fit(la.PixelCNN((4, 4)), SYSTEM, temperature=2.0)
    with pytest.raises(ValueError, match=r"train it for la.FixedComposition\(system, \(8, 8\)\)"):
        la.fit(model, la.Ising((4, 4)), temperature=2.0)
    with pytest.raises(ValueError, match="a Grid has none"):
        la.fit(model, la.Grid((4, 4), 2), data=np.zeros((10, 4, 4), dtype=int))


def test_exact_results_are_those_of_the_composition():
    found = json.loads(succeed("exact", "--size", 4, "--temperature", 2.0, "--set", FIXED, "--json"))
    assert found["log_z"] == pytest.approx(enumerate_states(SYSTEM, 2.0).log_z)
    assert "at fixed composition a small lattice can be summed" in refusal(
        "exact", "--size", 32, "--temperature", 2.0, "--set", "hamiltonian.magnetization=0"
    )
    code, _, error = invoke("mc", "--size", 4, "--temperature", 2, "--set", FIXED, "-o", "x.h5", "--method", "wolff")
    assert (code, "wolff does not keep a fixed composition" in error) == (1, True)
