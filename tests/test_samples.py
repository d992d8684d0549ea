"""Batches of configurations: cut and joined with all that they carry."""

from dataclasses import fields

import torch

from latticear.samples import Samples


def test_a_batch_is_cut_and_joined_with_all_that_it_carries():
    n = 10
    whole = Samples(
        torch.arange(n * 4).view(n, 2, 2),
        torch.rand(n, dtype=torch.float64),
        3,
        condition=torch.rand(n, 2),
        provenance={"method": "none"},
        log_q_given=torch.rand(n, dtype=torch.float64),
        where=torch.rand(n, 2, 2) < 0.5,
        records={"ladder": torch.rand(n, 3), "ancestor": torch.arange(n)},
    )
    again = Samples.cat([whole[:4], whole[4:5], whole[5:]])
    for field in fields(Samples):
        assert str(getattr(again, field.name)) == str(getattr(whole, field.name)), field.name
    assert whole[2:4].records["ancestor"].tolist() == [2, 3]
    assert whole[2:4].records["ladder"].shape == (2, 3)
    assert len(whole[:4]) == 4


def test_what_not_all_batches_carry_is_left_out():
    tokens = torch.zeros(2, 2, 2)
    joined = Samples.cat([Samples(tokens, torch.zeros(2), 0, records={"a": torch.ones(2)}), Samples(tokens, None, 0)])
    assert joined.log_q is None
    assert joined.records == {}
