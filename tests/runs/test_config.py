"""Configs: complete, checked, and every mistake one line that says what would be right."""

import inspect
from pathlib import Path

import pytest
import torch
from hypothesis import given, strategies as st

from latticear.exact import T_C
from latticear.hamiltonians import Ising, hamiltonian_from_dict
from latticear.models import MODELS, PixelCNN
from latticear.runs.config import (
    build_model,
    load_config,
    parse_config,
    resolve_device,
    to_toml,
)
from latticear.training import fit

CONFIGS = sorted((Path(__file__).parents[2] / "configs").rglob("*.toml"))


def _load(*overrides: str, **values):
    return load_config(None, overrides, {"hamiltonian": {"shape": [4, 4]}, **values})


def _build(config):
    return build_model(config)


def _refusal(*overrides: str) -> str:
    with pytest.raises(ValueError, match=r".") as refused:
        _build(_load(*overrides))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_there_are_configs():
    assert CONFIGS


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_loads_builds_and_states_its_values(path):
    config = load_config(path)
    space = config.target.space
    assert build_model(config).shape == space.shape
    assert parse_config(config.to_dict()) == config


def test_a_file_is_read_back_unchanged(tmp_path):
    config = _load("model.kernel_size=[5, 3]", "model.depth=2", "hamiltonian.periodic=[true, false]", "training.data=é")
    (tmp_path / "run.toml").write_bytes(to_toml(config).encode())
    assert load_config(tmp_path / "run.toml") == config
    assert _build(config).kernel_size == (5, 3)


GRID = {"grid": {"shape": [4, 5], "levels": 3}, "training": {"data": "images.h5"}}


def test_a_grid_stands_instead_of_a_hamiltonian(tmp_path):
    config = load_config(None, ["grid.values=[-1, 0, 7]", "grid.n_classes=4", "model.n_condition=4"], GRID)
    grid = config.target.space
    assert (grid.shape, grid.states.tolist()) == ((4, 5), [-1, 0, 7])
    model = build_model(config)
    assert (model.shape, model.n_tokens, model.n_condition, model.bias) == ((4, 5), 3, 4, None)
    assert not model.spin_flip_symmetric
    (tmp_path / "run.toml").write_bytes(to_toml(config).encode())
    assert load_config(tmp_path / "run.toml") == parse_config(config.to_dict()) == config
    assert config.to_dict().keys() == {"seed", "device", "grid", "model", "training"}
    assert not {"anneal", "augment"} & config.training.keys()


def test_a_config_of_a_grid_is_none_of_a_hamiltonian():
    with pytest.raises(ValueError, match="this needs a Hamiltonian at a temperature"):
        load_config(None, values=GRID, needs_energy=True)
    assert load_config(None, values={**GRID, "hamiltonian": {}}) == load_config(None, values=GRID)
    assert load_config(None, values={"hamiltonian": {"shape": [4, 4]}}) == _load()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("temperature=2", "temperature cannot go with a [grid]"),
        ("hamiltonian.shape=[4, 5]", "[hamiltonian] cannot go with a [grid]"),
        ("training.objective=reverse-kl", "training.objective reverse-kl needs an energy"),
        ("training.anneal=0.5", "unknown key 'training.anneal'"),
        ("model.bias=1", "unknown key 'model.bias'"),
        ("grid.level=3", "unknown key 'grid.level'; did you mean 'grid.levels'?"),
        ("grid.levels=2.5", "grid.levels: input should be a valid integer"),
        ("grid.values=[0, 1]", "values must be levels = 3 integers"),
        ("grid.values=[0, 0.5, 1]", "grid.values: input should be a valid integer"),
        ("grid.n_classes=-1", "grid.n_classes: "),
        ("grid.n_classes=5000", "grid.n_classes: "),
        ("grid.n_components=0", "n_components must be an integer of at least 1"),
        ("grid.shape=[4, 5, 6]", "grid.shape: "),
        ("model.name=isng", "model.name must be one of"),
    ],
)
def test_mistakes_of_a_grid_are_named(override, words):
    with pytest.raises(ValueError, match=r".") as refused:
        load_config(None, [override], GRID)
    assert words in str(refused.value)


