"""The shipped runs on disk: every file is verified, what is damaged is one line, and nothing can be executed."""

import shutil
import tomllib
from pathlib import Path

import pytest

import latticear as la
from latticear.checksums import DamagedError, digest_of
from latticear.runs import pretrained
from latticear.runs.checkpoints import WEIGHTS
from latticear.runs.config import load_config, stored_config
from latticear.runs.pretrained import CARD, FOLDER, PREFIX, PRETRAINED, is_shipped, located, named

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(PRETRAINED)
every = pytest.mark.parametrize("name", SHIPPED)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of one shipped run, in a copy of the folder of all."""
    shutil.copytree(FOLDER / SHIPPED[0], tmp_path / SHIPPED[0])
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    return tmp_path / SHIPPED[0]


def _problem(folder: Path) -> str:
    with pytest.raises(DamagedError) as damaged:
        located(f"{PREFIX}{folder.name}")
    text = str(damaged.value)
    assert "\n" not in text
    assert text.startswith(f"{PREFIX}{folder.name} is damaged (")
    assert text.endswith("): install latticear again")
    return text


@every
def test_the_card_has_the_checksum_of_every_file(name):
    card, folder = PRETRAINED[name], FOLDER / name
    others = [path for path in _files(folder) if path.name != CARD]
    assert card.files == {path.relative_to(folder).as_posix(): digest_of(path) for path in others}
    (weights,) = (path for path in others if path.name == WEIGHTS)
    assert card.weights == digest_of(weights)
    assert located(f"{PREFIX}{name}") == folder


@every
def test_there_is_nothing_that_is_not_needed(name):
    kinds = {path.suffix or path.name for path in _files(FOLDER / name)}
    assert kinds <= {".toml", ".json", ".jsonl", ".safetensors", ".h5", "SHA256SUMS"}
    texts = "".join(path.read_text() for path in _files(FOLDER / name) if path.suffix in (".toml", ".json"))
    assert not [word for word in ("/work", "/tmp", "/home", "/root") if word in texts]


def test_all_of_them_are_small_and_go_into_the_package():
    files = _files(FOLDER)
    assert sum(path.stat().st_size for path in files) < 10e6
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["latticear"]
    package = Path(la.__file__).parent
    packed = {path for pattern in patterns for path in package.glob(pattern)}
    assert {path for path in files if path not in packed} == set()


@every
def test_it_is_what_its_config_asks_for(name):
    command = PRETRAINED[name].command.split()
    assert command[:3] == ["latticear", "train", f"configs/pretrained/{name}.toml"]
    asked, kept = load_config(ROOT / command[2]), stored_config(FOLDER / name / "run.toml")
    digest = {key: kept.space[key] for key in ("couplings_digest",) if key in kept.space}
    assert asked.to_dict(with_places=False) == kept.to_dict(with_places=False)
    assert digest == {key: asked.space[key] for key in digest}


def test_a_name_that_does_not_exist_lists_those_that_do():
    for name, words in (("ising-9", "there is no pretrained run 'ising-9': there are "), ("", "a name is missing: ")):
        with pytest.raises(ValueError, match=r".") as refused:
            located(f"{PREFIX}{name}")
        assert str(refused.value).startswith(words)
        assert ", ".join(SHIPPED) in str(refused.value)
        assert str(refused.value).endswith("did you mean 'ising-8'?") == bool(name)
    for name in ("..", "../shipped", f"../shipped/{SHIPPED[0]}", "/etc"):
        with pytest.raises(ValueError, match="there is no pretrained run"):
            located(f"{PREFIX}{name}")


def test_other_paths_stay_as_they_are(tmp_path):
    assert located("runs/a") == Path("runs/a")
    assert not is_shipped(tmp_path)
    assert not is_shipped(FOLDER)
    assert named(tmp_path) == str(tmp_path)
    checkpoint = next((FOLDER / SHIPPED[0]).glob("checkpoints/*"))
    assert named(checkpoint) == f"{PREFIX}{SHIPPED[0]}"


def test_a_changed_or_missing_file_is_noticed(folder):
    for path in _files(folder):
        before = path.read_bytes()
        path.write_bytes(before + b" \n")
        if path.name != CARD:  # whose digest is that of its values
            assert f"{path.relative_to(folder)} has changed since it was written" in _problem(folder)
        if path.name != "run.toml":
            path.unlink()
            assert path.name in _problem(folder)
        path.write_bytes(before)
    assert located(f"{PREFIX}{folder.name}") == folder


@pytest.mark.parametrize(
    "key", ["sha256 ", 'name = "', "seconds = ", "ess = 0.", "log_z = ", "log_z_exact = ", 'toml" = "']
)
def test_a_card_with_another_value_is_noticed(folder, key):
    text = (folder / CARD).read_text()
    k = text.index(key) + len(key)
    (folder / CARD).write_text(text[:k] + ("1" if text[k] == "2" else "2") + text[k + 1 :])
    assert f"{CARD}: its checksum differs" in _problem(folder)


def test_a_card_that_is_no_card_is_noticed(folder):
    for content in (b"", b"\xff\xfe", b"name = ", b"name = 1\n", b"# sha256 " + b"0" * 64 + b"\n"):
        (folder / CARD).write_bytes(content)
        assert CARD in _problem(folder)


def test_the_list_has_a_line_for_each():
    assert dict(PRETRAINED).keys() == set(SHIPPED)
    assert len(PRETRAINED) == len(SHIPPED)
    lines = repr(la.PRETRAINED).splitlines()
    assert [line.split()[0] for line in lines] == SHIPPED
    assert all(PRETRAINED[name].summary in line for name, line in zip(SHIPPED, lines, strict=True))
    assert "ising-9" not in PRETRAINED
    with pytest.raises(KeyError):
        PRETRAINED["ising-9"]
