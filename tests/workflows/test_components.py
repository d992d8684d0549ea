"""A run whose sites have components, from the config to estimates: library, files and command line."""

import tomllib
from itertools import count

import h5py
import pytest
import torch
from support import tiny
from support.verbs import refusal, succeed

import latticear as la
from latticear.data.reading import read_batches
from latticear.exact import all_configurations
from latticear.runs.config import build_model, load_config, parse_config, to_toml
from latticear.workflows import compare_runs
from latticear.workflows.train import config_of

T = 2.5
JOINT = la.AshkinTeller((2, 2), four_spin=0.4)
PARTS = la.Components(JOINT)
SYSTEM = ["hamiltonian.name=ashkin_teller", "hamiltonian.four_spin=0.4", "hamiltonian.components=2"]
SMALL = ["model.width=12", "model.depth=2", "training.batch_size=128", "training.steps=60"]


def _words(*sets):
    return ["--size", "2", "--temperature", str(T), *(word for key in sets for word in ("--set", key))]


def _within(estimates, exact, n_errors=4):
    for name in ("free_energy_per_site", "energy_per_site", "abs_magnetization", "magnetization_squared"):
        if name in estimates:
            assert abs(estimates[name].value - getattr(exact, name)) < n_errors * estimates[name].error, name


def _network(**options):
    return la.PixelCNN((2, 2), 2, width=12, depth=2, n_components=2, bias=PARTS.bias(T), **options)


@pytest.mark.filterwarnings("ignore::latticear.UnreliableEstimateWarning")  # the tail of 256 states is a few of them
@pytest.mark.parametrize("objective", ["reverse-kl", "forward-kl", "forward-reverse-kl"])
def test_training_and_estimates_on_four_sites(objective):
    """Fixed seeds; four errors of four quantities by two routes: false alarms in 5e-4 of such tests."""
    model, exact = _network(spin_flip_symmetric=True), la.exact.enumerate_states(JOINT, T)
    options = {"objective": objective, "steps": 120, "batch_size": 128, "n_monte_carlo": 2000, "evaluate_every": 60}
    *_, last = la.fit(model, PARTS, temperature=T, **options)
    assert last.metrics["ess"] > 0.6
    samples = model.sample(20_000, seed=1)
    assert samples.tokens.shape == (20_000, 2, 2, 2)
    weighed = la.estimate(samples, PARTS, T)
    _within(weighed, exact)
    _within(la.neural_mcmc(samples, PARTS, T), exact)
    if objective != "forward-kl":
        return
    data = torch.cat([b.tokens for b in la.monte_carlo(PARTS, T, n=4000, method="heat-bath", seed=1)])
    forward = la.forward_ess(model, data, PARTS, T)
    assert forward.value == pytest.approx(weighed["ess"].value, abs=0.05)


@pytest.mark.filterwarnings("ignore::latticear.UnreliableEstimateWarning")  # the tail of 16 states is one of them
def test_one_component_held_fixed():
    """With all a given: ln Z is the sum over b, and the balance leaves those sites out that are held in part."""
    model = _network()
    for _ in la.fit(model, PARTS, temperature=T, steps=20, batch_size=64):
        pass
    a = torch.tensor([[0, 1], [1, 1]])
    where = torch.tensor([True, False])[:, None, None].expand(2, 2, 2)
    samples = model.sample(20_000, seed=3, given=torch.stack([a, 0 * a]), where=where)
    assert torch.equal(samples.tokens[:, 0].long(), a.expand(20_000, 2, 2))
    b = all_configurations((2, 2), 2)
    energy = PARTS.token_energy(torch.stack([a.expand_as(b), b], dim=1))
    estimates = la.estimate(samples, PARTS, T)
    exact = (-energy / T).logsumexp(0).item()
    assert abs(estimates["log_z"].value - exact) < 4 * estimates["log_z"].error
    mean = ((-energy / T).softmax(0) @ energy).item() / 4
    assert abs(estimates["energy_per_site"].value - mean) < 4 * estimates["energy_per_site"].error
    assert estimates.diagnostics["imbalance"] == 0