@given(
    temperature=st.floats(1e-3, 1e6),
    coupling=st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) >= 1e-30),
    seed=st.integers(0, 2**63 - 1),
    shape=st.tuples(st.integers(2, 9), st.integers(2, 9)),
)
def test_numbers_survive_the_file_to_the_last_bit(tmp_path_factory, temperature, coupling, seed, shape):
    values = {"temperature": temperature, "seed": seed, "hamiltonian": {"shape": list(shape), "coupling": coupling}}
    config = parse_config(values)
    path = tmp_path_factory.mktemp("config") / "run.toml"
    path.write_text(to_toml(config))
    again = load_config(path)
    assert again == config
    assert (again.target.temperature, again.space["coupling"]) == (temperature, coupling)


def test_sections_have_the_arguments_and_defaults_of_the_constructors():
    config = _load("model.name=pixelcnn")
    expected = {name: p.default for name, p in inspect.signature(fit).parameters.items()}
    for name in ("model", "hamiltonian", "temperature", "seed", "condition", "resume", "check_data"):
        del expected[name]
    assert config.training == expected | {"data": "", "checkpoint_every": 100}
    expected = {name: p.default for name, p in inspect.signature(PixelCNN).parameters.items()}
    for name in ("shape", "n_tokens", "bias", "seed", "composition"):  # the last one follows from the Hamiltonian
        del expected[name]
    expected |= {"name": "pixelcnn", "boltzmann_bias": True, "spin_flip_symmetric": True}
    assert config.model == expected
    assert config.target.temperature == T_C
    assert repr(config.target.system) == repr(Ising((4, 4)))


def test_what_is_given_is_left_as_it_was():
    values = {"hamiltonian": {"shape": [4, 4]}}
    load_config(None, ["hamiltonian.shape=[5, 5]"], values)
    assert values == {"hamiltonian": {"shape": [4, 4]}}


def test_later_words_win_over_earlier_ones(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("temperature = 1.0\nseed = 1\n[hamiltonian]\nshape = [3, 3]\nfield = 0.1\n[model]\nwidth = 4\n")
    config = load_config(path, ["seed=3", "model.width=6"], {"seed": 2, "hamiltonian": {"shape": [5, 5]}})
    assert (config.target.temperature, config.seed, config.model["width"]) == (1.0, 3, 6)
    assert config.space["shape"] == (5, 5)
    assert config.space["field"] == 0.1


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("training.steps=20", "training", "steps", 20),
        ("training.steps=1e3", "training", "steps", 1000),
        ("training.learning_rate=1e-3", "training", "learning_rate", 1e-3),
        ("training.learning_rate=1", "training", "learning_rate", 1.0),
        (" training.augment = false", "training", "augment", False),
        ("model.kernel_size=[7, 3, 3, 3, 3, 3]", "model", "kernel_size", (7, 3, 3, 3, 3, 3)),
        ("training.objective=forward-kl", "training", "objective", "forward-kl"),
        ('training.objective="forward-kl"', "training", "objective", "forward-kl"),
        ("training.data=a=b.h5", "training", "data", "a=b.h5"),
        ("training.data=", "training", "data", ""),
        ("hamiltonian.shape=[2, 3]", "hamiltonian", "shape", (2, 3)),
    ],
)
def test_set_takes_toml_values_and_bare_words(override, section, key, value):
    found = _load(override).to_dict()[section][key]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("override", ["model.width", "=5", " =5", "", "width 5"])
