"""Every network with every option on a CUDA device: probabilities, gradients and draws are those of the processor."""

import copy
import inspect

import pytest
import torch
from support import contracts

import latticear as la
from latticear.contracts.tried import conditions_for, random_tokens
from latticear.models import MODELS, AbstractModel

T, SHAPE = 2.0, (3, 3)
FIELD, GLASS = la.Ising(SHAPE, field=0.3), la.EdwardsAndersonDisorder(SHAPE)

OPTIONS = {
    "plain": {},
    "three tokens": {"n_tokens": 3},
    "known neighbours": {"bias": FIELD.bias(T)},
    "symmetric": {"bias": la.Ising(SHAPE).bias(T), "spin_flip_symmetric": True},
    "any temperature": {"bias": FIELD.bias(), "n_condition": 1},
    "condition and map": {"n_condition": 2, "n_condition_maps": 1, "bias": FIELD.bias()},
    "couplings": {"n_condition_maps": 2, "bias": GLASS.bias(T), "spin_flip_symmetric": True},
    "later sites": {"bias": la.Ising(SHAPE).bias(T, bond_dimension=3), "spin_flip_symmetric": True},
    "later sites of three tokens": {"n_tokens": 3, "bias": la.Potts(SHAPE).bias(T, bond_dimension=3)},
    "later sites of couplings": {"n_condition_maps": 2, "bias": GLASS.bias(T, bond_dimension=3)},
    "components": {"n_tokens": 3, "n_components": 2, "bias": la.Components(la.Clock(SHAPE, q=9)).bias(T)},
    "nearest taps": {"taps": "nearest", "spin_flip_symmetric": True},
    "cells": {"cell": (3, 1), "taps": "regular"},
    "a network for each site": {"translation_invariant": False, "bias": la.EdwardsAnderson(SHAPE).bias(T)},
    "dropout": {"dropout": 0.5},
    "single precision": {"single_precision": True, "bias": FIELD.bias(T)},
}
"""What a network may be built with. In "couplings", `multiscale` reads them in the gauge of each site."""


def takes(name: str, options: dict) -> bool:
    """Whether a network has all of these options."""
    if not set(options) <= set(inspect.signature(MODELS[name]).parameters):
        return False
    looks_ahead = "bias" in options and options["bias"].in_raster_order
    if name == "tensor_network":
        return options.get("n_condition", 0) == 0 and (looks_ahead or "n_condition_maps" not in options)
    return not looks_ahead or name == "pixelcnn"  # the sum over later sites knows no network


def build(name: str, what: str) -> AbstractModel:
    """A float64 network with large random weights and these options."""
    return contracts.peaked(MODELS[name](SHAPE, **OPTIONS[what]), 0.5)


CASES = [(name, what) for name in MODELS for what in OPTIONS if takes(name, OPTIONS[what])]


def test_every_option_is_tried():
    assert {name for name, _ in CASES} == set(MODELS)
    assert {what for _, what in CASES} == set(OPTIONS)


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "what"), CASES)
def test_probabilities_and_gradients(name, what):
    model = build(name, what)
    there = copy.deepcopy(model).cuda()
    tokens, condition = random_tokens(model, 6), conditions_for(model, 6)
    on_device = None if condition is None else condition.cuda()
    log_q, found = model.log_prob(tokens, condition), there.log_prob(tokens.cuda(), on_device)
    assert found.device.type == "cuda"
    assert (found.cpu() - log_q).abs().max() < (1e-5 if what == "single precision" else 1e-8)
    assert there.logits(tokens.cuda(), on_device).device.type == "cuda"
    if MODELS[name].has_weights:
        log_q.sum().backward()
        found.sum().backward()
        for mine, other in zip(model.parameters(), there.parameters(), strict=True):
            assert (mine.grad is None) == (other.grad is None)
            assert mine.grad is None or (mine.grad - other.grad.cpu()).abs().max() < 1e-6 * (1 + mine.grad.abs().max())


DRAWN = [(n, w) for n, w in CASES if n in ("pixelcnn", "multiscale", "tensor_network") or w == "plain"]
"""Every network, and every option with each of the three kinds of drawers."""


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "what"), DRAWN)
def test_draws(name, what):
    """What draws on a device, also with sites held fixed, which like conditions may come from the processor."""
    model = build(name, what)
    there, condition = copy.deepcopy(model).cuda(), conditions_for(model, 6)
    given = random_tokens(model, 6)
    held = {"given": given, "where": (given + torch.arange(given.shape[-1])) % 3 == 0}
    for options in ({}, held) if (name, what) == ("pixelcnn", "plain") else (held,):
        here, found = (m.sample(6, seed=1, condition=condition, **options) for m in (model, there))
        assert {t.device.type for t in (found.tokens, found.log_q)} == {"cuda"}
        same = (found.tokens.cpu() == here.tokens).flatten(1).all(1)  # one may differ in single precision, by rounding
        assert same.sum() >= 6 - (what == "single precision")
        close = 1e-5 if what == "single precision" else 1e-8
        assert (found.log_q.cpu() - here.log_q)[same].abs().max() < close
        assert not options or (found.log_q_given.cpu() - here.log_q_given)[same].abs().max() < close


class _Watched(la.PixelCNN):
    """Notes whether PyTorch may compute its convolutions in TF32."""

    def _logits(self, tokens, condition):
        self.seen = torch.backends.cudnn.allow_tf32
        return super()._logits(tokens, condition)


@pytest.mark.gpu
def test_convolutions_have_all_bits_of_float32(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    model = _Watched((3, 3), width=4, depth=2).cuda()
    model.log_prob(torch.zeros(2, 3, 3, dtype=torch.uint8, device="cuda"))
    assert model.seen is False
    model.seen = None
    model.sample(2, method="reference")
    assert model.seen is False
    assert torch.backends.cudnn.allow_tf32 is True


@pytest.mark.gpu
def test_the_plain_loop():
    model = build("pixelcnn", "condition and map")
    options = {"seed": 1, "method": "reference", "condition": conditions_for(model, 6)}
    here, there = model.sample(6, **options), copy.deepcopy(model).cuda().sample(6, **options)
    assert there.condition.device.type == "cuda"
    assert torch.equal(there.tokens.cpu(), here.tokens)


@pytest.mark.gpu
@pytest.mark.parametrize("name", MODELS)
def test_a_copy_goes_to_the_device_and_back(name):
    model = build(name, "plain")
    back = copy.deepcopy(model).cuda().cpu()
    assert all(part.device.type == "cpu" for part in (*back.parameters(), *back.buffers()))
    tokens = random_tokens(model, 3)
    assert torch.equal(back.log_prob(tokens), model.log_prob(tokens))
    assert ("cuda" in repr(model.cuda())) == MODELS[name].has_weights
