"""The examples of the recipes and of the concepts run as they stand, and print what the pages show."""

import pytest
from support.examples import Example

PAGES = [
    ("how-to/own-hamiltonian.md", ""),
    ("how-to/own-hamiltonian.md", "## A sum over pairs"),
    ("how-to/own-network.md", ""),
    ("how-to/own-couplings.md", ""),
    ("how-to/resume.md", ""),
    ("how-to/read-hdf5.md", ""),
    ("how-to/unreliable.md", ""),
    ("concepts/weights.md", ""),
]


@pytest.mark.parametrize(("page", "after"), PAGES)
def test_example(page, after, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = Example.run(page, after)
    example.check()
    names = example.names
    if "free_energy" in names:
        assert abs(names["free_energy"].deviation) < 4
    if "average" in names:  # weighted by hand, and by the package
        estimates = names["la"].estimate(names["samples"], names["ising"], 2.269)
        assert names["average"] == pytest.approx(estimates["abs_magnetization"].value, rel=1e-12)