def test_set_without_key_or_value_is_refused(override):
    assert _refusal(override).startswith("--set takes section.key=value")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("temprature=2", "unknown key 'temprature'; did you mean 'temperature'?"),
        ("modell.width=2", "unknown key 'modell'; did you mean 'model'?"),
        ("hamiltonian.feild=1", "unknown key 'hamiltonian.feild'; did you mean 'hamiltonian.field'?"),
        ("model.widht=4", "unknown key 'model.widht'; did you mean 'model.width'?"),
        ("training.learningrate=1", "unknown key 'training.learningrate'; did you mean 'training.learning_rate'?"),
        ("xyz=1", "valid: data, device, hamiltonian, model, seed, temperature, training"),
        ("a..b=1", "unknown key 'a'"),
        ("model.n_tokens=3", "unknown key 'model.n_tokens'"),  # follows from the Hamiltonian
        ("training.temperature=3", "unknown key 'training.temperature'"),
        ("hamiltonian.name=isng", "'sherrington_kirkpatrick'], got 'isng'; did you mean 'ising'?"),
        ("model.name=pixelrnn", "got 'pixelrnn'; did you mean 'pixelcnn'?"),
        ("model.name=[1]", "], got [1]"),
    ],
)
def test_unknown_names_come_with_the_nearest_valid_one(override, message):
    assert message in _refusal(override)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("temperature=0", "temperature must be positive"),
        ("temperature=-2", "temperature must be positive"),
        ("temperature=inf", "temperature: input should be a finite number"),
        ("temperature=nan", "temperature: input should be a finite number"),
        ("temperature=1e-320", "temperature must be positive and finite"),  # beta overflows
        ("temperature=true", "temperature: input should be a valid number, got True"),
        ("temperature.x=1", "temperature: input should be a valid number"),
        ("seed=true", "seed: input should be a valid integer, got True"),
        ("seed=-1", "seed: "),
        ("seed=9223372036854775808", "seed: "),
        ("seed=1.5", "seed: "),
        ("device=gpu", "device: input should be 'auto', 'cpu' or 'cuda', got 'gpu'"),
        ("hamiltonian=4", "[hamiltonian] must be a section"),
        ("hamiltonian.coupling=true", "hamiltonian.coupling: "),
        ("hamiltonian.coupling='1'", "hamiltonian.coupling: "),
        ("hamiltonian.field=inf", "hamiltonian.field: "),
        ("hamiltonian.periodic=1", "hamiltonian.periodic: "),
        ("hamiltonian.shape=4", "hamiltonian.shape: "),
        ("hamiltonian.shape=[4]", "hamiltonian.shape: "),
        ("hamiltonian.shape=[4, 4, 4]", "hamiltonian.shape: "),
        ("hamiltonian.shape=[4.5, 4]", "hamiltonian.shape: "),
        ("hamiltonian.shape=[true, 4]", "hamiltonian.shape: "),
        ("hamiltonian.shape=[1, 1]", "extent 2 or more"),
        ("hamiltonian.shape=[0, 4]", "shape must be two positive integers"),
        ("model.width=true", "model.width: input should be a valid integer, got True"),
        ("model.width=8.5", "model.width: "),
        ("model.width=0", "width, depth and n_taps must be at least 1"),
        ("model.kernel_size=4", "kernel_size must be odd and positive, got 4"),
        ("model.kernel_size=[3, true]", "model.kernel_size: "),
        ("model.kernel_size=[3, 3]", "kernel_size must be one integer or depth = "),
        ("model.spin_flip_symmetric=maybe", "model.spin_flip_symmetric: "),
        ("model.boltzmann_bias=1", "model.boltzmann_bias: input should be a valid boolean"),
        ("training.steps=true", "training.steps: "),
        ("training.steps=many", "training.steps: input should be a valid integer, got 'many'"),
        ("training.steps=1e400", "training.steps: "),
        ("training.augment=1", "training.augment: "),
        ("training.learning_rate=nan", "training.learning_rate: input should be a finite number"),
        ("training.ema_decay=1979-05-27", "training.ema_decay: "),
        ("training.checkpoint_every=0", "training.checkpoint_every: "),
        ("training.data=5", "training.data: "),
    ],
)
def test_wrong_values_are_named(override, words):
    message = _refusal(override)
    assert words in message
    assert "; " not in message or "must" in message  # one mistake, said once


def test_all_mistakes_are_said_at_once():
    assert _refusal("temprature=1", "seed=-1").count("; ") == 2


def test_a_missing_shape_is_asked_for():
    with pytest.raises(ValueError, match=r"hamiltonian\.shape must be given \(--size"):
        load_config(None)


