"""Pictures drawn here: the same for the same seed, readable, different from each other, and of the levels asked for."""

import pytest
import torch

import latticear as la


def test_a_picture_is_a_function_of_seed_and_index():
    tokens, labels = la.data.glyphs(20, seed=3)
    more, more_labels = la.data.glyphs(30, seed=3)
    assert torch.equal(more[:20], tokens)
    assert torch.equal(more_labels[:20], labels)
    assert not torch.equal(la.data.glyphs(20, seed=4)[0], tokens)


@pytest.mark.parametrize("levels", [2, 4, 256])
def test_levels_from_paper_to_ink(levels):
    tokens, _ = la.data.glyphs(50, (14, 18), levels)
    assert tokens.shape == (50, 14, 18)
    assert tokens.dtype == torch.uint8
    assert (int(tokens.min()), int(tokens.max())) == (0, levels - 1)
    assert len(tokens.unique()) == levels or levels > 200
    assert (tokens[:, 0] == 0).float().mean() > 0.95  # the character is inside
    assert ((tokens > 0).float().mean((1, 2)) > 0.05).all()


def test_grey_levels_are_shares_of_a_pixel():
    """Binary pictures are the grey ones, rounded."""
    grey, _ = la.data.glyphs(30, levels=256)
    binary, _ = la.data.glyphs(30, levels=2)
    certain = (grey.int() - 128).abs() > 2
    assert torch.equal((grey > 127)[certain], (binary == 1)[certain])


def test_classes_can_be_told_apart():
    """The nearest of a hundred other pictures is of the same class nine times in ten; any class would be, by chance,
    once in three."""
    tokens, labels = la.data.glyphs(300, characters="AXO", seed=1)
    assert set(labels.tolist()) == {0, 1, 2}
    flat = tokens.flatten(1).double()
    nearest = torch.cdist(flat[100:], flat[:100]).argmin(1)
    assert (labels[:100][nearest] == labels[100:]).double().mean() > 0.9


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n": 0}, "n >= 1"),
        ({"shape": (7, 16)}, r"at least \(8, 8\)"),
        ({"characters": ""}, "a character"),
        ({"levels": 1}, "levels must lie in 2..256"),
        ({"levels": 257}, "levels must lie in 2..256"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_what_cannot_be_drawn(arguments, words):
    with pytest.raises(ValueError, match=words):
        la.data.glyphs(**{"n": 1, **arguments})