def test_a_config_has_all_that_follows():
    config = load_config(None, [*SYSTEM, *SMALL], {"temperature": T, "hamiltonian": {"shape": [2, 2]}})
    system = config.target.system
    assert system.to_dict() == PARTS.to_dict()
    assert config.model["n_components"] == 2
    assert config.model["spin_flip_symmetric"]
    model = build_model(config)
    assert (model.n_components, model.n_tokens) == (2, 2)
    assert model.bias.to_dict() == {"hamiltonian": PARTS.to_dict(), "temperature": T}
    assert parse_config(tomllib.loads(to_toml(config))) == config


def test_large_lattices_take_a_network_that_has_components():
    values = {"temperature": T, "hamiltonian": {"shape": [16, 16]}}
    assert load_config(None, SYSTEM, values).model["name"] == "pixelcnn"
    assert load_config(None, SYSTEM[:2], values | {"training": {"steps": 9}}).model["name"] == "multiscale"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run, samples of it, and Monte Carlo configurations, all by the command line."""
    out = tmp_path_factory.mktemp("components")
    assert "finished" in succeed("train", *_words(*SYSTEM, *SMALL), "--out", str(out / "run"))
    succeed("sample", str(out / "run"), "-n", "300", "-o", str(out / "s.h5"), "--seed", "4")
    words = ("--method", "heat-bath", "--seed", "1", "-n", "3000", "-o", str(out / "mc.h5"))
    assert "energy_per_site" in succeed("mc", *_words(*SYSTEM), *words)
    return out


def test_files_hold_spins_of_components(folder):
    with h5py.File(folder / "s.h5") as h5:
        assert h5["spins"].shape == (300, 2, 2, 2)
        assert set(h5["spins"][()].flatten()) == {-1, 1}
        assert [dim.keys()[0] for dim in h5["spins"].dims] == ["sample", "component", "y", "x"]
        energy = PARTS.energy(torch.from_numpy(h5["spins"][()]))
        assert torch.equal(energy, torch.from_numpy(h5["energy"][()]))
    model = la.load_model(folder / "run")
    drawn = model.sample(300, seed=4)
    assert torch.equal(la.load_configurations(folder / "s.h5", PARTS, temperature=T), drawn.tokens)
    (batch,) = read_batches(folder / "s.h5", 300)
    assert torch.equal(batch.tokens, drawn.tokens)
    assert torch.equal(batch.log_q, drawn.log_q)
    assert la.data.read_metadata(folder / "mc.h5")["shape"] == [2, 2, 2]


def test_the_same_configurations_as_states_of_sites(folder, tmp_path):
    words = ("--method", "heat-bath", "--seed", "1", "-n", "3000", "-o", str(tmp_path / "q4.h5"))
    succeed("mc", *_words(*SYSTEM[:2]), *words)
    joint = la.load_configurations(tmp_path / "q4.h5", JOINT)
    assert torch.equal(PARTS.join(la.load_configurations(folder / "mc.h5", PARTS)), joint)
    with pytest.raises(ValueError, match="of another Hamiltonian: components None instead of 2"):
        la.load_configurations(tmp_path / "q4.h5", PARTS)


def test_estimates_of_the_run(folder):
    exact = la.exact.enumerate_states(JOINT, T)
    for method in ("is", "mcmc"):
        (result,) = tiny.estimated(folder / "run", 4000, method=method, data=folder / "mc.h5")
        _within(result, exact)
        assert result["forward_ess"].value > 0.3
        assert result["energy_per_site"].exact == pytest.approx(exact.energy_per_site)


def test_samples_are_continued_and_completed(folder, tmp_path):
    out = tmp_path / "s.h5"
    for n in ("100", "300"):
        succeed("sample", str(folder / "run"), "-n", n, "-o", str(out), "--seed", "4", "--append")
    assert torch.equal(la.load_configurations(out, PARTS), la.load_configurations(folder / "s.h5", PARTS))
    with h5py.File(tmp_path / "given.h5", "w") as h5:
        h5["spins"], h5["where"] = [[[[1, -1], [1, 1]], [[0, 0], [0, 0]]]], [[[1, 1], [1, 1]], [[0, 0], [0, 0]]]
    words = ("-n", "50", "-o", str(tmp_path / "c.h5"), "--given", str(tmp_path / "given.h5"))
    succeed("sample", str(folder / "run"), *words)
    with h5py.File(tmp_path / "c.h5") as h5:
        assert (h5["spins"][:, 0] == [[1, -1], [1, 1]]).all()
        assert len({tuple(b.flatten()) for b in h5["spins"][:, 1]}) > 1


def test_figures_and_a_run_from_its_weights_and_data(folder, tmp_path):
    assert "samples.png" in succeed("report", str(folder / "run"))
    assert "n_components" not in config_of(folder / "run")["model"]  # it follows from the Hamiltonian
    data = ("--objective", "forward-kl", "--data", str(folder / "mc.h5"))
    words = ("--from", str(folder / "run"), *data, "--out", str(tmp_path / "next"), "--set", "training.steps=5")
    assert "finished" in succeed("train", *_words(*SYSTEM), *words)


def test_a_comparison_of_both_forms(tmp_path):
    head = f'temperature = {T}\n[hamiltonian]\nname = "ashkin_teller"\nshape = [2, 2]\nfour_spin = 0.4\n'
    tail = "[model]\nwidth = 12\ndepth = 2\n[training]\nbatch_size = 64\n"
    (tmp_path / "joint.toml").write_text(head + tail)
    (tmp_path / "parts.toml").write_text(head + "components = 2\n" + tail)
    configs = [tmp_path / "joint.toml", tmp_path / "parts.toml"]
    ticks = count()  # a second for each step, whatever else the machine does
    options = {"minutes": 0.2, "n": 2000, "report": tiny.silent, "clock": lambda: next(ticks)}
    rows = list(compare_runs(configs, tmp_path / "out", [], {}, **options))
    exact = la.exact.enumerate_states(JOINT, T).free_energy_per_site
    for row, system in zip(rows, (JOINT, PARTS), strict=True):
        assert row["hamiltonian"] == system.to_dict()
        assert row["free_energy_per_site"]["exact"] == pytest.approx(exact)
        assert abs(row["deviation"]) < 4


def test_a_range_of_temperatures(tmp_path):
    words = ["--size", "2", "--temperature", "2:3.5", "--out", str(tmp_path / "run")]
    sets = [word for key in (*SYSTEM, *SMALL) for word in ("--set", key)]
    assert "finished" in succeed("train", *words, *sets)
    for result in tiny.estimated(tmp_path / "run", 3000):
        _within(result, la.exact.enumerate_states(JOINT, result.temperature))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("hamiltonian.components=3", "components of the 4 states of a site of ashkin_teller must be 2, got 3"),
        ("hamiltonian.components=0", "hamiltonian.components: input should be greater than or equal to 1, got 0"),
        ("model.name=multiscale", "model.name multiscale has one component at a site, the hamiltonian has 2"),
        ("model.name=transformer", "model.name transformer has one component at a site, the hamiltonian has 2"),
        ("model.n_components=3", "the bias is for n_components = 2, the model for n_components = 3"),
    ],
)
def test_one_clear_error(key, message, tmp_path):
    assert message in refusal("train", *_words(*SYSTEM, *SMALL[:1], key), "--out", str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_one_clear_error_without_components(tmp_path):
    ising, joint = ["hamiltonian.components=2"], [*SYSTEM[:2], "model.n_components=2"]
    assert "the 2 states of a site of ising have no components, got 2" in refusal(
        "train", *_words(*ising), "--out", str(tmp_path / "run")
    )
    assert "the bias is for n_components = 1, the model for n_components = 2" in refusal(
        "train", *_words(*joint), "--out", str(tmp_path / "run")
    )


def test_methods_that_draw_in_steps_are_of_one_token():
    multiscale = la.MultiscalePixelCNN((4, 4), 2)
    system = la.Components(la.AshkinTeller((4, 4)))
    with pytest.raises(ValueError, match=r"Hamiltonian for \(2, 4, 4\) with 2"):
        la.sequential_monte_carlo(multiscale, system, T, n=1000)
    with pytest.raises(ValueError, match="with 2 tokens and 2 components"):
        next(la.fit(multiscale, system, temperature=T, steps=1, batch_size=4))
