"""Weights carried from one lattice to the next, and runs that grow."""

import json
import shutil

import pytest
import torch
from support import tiny

import latticear as la
from latticear.runs.config import parse_config
from latticear.runs.directory import RunDirectory, load_model
from latticear.runs.trees import config_tree
from latticear.workflows import train_run
from latticear.workflows.grow import grow_run, stages
from latticear.workflows.train import config_of

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
    ("shape", "cell", "expected"),
    [
        ((128, 128), (1, 1), [(16, 16), (32, 32), (64, 64), (128, 128)]),
        ((24, 48), (1, 1), [(6, 12), (12, 24), (24, 48)]),
        ((36, 18), (1, 1), [(18, 9), (36, 18)]),
        ((16, 16), (1, 1), [(16, 16)]),
        ((17, 17), (1, 1), [(17, 17)]),
        ((64, 64), (2, 2), [(16, 16), (32, 32), (64, 64)]),
        ((68, 68), (2, 2), [(34, 34), (68, 68)]),
        ((34, 34), (2, 2), [(34, 34)]),
        ((36, 36), (3, 3), [(9, 9), (18, 18), (36, 36)]),
    ],
)
def test_stages(shape, cell, expected):
    assert stages(shape, cell) == expected


def test_no_stage_has_a_part_of_a_unit_cell(tmp_path):
    """17x17 has no cell of four sites: its weights would be refused once they are trained."""
    values = _values(34, 34)
    values["hamiltonian"]["next_nearest"] = -0.6
    with pytest.raises(
        ValueError, match=r"whose half consists of whole unit cells of 2x2, got 34x34; leave it out, or set"
    ):
        grow_run(tmp_path / "run", None, SETS, values, resume=False, report=tiny.silent)
    assert not list(tmp_path.iterdir())


def test_a_larger_lattice_draws_its_fine_spins_as_the_smaller_one():
    """The conditionals of a finest face given the same surroundings are the same numbers, to rounding."""
    small, large = (
        la.MultiscalePixelCNN((s, s), width=4, n_taps=4, spin_flip_symmetric=True).double() for s in (16, 32)
    )
    n = la.transfer_weights(large, small)
    assert n == len(list(large.parameters()))
    tokens = torch.randint(2, (3, 16, 16), generator=torch.Generator().manual_seed(0))
    inside = (slice(None), slice(None), slice(4, 12), slice(4, 12))
    with torch.no_grad():
        here, there = (m.logits(t)[inside] for m, t in ((small, tokens), (large, tokens.repeat(1, 2, 2))))
    assert here.std() > 0.01
    assert (here - there).abs().max() < 1e-12


def test_a_new_level_begins_as_the_next_finer_one():
    small, large = (la.MultiscalePixelCNN((s, s), width=4) for s in (8, 16))
    la.transfer_weights(large, small)
    new, old = (dict(m.named_parameters()) for m in (large, small))
    assert torch.equal(new["phases.3_face0.network.layers.0.weight"], old["phases.2_face0.network.layers.0.weight"])
    assert torch.equal(new["phases.0_edge3.network.weight"], old["phases.0_edge3.network.weight"])


def test_weights_that_do_not_fit():
    model = la.MultiscalePixelCNN((4, 4), width=4)
    with pytest.raises(ValueError, match="a multiscale with 2 tokens takes weights only from another, got a pixelcnn"):
        la.transfer_weights(model, la.PixelCNN((4, 4)))
    with pytest.raises(ValueError, match="got a multiscale with 3"):
        la.transfer_weights(model, la.MultiscalePixelCNN((4, 4), 3, width=4))
    with pytest.raises(ValueError, match=r"the weights do not fit: width is 4 in the model and 5 in the source"):
        la.transfer_weights(
            la.MultiscalePixelCNN((4, 4), width=4, spin_flip_symmetric=True),
            la.MultiscalePixelCNN((4, 4), width=5, spin_flip_symmetric=True),
        )


def test_options_of_the_network_must_agree():
    source = la.MultiscalePixelCNN((4, 4), width=4, depth=3)
    with pytest.raises(ValueError, match="depth is 2 in the model and 3 in the source"):
        la.transfer_weights(la.MultiscalePixelCNN((4, 4), width=4), source)


