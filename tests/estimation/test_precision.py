"""How many configurations are drawn until errors are reached, where that ends, and that stopping does not bias."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import latticear as la
from latticear.estimation.estimates import Estimates, with_rarity
from latticear.estimation.goals import goals_of
from latticear.estimation.limits import Limits
from latticear.estimation.measurement import measurements
from latticear.estimation.precision import Plan, reach, rerun
from latticear.estimation.quantity import Estimate
from latticear.estimation.reached import state_precision
from latticear.estimation.reweighting import Reweighting


class Numbers:
    """A `Tally` of random numbers, whose mean is wanted."""

    least = 10

    def __init__(self, events: float = math.inf, fixed: bool = False) -> None:
        self.rows, self.events, self.fixed, self.looks = np.empty(0), events, fixed, []

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, part):
        self.rows = np.concatenate([self.rows, part])

    def divided(self, part, n):
        return (part, None) if len(part) <= n else (part[:n], part[n:])

    def leave_out(self):
        self.rows = self.rows[:0]

    def results(self):
        n = len(self.rows)
        self.looks.append(n)
        error = float(self.rows.std(ddof=1) / math.sqrt(n))
        mean = with_rarity(Estimate(float(self.rows.mean()), error, n=n, ess=1.0, fixed=self.fixed), self.events)
        return [Estimates({"mean": mean}, temperature=1.0, n=n, diagnostics={})]


def numbers(seed: int = 0, draw: str = "normal", size: int = 300):
    rng = np.random.default_rng(seed)
    while True:
        yield getattr(rng, draw)(size=size)


def run(error, tally=None, limits=None, parts=None, **options):
    limits = limits or Limits(n=10**6)
    found = reach(
        parts or numbers(), Numbers() if tally is None else tally, goals_of({"mean": error}), limits, **options
    )
    state_precision(found, limits)
    return found


def test_the_pilot_plans_a_set_of_new_configurations():
    tally = Numbers()
    found = run(0.01, tally)
    assert found.ended == "reached"
    assert found.left_out == 4000 == tally.looks[0]
    assert tally.looks[1:] == [len(tally)]  # the set was looked at once, when it was complete
    assert len(tally) == pytest.approx(1e4 / 0.95**2, rel=0.1)
    again = np.concatenate([part for part, _ in zip(numbers(), range(60), strict=False)])
    assert np.array_equal(tally.rows, again[4000 : 4000 + len(tally)])
    mean = found.results[0]["mean"]
    assert mean.error <= mean.wanted == 0.01
    assert mean.to_dict()["reached"] is True
    assert Estimate.from_dict(mean.to_dict(), mean.n).reached is True


def test_stopping_does_not_bias():
    """Exponential numbers, whose mean and error are related. Stopping at once, at 0.1, is off by 0.1 to 0.3 errors."""
    z, early = [], []
    for seed in range(400):
        estimate = run(0.1, Numbers(), parts=numbers(seed, "exponential", 100), limits=Limits(n=2000)).results[0][
            "mean"
        ]
        z.append((estimate.value - 1) / estimate.error)
        x = np.random.default_rng([1, seed]).exponential(size=400)
        k = np.arange(1, 401)
        error = np.sqrt(np.maximum(np.cumsum(x**2) / k - (np.cumsum(x) / k) ** 2, 0) / k)
        at = 29 + int(np.argmax(error[29:] <= 0.1))
        early.append((np.cumsum(x)[at] / k[at] - 1) / error[at])
    # the mean of 400 has an error of 0.05; that (value - 1) / error of 110 skewed numbers is off by 0.1 is no stopping
    assert -0.25 < np.mean(z) < 0.05
    assert np.mean(early) < np.mean(z) - 0.1
    assert 0.9 < np.mean(np.abs(z) < 2) < 0.99


def test_limits_end_it_and_are_told():
    ticks = iter(range(10**6))
    timed = Limits(minutes=1.0, clock=lambda: next(ticks))
    endings = {
        "n": run(1e-4, limits=Limits(n=9000)),
        "minutes": run(1e-4, limits=timed),
        "used up": run(1e-4, parts=iter([part for part, _ in zip(numbers(), range(40), strict=False)])),
    }
    for ended, found in endings.items():
        assert found.ended == ended
        lines = found.results[0].remarks
        assert re.match(r"mean to 0\.0001: error \S+, not reached, which needs about 1\.\de\+08 config", lines[0])
        assert found.results[0]["mean"].reached is False
    assert endings["n"].left_out + endings["n"].results[0].n == 9000
    assert "the largest number of configurations, 9,000" in endings["n"].results[0].remarks[1]
    assert "after 1 minutes" in endings["minutes"].results[0].remarks[1]
    with pytest.raises(ValueError, match=r"^mean to 1e-12 would take about .* years, since 4,000 .* ask for a larger"):
        run(1e-12, limits=Limits(clock=lambda: next(ticks)))


def test_an_error_that_is_not_trusted_is_not_reached():
    tally = Numbers(events=3)
    found = run(0.02, tally, Limits(), numbers(size=50_000))
    assert found.ended == "not trusted"
    assert [round(b / a) for a, b in zip(tally.looks[-4:], tally.looks[-3:], strict=False)] == [2, 2, 2]
    assert found.results[0]["mean"].reached is False
    assert "since it cannot be trusted: the error depends on few rare events" in found.results[0].remarks[0]


def test_what_is_continued_keeps_its_plan_and_a_smaller_error_prolongs_it():
    tally, plan, parts = Numbers(), Plan(), numbers()
    stops = iter([False] * 20 + [True])
    with pytest.raises(KeyboardInterrupt):
        run(0.01, tally, plan=plan, parts=parts, stops=lambda: next(stops))
    planned = plan.size
    assert plan.left_out == 4000
    assert 0 < len(tally) < planned
    assert run(0.01, tally, plan=plan, parts=parts).results[0].n == planned
    assert run(0.01, tally, plan=plan, parts=iter(())).ended == "reached"
    smaller = run(0.005, tally, plan=plan, parts=parts)
    assert (smaller.ended, smaller.left_out) == ("reached", 4000)
    assert smaller.results[0].n == pytest.approx(4 * planned, rel=0.1)


def test_what_cannot_be_prolonged_is_repeated():
    sizes = []

    def once(n, k):
        sizes.append(n)
        return Estimates(
            {"mean": Estimate(1.0, 1 / math.sqrt(n), n=n, ess=1.0)}, temperature=1.0, n=n, diagnostics={}, method="smc"
        )

    assert rerun(once, goals_of({"mean": "1%"}), Limits()).ended == "reached"
    assert sizes == [4000, 11081]
    assert rerun(once, goals_of({"mean": "0.01%"}), Limits(n=50_000)).ended == "n"
    with pytest.raises(ValueError, match=r"no estimate 'log_z' by method 'smc'"):
        rerun(once, goals_of({"log_z": 1}), Limits())


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ({"log_z": 0}, r"error of log_z must be a positive number, or a percentage such as 1%, got 0"),
        ({"log_z": "-1 %"}, r"must be a positive number"),
        ({"log_z": "much"}, r"must be a positive number"),
        ({"log_z": True}, r"must be a positive number"),
        ({}, r"error must be the wanted errors by name"),
        (0.1, r"error must be the wanted errors by name"),
        ({"ess": 0.1}, r"ess describes the samples"),
        ({"log_zz": 0.1}, r"no estimate 'log_zz' by method 'is' .*; did you mean 'log_z'\?"),
        ({"log_z[0]": 0.1}, r"log_z is one number, got log_z\[0\]: leave \[0\] out"),
        ({"correlation[5]": 0.1}, r"correlation has the entries 0 to 1, got correlation\[5\]"),
    ],
)
def test_wrong_wishes_get_one_line(error, message):
    ising = la.Ising((2, 2))
    model = la.MeanField((2, 2))
    with pytest.raises(ValueError, match=message) as raised:
        la.estimate(model, ising, 5.0, error=error, n=100, exact=None)
    assert "\n" not in str(raised.value)


def test_numbers_and_minutes_go_with_an_error():
    samples, ising = la.MeanField((2, 2)).sample(20), la.Ising((2, 2))
    with pytest.raises(ValueError, match="give error as well"):
        la.estimate(samples, ising, 5.0, n=100)
    for wrong in ({"n": 1.5}, {"n": 0}, {"minutes": 0}, {"minutes": "x"}):
        with pytest.raises(ValueError, match=rf"^{next(iter(wrong))} must be a"):
            la.estimate(samples, ising, 5.0, error={"log_z": 1}, **wrong)
    with pytest.raises(ValueError, match="needs chains that go on"):
        la.estimate_chains(ising.spins(samples.tokens), ising, 5.0, error={"energy_per_site": 1})
    fixed = Numbers(fixed=True)
    with pytest.raises(ValueError, match="in every configuration and has no error: leave it out"):
        run(0.1, fixed)


def test_sums_go_on_from_their_state():
    """Whatever is measured: scalars, arrays, what flips with the spins; more samples than stretches."""
    ising, model = la.Ising((2, 2)), la.MeanField((2, 2))
    mine = {"mine": lambda spins: spins[:, 0, 0]}
    parts = list(measurements(model.sample_batches(3000), ising, [4.0, 5.0], mine))
    whole, first, second = (Reweighting(ising, [4.0, 5.0], mine, [None, None]) for _ in range(3))
    head, rest = whole.divided(parts[0], 100)
    for part in parts:
        whole.add(part)
    first.add(head)
    arrays, values = first.state()
    second.restore({name: array.copy() for name, array in arrays.items()}, values)
    for part in (rest, *parts[1:]):
        second.add(part)
    for mine_, other in zip(second.results(), whole.results(), strict=True):
        assert mine_.keys() == other.keys()
        for name in other:
            assert np.allclose(mine_[name].value, other[name].value, rtol=1e-12, atol=1e-12, equal_nan=True), name
            assert np.allclose(mine_[name].error, other[name].error, rtol=1e-9, atol=1e-12, equal_nan=True), name
