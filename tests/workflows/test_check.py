"""`latticear info --check`: every file of a run, a scan or an export, with a line for each that is not as written."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support import tiny
from support.verbs import invoke, refusal, succeed

from latticear.workflows import save_estimates

MADE = Path(__file__).parents[1] / "golden" / "v0_1_0"


def _flip(file: Path, at: int = -20) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def _damaged(path: Path) -> list[str]:
    code, stdout, stderr = invoke("info", "--check", path)
    assert (code, stderr) == (1, "")
    return stdout.splitlines()


def test_a_run_as_written_and_damaged(copy):
    save_estimates(copy, tiny.estimated(copy), seed=0)
    # run.toml, two files of JSON, two checkpoints of two files, metrics.jsonl
    assert succeed("info", "--check", copy) == "8 files, all as written\n"
    _flip(copy / "checkpoints" / "step-8" / "trainer.pt")
    lines = _damaged(copy)
    assert lines == [
        f"{copy}/checkpoints/step-8/trainer.pt: it has changed since it was written",
        "8 files, 1 damaged",
    ]
    for name, old, new in [
        ("estimates.json", '"n": 200', '"n": 300'),
        ("run.toml", "seed = 0", "seed = 1"),
        ("metrics.jsonl", '"step": 3', '"step": 2'),
    ]:
        file = copy / name
        file.write_text(file.read_text().replace(old, new))
    (copy / "checkpoints" / "step-12" / "model.safetensors").unlink()
    lines = _damaged(copy)
    assert [line.split(":")[0].removeprefix(f"{copy}/") for line in lines[:-1]] == [
        "run.toml",
        "estimates.json",
        "checkpoints/step-8/trainer.pt",
        "checkpoints/step-12/model.safetensors",
        "metrics.jsonl",
    ]
    assert lines[-1] == "8 files, 5 damaged"


def test_what_is_no_text_is_told_in_plain_words(copy):
    for name in ("run.toml", "environment.json"):
        (copy / name).write_bytes(b"\xff\xfe" + (copy / name).read_bytes())
    assert _damaged(copy)[:2] == [
        f"{copy}/run.toml: it is not text in UTF-8",
        f"{copy}/environment.json: (it is not text in UTF-8)",
    ]
    assert refusal("info", copy) == f"{copy}/run.toml is not valid TOML: it is not text in UTF-8"


def test_json_has_a_state_for_each_file(copy):
    (copy / "metrics.jsonl").unlink()
    code, stdout, _ = invoke("info", "--check", copy, "--json")
    content = json.loads(stdout)
    assert (code, content["damaged"], content["summary"]) == (1, 1, "7 files, 1 damaged")
    states = {Path(file["path"]).name: file["state"] for file in content["files"]}
    assert states.pop("metrics.jsonl") == "damaged"
    assert set(states.values()) == {"as written"}


def test_files_of_version_0_1_0_have_no_checksum():
    assert succeed("info", "--check", MADE / "pixelcnn") == "6 files, none damaged; 6 have no checksum\n"
    assert succeed("info", "--check", MADE / "samples.h5") == "1 file, none damaged; 1 has no checksum\n"


@pytest.mark.parametrize("name", ["data.h5", "data.npy", "data.csv", "data.npz"])
def test_an_export_as_written_and_damaged(tmp_path, name):
    path = tiny.monte_carlo(tmp_path / name)
    assert succeed("info", "--check", path) == "1 file, as written\n"
    assert (tmp_path / f"{name}.sha256").exists() == (name in ("data.npy", "data.csv"))
    _flip(path, len(path.read_bytes()) // 2)
    lines = _damaged(path)
    assert lines[0].startswith(f"{path}: ")
    assert lines[1] == "1 file, 1 damaged"
    if name == "data.npy":
        assert "damaged: it has changed since it was written (its digest is not that in data.npy.sha256)" in refusal(
            *("train", "--size", "4", "--temperature", "2", "--data", path, "--out", tmp_path / "run")
        )
        (tmp_path / "data.npy.sha256").unlink()
        assert np.load(path).shape == (400, 4, 4)
        assert succeed("info", "--check", path) == "1 file, none damaged; 1 has no checksum\n"


def test_a_scan_with_a_damaged_point(tmp_path):
    folder = shutil.copytree(MADE / "scan", tmp_path / "scan")
    point = folder / "points" / "4x4-T2.6.json"
    shutil.copy(point, folder / "points" / "4x4-T3.json")
    point.write_text(point.read_text().replace('"abs_magnetization"', '"abs_magnetisation"'))
    lines = _damaged(folder)
    assert lines[0].startswith(
        f"{point}: (it lacks, or has no number for, 'abs_magnetization'); remove it and continue"
    )
    assert lines[0].endswith("1 of the 1 other points stand")


def test_nothing_to_check(tmp_path):
    assert "is not a run directory" in refusal("info", "--check", tmp_path)
    assert "No such file" in refusal("info", "--check", tmp_path / "none.h5")