@pytest.mark.parametrize("compiled", [True, False])
def test_weights_that_change_before_the_backward_pass(compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr(la.MultiscalePixelCNN, "kernels", lambda self: None)
    model = la.MultiscalePixelCNN((4, 4), width=4)
    log_q = model.log_prob(torch.zeros(3, 4, 4, dtype=torch.long)).sum()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        log_q.backward()


@pytest.mark.parametrize(
    ("first", "change", "found"),
    [
        ({}, {"hamiltonian": {"periodic": False}}, {"periodic": (False, False)}),
        ({"hamiltonian": {"field": 0.1}}, {"hamiltonian": {"field": 0.0}}, {"spin_flip_symmetric": True}),
        ({}, {"temperature": "2:3"}, {"n_condition": 1}),
        ({"temperature": "2:3"}, {"temperature": 2.5}, {"n_condition": 0}),
    ],
)
def test_what_follows_from_the_system_follows_anew(tmp_path, first, change, found):
    sets = [*SETS, "training.batch_size=16", "training.steps=1"]
    options = {"config_path": None, "overrides": sets, "resume": False, "report": tiny.silent}
    train_run(tmp_path / "a", values=_values(4, 4) | _merged(first), **options)
    config = parse_config(config_tree(None, (), change, config_of(tmp_path / "a")))
    assert {key: config.model[key] for key in found} == found
    assert config.training["objective"] == ("reverse-kl" if "2:3" in str(change) else "forward-reverse-kl")


def test_what_a_config_says_of_the_boundaries_stays(tmp_path):
    sets = [*SETS, "training.batch_size=16", "training.steps=1", "model.periodic=true"]
    train_run(tmp_path / "a", None, sets, _values(4, 4), resume=False, report=tiny.silent)
    assert config_of(tmp_path / "a")["model"]["periodic"] is True
    with pytest.raises(ValueError, match=r"\[model\] must be a section of keys, got 3"):
        train_run(tmp_path / "b", None, ["model=3"], {}, resume=False, report=tiny.silent, source=tmp_path / "a")


def _merged(first):
    return {k: {"shape": [4, 4], **v} if isinstance(v, dict) else v for k, v in first.items()}


def test_a_resumed_run_keeps_its_origin(tmp_path):
    source, other = tiny.train(tmp_path / "source"), tiny.train(tmp_path / "other")
    options = {"config_path": None, "overrides": (), "values": {"temperature": 3.0}, "report": tiny.silent}
    train_run(tmp_path / "run", **options, resume=False, source=source)
    assert train_run(tmp_path / "run", **options, resume=True, source=source)
    with pytest.raises(ValueError, match=r"run began with the weights of .*source, got --from .*other"):
        train_run(tmp_path / "run", **options, resume=True, source=other)


def test_stages_are_of_one_network_and_one_system(tmp_path):
    """Also where the first lattice is so small that another network would be its default."""
    sets = [text for text in SETS if "name" not in text]
    options = {"config_path": None, "overrides": sets, "values": _values(18, 18)}
    assert grow_run(tmp_path / "run", **options, resume=False, report=tiny.silent)
    assert load_model(tmp_path / "run-9x9").name == "multiscale"
    with pytest.raises(ValueError, match=r"temperature is 2\.3 there, got 5"):
        grow_run(
            tmp_path / "run",
            **options | {"values": _values(18, 18) | {"temperature": 5.0}},
            resume=True,
            report=tiny.silent,
        )
    shutil.rmtree(tmp_path / "run-9x9")
    assert grow_run(tmp_path / "run", **options, resume=True, report=tiny.silent)
    assert not (tmp_path / "run-9x9").exists()  # the last stage is finished: nothing needs it
    for change, message in (
        ("model.name=pixelcnn", r"model\.name multiscale, got pixelcnn"),
        ("hamiltonian.name=edwards_anderson", "--grow needs the same couplings everywhere"),
    ):
        with pytest.raises(ValueError, match=message):
            grow_run(tmp_path / "p", **options | {"overrides": [change]}, resume=False, report=tiny.silent)


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
    with pytest.raises(FileExistsError, match="run already exists; continue it with --resume"):
        grow_run(tmp_path / "run", **options, resume=False, report=tiny.silent)
    shutil.move(tmp_path / "run", tmp_path / "moved")
    with pytest.raises(FileExistsError, match="run-16x16 already exists; continue with --resume"):
        grow_run(tmp_path / "run", **options, resume=False, report=tiny.silent)
    shutil.move(tmp_path / "moved", tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        grow_run(tmp_path / "cut", **options, resume=False, report=_stopping(3))
    assert grow_run(tmp_path / "cut", **options, resume=True, report=tiny.silent)
    assert tiny.content(tmp_path / "cut") == tiny.content(tmp_path / "run")
