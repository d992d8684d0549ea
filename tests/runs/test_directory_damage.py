"""Damaged run directories are refused by name, and nothing that is loaded is executed."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support import tiny
from support.rundirs import CPU, save_step, small_model, without_sums

import latticear as la
from latticear.checksums import ChangedFileWarning, DamagedError
from latticear.data import load_configurations
from latticear.runs.config import load_config, stored_config, to_toml
from latticear.runs.directory import RunDirectory, load_model


@pytest.fixture
def run(tmp_path):
    return RunDirectory.create(tmp_path / "run", "seed = 0\n", {"command": "train"})


@pytest.mark.parametrize("keep", [0, 1, 8, 100, -1])
def test_cut_files_are_refused_by_name(run, keep):
    save_step(run, 0)
    checkpoint = without_sums(save_step(run, 1))
    for name in ("model.safetensors", "trainer.pt"):
        file = checkpoint / name
        file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"model\.safetensors is not a readable checkpoint"):
        load_model(run.path)
    with pytest.raises(ValueError, match=r"trainer\.pt cannot be read .*; remove .*step-1 to resume from an earlier"):
        run.load_trainer(checkpoint, CPU)


def test_garbage_is_refused(run):
    checkpoint = without_sums(save_step(run, 1))
    for name in ("model.safetensors", "trainer.pt"):
        (checkpoint / name).write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(ValueError, match="is not a readable checkpoint"):
        load_model(run.path)
    with pytest.raises(ValueError, match="cannot be read"):
        run.load_trainer(checkpoint, CPU)
    for name in ("model.safetensors", "trainer.pt"):
        (checkpoint / name).unlink()
    with pytest.raises(ValueError, match="was saved without the state of its training"):
        run.load_trainer(checkpoint, CPU)
    with pytest.raises(ValueError, match="is not a readable checkpoint"):
        load_model(run.path)


def _rewrite(run: RunDirectory, weights=None, **metadata: str) -> None:
    model = small_model(1)
    path = without_sums(save_step(run, 1)) / "model.safetensors"
    save_file(weights or model.state_dict(), path, metadata={"model": json.dumps(model.to_dict())} | metadata)


@pytest.mark.parametrize(
    "text",
    ["", "{", "5", "[]", "null", '"pixelcnn"', "{}", '{"name": "pixelcnn"}', '{"name": "transformer"}']
    + [
        json.dumps(small_model().to_dict() | change)
        for change in (
            {"heads": 2},
            {"width": "4"},
            {"width": -4},
            {"shape": 3},
            {"shape": [3, 4, 5]},
            {"bias": 5},
            {"bias": {"temperature": 2.0}},
            {"bias": {"hamiltonian": {"name": "potts"}, "temperature": 2.0}},
            {"bias": {"hamiltonian": {"name": "ising", "shape": [3, 4]}, "temperature": -1}},
        )
    ],
)
def test_a_description_that_makes_no_network_is_refused(run, text):
    _rewrite(run, model=text)
    with pytest.raises(ValueError, match=r"model\.safetensors (does not describe a|is not a readable)"):
        load_model(run.path)


def test_weights_of_another_shape_are_refused(run):
    for other in (small_model(shape=(4, 3), width=5), small_model(width=8), torch.nn.Linear(2, 3)):
        _rewrite(run, weights=other.state_dict())
        with pytest.raises(ValueError, match=r"the weights in .*model\.safetensors do not fit the pixelcnn"):
            load_model(run.path)


def test_safetensors_of_other_programs_are_refused(run):
    path = without_sums(save_step(run, 1)) / "model.safetensors"
    save_file({"weight": torch.ones(3)}, path)
    with pytest.raises(ValueError, match="is not a readable checkpoint"):
        load_model(run.path)


class _Payload:
    """A pickle that would make a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_nothing_that_is_loaded_is_executed(run, tmp_path):
    target = tmp_path / "executed"
    checkpoint = without_sums(save_step(run, 1))
    plain = pickle.dumps(_Payload(target))
    zipped = tmp_path / "zipped.pt"
    torch.save({"step": 1, "model": _Payload(target)}, zipped)
    for content in (plain, zipped.read_bytes()):
        for name in ("model.safetensors", "trainer.pt"):
            (checkpoint / name).write_bytes(content)
        with pytest.raises(ValueError, match=r"\(damaged, or not written by latticear\)"):
            run.load_trainer(checkpoint, CPU)
        with pytest.raises(ValueError, match="is not a readable checkpoint"):
            load_model(run.path)
    objects = np.empty(2, dtype=object)
    objects[0] = _Payload(target)
    np.save(tmp_path / "spins.npy", objects, allow_pickle=True)
    (tmp_path / "plain.npy").write_bytes(plain)
    for name in ("spins.npy", "plain.npy"):
        with pytest.raises(ValueError, match=name):
            load_configurations(tmp_path / name, la.Ising((3, 4)))
    assert not target.exists()
    pickle.loads(plain)
    assert target.exists()  # it would have worked


def _flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "what"), [("model.safetensors", "is not a readable"), ("trainer.pt", "cannot be read")]
)
def test_one_changed_bit_is_refused_with_the_checkpoint_that_stands(run, name, what):
    save_step(run, 1)
    last = save_step(run, 2)
    _flip(last / name, -20)
    read = (lambda: load_model(run.path)) if name == "model.safetensors" else (lambda: run.load_trainer(last, CPU))
    standing = f"step-1 stands, and latticear train --out {run.path} --resume goes on from there"
    with pytest.raises(DamagedError, match=rf"{name} {what} .*it has changed since it was written.*{standing}"):
        read()
    _flip(run.path / "checkpoints" / "step-1" / "model.safetensors", -1)
    with pytest.raises(DamagedError, match=r"no checkpoint before it stands: remove .*step-2 and train again"):
        read()
    (last / name).unlink()
    with pytest.raises(DamagedError, match=rf"{name} {what} .*it is missing"):
        read()


def test_a_changed_number_in_json_is_refused_and_replaced(run):
    run.write_json("estimates.json", {"n": 200, "value": -2.1})
    file = run.path / "estimates.json"
    file.write_text(file.read_text().replace("-2.1", "-2.2"))
    with pytest.raises(DamagedError, match=f"estimates.json is damaged .*latticear estimate {run.path}"):
        run.read_json("estimates.json")
    assert run.readable_json("estimates.json") == {}
    run.write_json("estimates.json", {"n": 200, "value": -2.2})
    assert run.read_json("estimates.json") == {"n": 200, "value": -2.2}


def test_a_config_that_has_changed_is_told(tmp_path):
    config = load_config(None, ["training.learning_rate=0.003"], tiny.VALUES)
    file = RunDirectory.create(tmp_path / "run", to_toml(config), {}).config_path
    file.write_text(file.read_text().replace("learning_rate = 0.003", "learning_rate = 0.004"))
    with pytest.warns(ChangedFileWarning, match=r"run\.toml has changed since it was written"):
        assert stored_config(file).training["learning_rate"] == 0.004
    file.write_text("\n".join(file.read_text().splitlines()[1:]))
    assert stored_config(file).training["learning_rate"] == 0.004


def test_a_run_without_its_environment_is_told(run):
    (run.path / "environment.json").unlink()
    with pytest.warns(ChangedFileWarning, match=r"environment\.json is missing"):
        assert run.read_json("environment.json") == {}