def test_spin_flip_symmetry_comes_from_the_hamiltonian():
    for setting in ((), ("model.spin_flip_symmetric=auto",)):
        assert _load(*setting).model["spin_flip_symmetric"] is True
        assert _load("hamiltonian.field=0.5", *setting).model["spin_flip_symmetric"] is False
    assert _load("model.spin_flip_symmetric=false").model["spin_flip_symmetric"] is False


@pytest.mark.parametrize("bias", ["true", "false"])
def test_a_symmetry_that_a_field_breaks_is_refused(bias):
    message = _refusal("hamiltonian.field=0.5", "model.spin_flip_symmetric=true", f"model.boltzmann_bias={bias}")
    assert message.startswith("model.spin_flip_symmetric is true, but Ising(")


def test_the_boltzmann_bias_is_an_option():
    for setting, expected in (("true", True), ("false", False)):
        config = _load(f"model.boltzmann_bias={setting}", "temperature=1.7")
        model = _build(config)
        assert (model.bias is not None) is expected
        assert not expected or model.bias.to_dict()["temperature"] == 1.7


def _weights(*overrides: str) -> dict[str, torch.Tensor]:
    return dict(_build(_load("model.width=4", "model.depth=2", *overrides)).named_parameters())


def test_weights_depend_on_the_seed_alone():
    first = _weights()
    again = _weights("temperature=1.5", "training.steps=3", "model.boltzmann_bias=false")
    other = _weights("seed=1")
    for name, weight in first.items():
        assert torch.equal(weight, again[name])
        assert torch.equal(weight, other[name]) == (not weight.any())  # biases begin at zero


def test_every_model_can_be_named():
    for name in MODELS:
        assert _build(_load(f"model.name={name}")).name == name


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"temperature = = 2", "is not valid TOML"),
        (b"temperature = 2\ntemperature = 3", "is not valid TOML"),
        (b"[model\n", "is not valid TOML"),
        (b"\xff\xfe", "is not valid TOML"),
        (b"\x00\x01", "is not valid TOML"),
    ],
)
def test_a_file_that_is_no_toml_is_named(tmp_path, content, words):
    (tmp_path / "run.toml").write_bytes(content)
    with pytest.raises(ValueError, match=f"run.toml {words}"):
        load_config(tmp_path / "run.toml")


def test_a_file_that_is_not_there_is_the_systems_own_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_config(tmp_path / "none.toml")
    with pytest.raises(IsADirectoryError):
        load_config(tmp_path)


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == resolve_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match="sees no CUDA device"):
        resolve_device("cuda")
    with pytest.raises(ValueError, match="must be auto, cpu or cuda, got 'tpu'"):
        resolve_device("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == resolve_device("cuda") == torch.device("cuda")
    assert resolve_device("cpu") == torch.device("cpu")


def test_a_network_for_each_site_follows_from_the_couplings():
    """And does not maximise the likelihood of data unless asked to, which it would learn by heart."""
    of = {"shape": [4, 4]}
    for hamiltonian, shares in (({"name": "edwards_anderson"}, False), ({"name": "ising", "field": 0.1}, True)):
        config = parse_config({"hamiltonian": of | hamiltonian, "model": {"name": "multiscale"}})
        assert config.model["translation_invariant"] is shares
        assert config.training["forward_share"] == (0.15 if shares else 0.0)
    asked = {"hamiltonian": of | {"name": "edwards_anderson"}, "model": {"name": "multiscale"}}
    config = parse_config(asked | {"training": {"objective": "forward-kl"}})
    assert config.training["objective"] == "forward-kl"


@pytest.mark.parametrize("sets", [(), ("hamiltonian.name=edwards_anderson_disorder", "model.name=multiscale")])
def test_a_config_builds_its_system_once(sets, monkeypatch):
    built = []

    def build(values):
        built.append(values)
        return hamiltonian_from_dict(values)

    monkeypatch.setattr("latticear.runs.config.hamiltonian_from_dict", build)
    config = _load(*sets)
    _ = build_model(config), config.target.spin_flip, to_toml(config)
    assert len(built) == 1
