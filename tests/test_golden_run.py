"""The golden run notices every change: of a number's last bit, of a tensor, of a refusal, of what is there at all."""

import copy
import math

import numpy as np
import pytest
import torch
from support.golden_record import Record, differing, plain


def _record() -> dict:
    record = Record()
    record("sampling", lambda: {"log_q": torch.linspace(-1, 0, 5), "mean": 0.1, "n": 3})
    record("estimates", lambda: [{"value": math.nan, "reliable": True}, {"value": np.float64(2.5)}])
    record("refusal", lambda: torch.zeros(2) + _refuse("temperature must be positive"))
    return record.content


def _refuse(message: str) -> None:
    raise ValueError(message)


def _changed(content: dict, *path: str | int, to: object) -> dict:
    content = copy.deepcopy(content)
    *way, last = path
    place = content
    for key in way:
        place = place[key]
    place[last] = to
    return content


def test_the_same_is_the_same():
    assert differing(_record(), _record()) == []


@pytest.mark.parametrize(
    ("path", "to", "line"),
    [
        (("sampling", "mean"), math.nextafter(0.1, 1), "sampling / mean: 0.1 became 0.10000000000000002"),
        (("sampling", "n"), 3.0, "sampling / n: 3 became 3.0"),
        (("estimates", 0, "value"), 1.0, "estimates / 0 / value: 'nan' became 1.0"),
        (("estimates", 0, "reliable"), 1, "estimates / 0 / reliable: True became 1"),
        (("estimates", 1), None, "estimates / 1: nothing became None"),
        (("refusal", "refused"), "no", "refusal / refused: 'ValueError: temperature must be positive' became 'no'"),
        (("more",), {}, "more: nothing became {}"),
    ],
)
def test_whatever_changes_is_named(path, to, line):
    expected = _record()
    assert line in differing(expected, _changed(expected, *path, to=to))
    assert differing(_changed(expected, *path, to=to), expected)


@pytest.mark.parametrize(
    "other",
    [
        torch.tensor([0.0, math.nextafter(0.5, 1)]).double(),
        torch.tensor([0.0, 0.5]).double(),
        torch.tensor([[0.0, 0.5]]),
        torch.tensor([-0.0, 0.5]),
    ],
    ids=["a bit", "type", "shape", "sign of zero"],
)
def test_a_tensor_is_its_bytes_its_type_and_its_shape(other):
    tensor = torch.tensor([0.0, 0.5])
    assert plain(tensor) == plain(tensor.clone().requires_grad_())
    assert plain(tensor) != plain(other)


def test_no_entry_replaces_another():
    record = Record()
    record("a", dict)
    with pytest.raises(KeyError, match="a is recorded twice"):
        record("a", dict)
    with pytest.raises(ZeroDivisionError):  # a mistake is no refusal
        record("b", lambda: 1 / 0)
