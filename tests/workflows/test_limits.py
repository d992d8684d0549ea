"""What cannot end is refused, with how long it would take or how much it would need."""

import pytest
from support.verbs import refusal

from latticear.workflows import limits
from latticear.workflows.limits import Forecast, check_disk, check_memory, check_time


def test_a_year_is_the_limit():
    check_time(limits.LONGEST, "it", "wait")
    with pytest.raises(ValueError, match=r"it would take about 3\.2 years, more than a year: wait"):
        check_time(1e8, "it", "wait")
    with pytest.raises(ValueError, match="more than a year"):
        check_time(float("nan"), "it", "wait")


def test_memory_and_disk_are_limits(tmp_path):
    check_memory(1000, "samples", "give less")
    check_disk(tmp_path / "a.h5", 1000, "configurations", 1)
    with pytest.raises(ValueError, match=r"1e\+15 samples take at least 40 PB of memory, there are .*: give less"):
        check_memory(10**15, "samples", "give less")
    with pytest.raises(ValueError, match=r"1e\+15 configurations take at least 2 PB, .* left: give a smaller -n"):
        check_disk(tmp_path / "a.h5", 10**15, "configurations", 2)


def _forecast(*ticks: float) -> Forecast:
    times = iter(ticks)
    return Forecast("steps", clock=lambda: next(times))


def test_a_forecast_follows_each_part_of_the_work():
    forecast = _forecast(0, 20, 40, 60, 61)
    forecast(10, 1000)
    forecast(20, 1000)
    forecast(5, 10**9)  # another part: its own rate counts
    with pytest.raises(ValueError, match="1000000000 steps would take about 127 years"):
        forecast(10, 10**9)


def test_a_short_time_foretells_nothing():
    forecast = _forecast(0, 9)
    forecast(1, 10**12)
    forecast(2, 10**12)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "mc --size 4 --temperature 2 --thinning 1e12 -o a.h5",
            "9.9e+13 sweeps of 100 chains would take about",
        ),
        (
            "mc --size 16 --temperature 2 --thermalization 1e12 -o a.h5",
            "more than a year: give a smaller -n,",
        ),
        ("mc --size 4 --temperature 2 --chains 1e12 -o a.h5", "1e+12 chains take at least 256 TB of memory"),
        ("mc --size 4 --temperature 2 --chains 1e11 -n 1e7 -o a.h5", "1e+11 chains take at least 25.6 TB of memory"),
        ("mc --size 4 --temperature 2 --chains 1e8 -n 2e8 -o a.h5", "1e+08 chains take at least 102 GB of memory"),
        ("mc --size 4 --temperature 2 -n 1e12 -o a.h5", "1e+12 configurations take at least 40 TB of memory"),
        ("mc --size 4 --method population-annealing -n 1e11 -o a.h5", "1e+11 "),
        ("estimate {run} -n 1e12", "1e+12 samples take at least 40 TB of memory"),
        ("estimate {run} -n 1e19", "-n must be at most 1e+12"),
        ("sample {run} -n 1e12 -o a.h5", "1e+12 configurations take at least 1 TB"),
        ("compare configs.toml --minutes 1e9 -o b", "--minutes 1e+09 would take about 1,901 years, more than a year"),
        ("compare configs.toml --minutes \u00a01 -o b", "--minutes has a character that is no digit, got '\\xa01'"),
        ("train --size 4 --minutes 1e9 -o b", "--minutes 1e+09 would take about 1,901 years"),
        ("scan --size 4 --temperature 1:2:1000000000 -o b", "with N of at most 10000"),
        ("scan --size 4 --temperature=1e308 -o b", "temperature must be positive and finite (1e-30 to 1e+30, "),
        ("exact --size 4 --temperature 1e-308", "temperature must be positive and finite (1e-30 to 1e+30, "),
        ("exact --size 4 --temperature 1e-20", "temperature must be at least 1e-09 for energies of a bond or a site"),
        ("exact --size 4 --set hamiltonian.coupling=1e308", "coupling must be at most 1e+30 in magnitude"),
        ("exact --size 4 --set hamiltonian.coupling=1e-308", "coupling must be 0 or at least 1e-30 in magnitude"),
    ],
)
def test_verbs_say_it(run, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert message in refusal(*(word.format(run=run) for word in words.split(" ")))
    assert list(tmp_path.iterdir()) == []
