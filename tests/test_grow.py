"""Weights carried from one lattice to the next, and runs that grow."""

import json

import pytest
import tiny
import torch

import latticear as la
from latticear.rundir import RunDirectory, load_model
from latticear.workflows import train_run
from latticear.workflows.grow import grow_run, stages

SETS = [
    "model.name=multiscale",
    "model.width=4",
    "training.steps=6",
    "training.batch_size=8",
    "training.n_monte_carlo=40",
    "training.checkpoint_every=2",
]


def _values(*shape):
    return {"temperature": 2.3, "hamiltonian": {"shape": list(shape)}}


def _stopping(at):
    def report(done, total, text):
        if text.startswith("32x32") and done == at:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((128, 128), [(16, 16), (32, 32), (64, 64), (128, 128)]),
        ((24, 48), [(6, 12), (12, 24), (24, 48)]),
        ((36, 18), [(18, 9), (36, 18)]),
        ((16, 16), [(16, 16)]),
        ((17, 17), [(17, 17)]),
    ],
)
def test_stages(shape, expected):
    assert stages(shape) == expected


def test_a_larger_lattice_draws_its_fine_spins_as_the_smaller_one():
    """The conditionals of a finest face given the same surroundings are the same numbers."""
    small, large = (
        la.MultiscalePixelCNN((s, s), width=4, n_taps=4, spin_flip_symmetric=True).double() for s in (16, 32)
    )
    n = la.transfer_weights(large, small)
    assert n == len(list(large.parameters()))
    tokens = torch.randint(2, (3, 16, 16), generator=torch.Generator().manual_seed(0))
    inside = (slice(None), slice(None), slice(4, 12), slice(4, 12))
    assert torch.equal(small.logits(tokens)[inside], large.logits(tokens.repeat(1, 2, 2))[inside])


def test_a_new_level_begins_as_the_next_finer_one():
    small, large = (la.MultiscalePixelCNN((s, s), width=4) for s in (8, 16))
    la.transfer_weights(large, small)
    new, old = (dict(m.named_parameters()) for m in (large, small))
    assert torch.equal(new["phases.3_face0.network.layers.0.weight"], old["phases.2_face0.network.layers.0.weight"])
    assert torch.equal(new["phases.0_edge3.network.weight"], old["phases.0_edge3.network.weight"])


def test_weights_that_do_not_fit():
    model = la.MultiscalePixelCNN((4, 4), width=4)
    with pytest.raises(ValueError, match="weights go from one multiscale with 2 tokens to another, got a pixelcnn"):
        la.transfer_weights(model, la.PixelCNN((4, 4)))
    with pytest.raises(ValueError, match="got a multiscale with 3"):
        la.transfer_weights(model, la.MultiscalePixelCNN((4, 4), 3, width=4))
    with pytest.raises(ValueError, match=r"the weights do not fit: .* has size .*4.* and .*5.* there"):
        la.transfer_weights(
            la.MultiscalePixelCNN((4, 4), width=4, spin_flip_symmetric=True),
            la.MultiscalePixelCNN((4, 4), width=5, spin_flip_symmetric=True),
        )


def test_a_run_begins_with_the_weights_and_the_config_of_another(tmp_path):
    source = tiny.train(tmp_path / "source")
    train_run(
        tmp_path / "next",
        None,
        ["training.learning_rate=1e-12", "training.ema_decay=0"],
        {"temperature": 3.0},
        resume=False,
        report=tiny.silent,
        source=source,
    )
    old, new = load_model(source), load_model(tmp_path / "next")
    assert all((a - b).abs().max() < 1e-6 for a, b in zip(old.parameters(), new.parameters(), strict=True))
    assert new.bias.temperature == 3.0
    origin = RunDirectory(tmp_path / "next").read_json("environment.json")["from"]
    assert origin == {"run": str(source), "checkpoint": "step-12"}


def test_a_run_that_is_stopped_before_its_first_checkpoint_takes_the_weights_again(tmp_path):
    def stop(done, total, text):
        raise KeyboardInterrupt

    source = tiny.train(tmp_path / "source")
    options = {"config_path": None, "overrides": (), "values": {"temperature": 3.0}}
    train_run(tmp_path / "whole", **options, resume=False, report=tiny.silent, source=source)
    with pytest.raises(KeyboardInterrupt):
        train_run(tmp_path / "cut", **options, resume=False, report=stop, source=source)
    tiny_again = {"config_path": None, "overrides": (), "values": {}}
    assert train_run(tmp_path / "cut", **tiny_again, resume=True, report=tiny.silent)
    assert tiny.content(tmp_path / "cut") == tiny.content(tmp_path / "whole")


def test_growing_and_going_on(tmp_path):
    """Each stage begins with the weights of the one before; what was stopped goes on to the same end."""
    options = {"config_path": None, "overrides": SETS, "values": _values(32, 32)}
    assert grow_run(tmp_path / "run", **options, resume=False, report=tiny.silent)
    small = tmp_path / "run-16x16"
    origin = json.loads((tmp_path / "run" / "environment.json").read_text())["from"]
    assert origin["run"] == str(small)
    assert load_model(small).shape == (16, 16)
    assert load_model(tmp_path / "run").shape == (32, 32)
    with pytest.raises(FileExistsError, match="run-16x16 already exists; continue with --resume"):
        grow_run(tmp_path / "run", **options, resume=False, report=tiny.silent)
    with pytest.raises(KeyboardInterrupt):
        grow_run(tmp_path / "cut", **options, resume=False, report=_stopping(3))
    assert grow_run(tmp_path / "cut", **options, resume=True, report=tiny.silent)
    assert tiny.content(tmp_path / "cut") == tiny.content(tmp_path / "run")
