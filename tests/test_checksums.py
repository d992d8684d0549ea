"""Checksums notice any change of content, and no change of format."""

import json
import subprocess

import pytest

from latticear.checksums import (
    DamagedError,
    digest,
    json_bytes,
    missing_or_changed,
    read_json,
    read_sums,
    sealed_toml,
    sums_of,
    toml_is_as_written,
)

CONTENT = {"n": 3, "value": -2.25, "names": ["a", "b"], "more": {"1": None, "10": True, "2": float("inf")}}


def test_json_is_read_as_it_was_written(tmp_path):
    file = tmp_path / "a.json"
    file.write_bytes(json_bytes(CONTENT))
    assert read_json(file) == (CONTENT, True)
    file.write_text(json.dumps(json.loads(file.read_text()), sort_keys=True))  # formatted anew
    assert read_json(file) == (CONTENT, True)
    file.write_text(json.dumps(CONTENT))
    assert read_json(file) == (CONTENT, False)


@pytest.mark.parametrize(("old", "new"), [("-2.25", "-2.26"), ('"n"', '"m"'), ("null", "1"), ('"a",', ""), ("3", "03")])
def test_json_that_has_changed_is_refused(tmp_path, old, new):
    file = tmp_path / "a.json"
    file.write_text(json_bytes(CONTENT).decode().replace(old, new, 1))
    with pytest.raises(DamagedError, match=r"a\.json is damaged \("):
        read_json(file)


def test_keys_that_are_numbers_are_digested_as_the_texts_they_become(tmp_path):
    file = tmp_path / "a.json"
    file.write_bytes(json_bytes({"values": {10: 1, 2: 0}, "pair": (1, 2)}))
    assert read_json(file) == ({"values": {"10": 1, "2": 0}, "pair": [1, 2]}, True)


def test_toml_tells_another_value_from_another_format():
    text = sealed_toml("seed = 0\n\n[model]\nwidth = 8\n")
    assert toml_is_as_written(text) is True
    assert toml_is_as_written(text.replace("seed = 0", "seed  =  0  # mine")) is True
    assert toml_is_as_written(text.replace("width = 8", "width = 9")) is False
    assert toml_is_as_written("seed = 0\n") is None


def test_a_list_of_digests_is_that_of_sha256sum(tmp_path):
    files = {"a.bin": b"abc", "b.txt": b"text\n"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "SHA256SUMS").write_bytes(sums_of(files, {"log": b"row\n"}))
    run = subprocess.run(
        ["sha256sum", "--check", "SHA256SUMS"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert run.stdout == "a.bin: OK\nb.txt: OK\n"
    sums = read_sums(tmp_path / "SHA256SUMS")
    assert sums.files == {name: digest(content) for name, content in files.items()}
    assert [sums.prefixes["log"].fits(content) for content in (b"row\nmore", b"row", b"raw\n")] == [True, False, False]
    assert missing_or_changed(tmp_path / "a.bin", sums) == missing_or_changed(tmp_path / "other", sums) == ""
    (tmp_path / "a.bin").write_bytes(b"abd")
    (tmp_path / "b.txt").unlink()
    assert missing_or_changed(tmp_path / "a.bin", sums) == "it has changed since it was written"
    assert missing_or_changed(tmp_path / "b.txt", sums) == "it is missing"
    assert read_sums(tmp_path / "none") == ({}, {})
