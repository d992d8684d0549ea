"""What is cited for a run is what it used."""

import json
import re

from support import tiny
from support.verbs import refusal, succeed

import latticear as la
from latticear.workflows import save_estimates
from latticear.workflows.cite import cited


def keys(run):
    return {entry.key for entry, _ in cited(run)} - {"latticear"}


def test_the_package_alone():
    assert keys(None) == set()
    assert la.cite().startswith("% the package\n@misc{latticear,")


def test_a_run_before_and_after_its_estimates(copy):
    (copy / "estimates.json").unlink(missing_ok=True)
    assert keys(copy) == {"Oord2016a", "Wu2019", "Kool2019"}
    save_estimates(copy, tiny.estimated(copy), seed=0)
    more = {"Nicoli2020", "Vehtari2024", "Nicoli2021", "Nicoli2023", "Kramers1941"}
    assert keys(copy) == {"Oord2016a", "Wu2019", "Kool2019", *more}
    assert la.cite(la.load_run(copy)) == la.cite(copy) == la.cite(str(copy))
    assert "% the network pixelcnn; the objective reverse-kl\n@article{Wu2019," in la.cite(copy)


def test_monte_carlo_data_and_checks_are_named(tmp_path):
    ising = la.Ising((4, 4))
    model = la.TensorNetwork((4, 4), bias=ising.bias(2.3, bond_dimension=8), bond_dimension=8)
    run = la.save_run(tmp_path / "tn", model, ising, 2.3)
    assert keys(run) == {"FriasPerez2023", "Murg2007"}
    learned = la.save_run(tmp_path / "ml", la.MADE((4, 4)), ising, 2.3, training={"objective": "forward-kl"})
    assert keys(learned) == {"Germain2015", "Wu2019", "Swendsen1987"}
    own = {"objective": "forward-kl", "data": "own.h5"}
    assert "Swendsen1987" not in keys(la.save_run(tmp_path / "own", la.MADE((4, 4)), ising, 2.3, training=own))
    glass = la.EdwardsAnderson((4, 4), periodic=False)
    net = la.MultiscalePixelCNN((4, 4), bias=glass.bias(2.0))
    training = {"objective": "forward-reverse-kl"}
    run = la.save_run(tmp_path / "glass", net, glass, 2.0, training=training)
    assert keys(run) == {
        *("Singha2025", "Bialas2022", "Edwards1975"),
        *("Wu2019", "Kool2019", "Richter2020", "Hukushima1996", "Creutz1980", "Glauber1963"),
    }
    content = {"temperature": 2.0, "n": 9, "method": "mcmc", "energy_per_site": {"value": -1.0, "tau_int": 2.0}}
    content["energy_per_site"]["reasons"] = ["4,000 configurations by swendsen wang"]
    (tmp_path / "glass" / "estimates.json").write_text(json.dumps(content))
    assert keys(tmp_path / "glass") >= {"Wu2021", "Wolff2004", "Swendsen1987"}
    assert "Nicoli2020" not in keys(tmp_path / "glass")


def test_the_exact_method_is_that_of_the_system(tmp_path):
    ising = la.Ising((32, 32))
    run = la.save_run(tmp_path / "a", la.MeanField((32, 32)), ising, 2.3)
    content = {"temperature": 2.3, "n": 9, "method": "is", "log_z": {"value": 1.0, "exact": 2.0}}
    (tmp_path / "a" / "estimates.json").write_text(json.dumps(content))
    assert keys(run.path) - keys(run) == {"Nicoli2020", "Kaufman1949"}


def test_on_the_command_line(run, tmp_path):
    assert succeed("cite", run).strip() == la.cite(run)
    content = json.loads(succeed("cite", run, "--json"))
    assert [each["key"] for each in content["references"]] == re.findall(r"@\w+\{(\w+),", la.cite(run))
    assert content["references"][0]["for"] == ["the package"]
    assert "is not a run directory" in refusal("cite", tmp_path)


def test_a_grid_has_no_objective_of_energies(tmp_path):
    grid = la.Grid((4, 4), levels=3)
    run = la.save_run(tmp_path / "grid", la.GatedPixelCNN((4, 4), 3), grid, None)
    assert keys(run) == {"Oord2016b"}
