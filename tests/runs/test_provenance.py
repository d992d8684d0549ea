"""What a result says of its origin."""

import hashlib
import json
import sys
from importlib.metadata import version

import torch

import latticear as la
from latticear.data.fingerprint import fingerprint_of
from latticear.runs.provenance import command, environment, fingerprint


def test_environment_is_json_with_versions_and_command(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["latticear", "train", "--out", "a run"])
    found = environment(torch.device("cpu"))
    assert json.loads(json.dumps(found)) == found
    assert found["command"] == command() == "latticear train --out 'a run'"
    assert found["versions"]["latticear"] == la.__version__
    assert found["versions"]["torch"] == version("torch")
    assert found["threads"] == 1


def test_fingerprint_names_the_weights():
    model = la.PixelCNN((3, 3), width=4, depth=1)
    before = fingerprint(model)
    assert fingerprint(model) == before
    assert len(before) == 16
    with torch.no_grad():
        model.head.bias[0] += 1e-6
    assert fingerprint(model) != before


def test_fingerprint_names_what_tensors_hold():
    tokens, condition = torch.arange(6).view(2, 3), torch.ones(2)
    found = fingerprint_of(tokens, condition)
    # sha256 of the bytes, one tensor after the other: environment.json and files of version 0.1.0 hold such names
    assert found == hashlib.sha256(tokens.numpy().tobytes() + condition.numpy().tobytes()).hexdigest()[:16]
    assert fingerprint_of(tokens, None) == fingerprint_of(tokens) != found
    assert fingerprint_of(tokens.flip(0), condition) != found
