"""Counter-based uniforms: known answers, independence of how they are asked for, and uniformity; and the generators."""

import numpy as np
import pytest
import torch
from scipy import stats

from latticear.random_numbers import (
    GENERATORS,
    SAMPLING,
    TRAINING,
    _uniforms,
    generator,
    philox4x32,
    random_stream,
    uniforms,
)


# Random123's kat_vectors for philox4x32-10 (Salmon et al. 2011)
@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_known_answers(counter: list[int], key: list[int], answer: list[int]):
    words = philox4x32(tuple(torch.tensor([c]) for c in counter), tuple(key))
    assert [int(w) for w in words] == answer


def test_a_number_depends_only_on_seed_stream_sample_and_site():
    whole = uniforms(7, 0, 20, 9)
    assert torch.equal(uniforms(7, 5, 10, 9), whole[5:15])
    assert torch.equal(uniforms(7, 0, 20, 4), whole[:, :4])
    assert whole.dtype == torch.float64
    assert whole.min() >= 0
    assert whole.max() < 1
    for other in (uniforms(8, 0, 20, 9), uniforms(7 + 2**32, 0, 20, 9), uniforms(7, 0, 20, 9, stream=TRAINING)):
        assert not (other == whole).any()
    assert not (uniforms(7, 2**32, 20, 9) == whole).any()
    assert SAMPLING != TRAINING


def test_uniform_and_uncorrelated():
    # fixed seed; each p-value below 1e-4 with probability 1e-4 if the numbers are uniform
    u = uniforms(0, 0, 20_000, 10).numpy()
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-4
    for a, b in ((u[:, 0], u[:, 1]), (u[:-1, 0], u[1:, 0]), (u[:, 1], u[:, 2])):
        assert stats.pearsonr(a, b).pvalue > 1e-4


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, True, "0"])
def test_bad_seed(seed: object):
    with pytest.raises(ValueError, match="seed must be an integer"):
        uniforms(seed, 0, 1, 1)


@pytest.mark.parametrize("arguments", [(0, 0, 5, 7), (2**64 - 1, 2**40, 300, 16), (2**63, 2**32 - 3, 9, 1)])
@pytest.mark.parametrize("stream", [SAMPLING, TRAINING])
def test_compiled_numbers_are_those_of_pytorch(arguments: tuple[int, int, int, int], stream: int):
    assert torch.equal(uniforms(*arguments, stream=stream), _uniforms(*arguments, stream, "cpu"))


def test_seeds_may_be_numbers_of_numpy():
    assert torch.equal(uniforms(np.int64(7), 0, 5, 4), uniforms(7, 0, 5, 4))


# What version 0.1.0 drew: files and runs of its seeds must come out again.
@pytest.mark.parametrize(
    ("found", "entropy"),
    [
        (generator(5, "block updates"), [5, 0x626C6B]),
        (generator(5, "neural Metropolis"), [5, 0x6E6D63]),
        (generator(5, "training", 12), [5, 1, 12]),
        (generator(5, "couplings"), 5),
        (generator(2**40, "couplings"), 2**40),
        (generator(5, "couplings", 3), [5, 3]),
        (generator(5, "glyphs", 0), [5, 0]),
        (generator(5, "wolff"), np.random.SeedSequence(5, spawn_key=tuple(b"wolff"))),
    ],
)
def test_generators_are_what_they_were(found, entropy):
    assert found.bit_generator.state == np.random.default_rng(entropy).bit_generator.state


def test_each_purpose_has_a_stream_of_its_own():
    named = [generator(5, purpose, 7) for purpose in GENERATORS if GENERATORS[purpose]]
    others = [generator(5, purpose) for purpose in ("metropolis", "annealing", "annealing pilot", "annealing weights")]
    first = [int(stream.integers(2**63)) for stream in (*named, *others)]
    assert len(set(first)) == len(first)
    assert random_stream(5, "wolff").spawn_key != random_stream(5, "pilot").spawn_key
