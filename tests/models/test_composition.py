"""Networks of fixed composition: normalised over the allowed configurations, and no other is ever drawn."""

import math

import pytest
import torch
from support import contracts

import latticear as la
from latticear.exact import all_configurations
from latticear.models import MODELS, model_from_dict
from latticear.sampling.choice import Reference, drawer
from latticear.sampling.torch_engine import Engine

NETWORKS = [name for name in contracts.TRAINED if name != "multiscale"]


def allowed(tokens: torch.Tensor, composition: tuple[int, ...]) -> torch.Tensor:
    """Whether configurations have the composition, by counting."""
    counts = [tuple(row.flatten().tolist().count(t) for t in range(len(composition))) for row in tokens]
    return torch.tensor([count == composition for count in counts])


@pytest.mark.parametrize("composition", [(4, 5), (2, 3, 4)])
@pytest.mark.parametrize("name", NETWORKS)
def test_probabilities_of_the_allowed_configurations_sum_to_one(name, composition):
    shape = (3, 3)
    model = contracts.peaked(MODELS[name](shape, len(composition), composition=composition))
    tokens = all_configurations(shape, len(composition))
    if len(tokens) > 1000:  # all allowed ones, and some others
        counts = torch.stack([(tokens == t).flatten(1).sum(1) for t in range(3)], 1)
        right = (counts == torch.tensor(composition)).all(1)
        tokens = torch.cat([tokens[right], tokens[~right][::50]])
    with torch.no_grad():
        log_q = model.log_prob(tokens)
    inside = allowed(tokens, composition)
    n = math.factorial(9) // math.prod(map(math.factorial, composition))
    assert int(inside.sum()) == n
    assert log_q[inside].exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert bool((log_q[~inside] == -math.inf).all())
    samples, slow = (model.sample(300, seed=1, method=method) for method in ("wavefront", "reference"))
    assert bool(allowed(samples.tokens, composition).all())
    assert torch.equal(samples.tokens, slow.tokens)
    with torch.no_grad():
        torch.testing.assert_close(samples.log_q, model.log_prob(samples.tokens), rtol=0, atol=1e-10)


def test_4x4_sums_to_one():
    model = contracts.peaked(la.PixelCNN((4, 4), width=8, depth=2, composition=(6, 10)))
    tokens = all_configurations((4, 4), 2)
    tokens = tokens[tokens.flatten(1).sum(1) == 10]
    with torch.no_grad():
        assert model.log_prob(tokens).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_equal_logits_are_drawing_without_replacement():
    model = la.PixelCNN((3, 4), 3, width=4, depth=2, composition=(2, 4, 6))
    torch.nn.init.zeros_(model.head.weight)
    torch.nn.init.zeros_(model.head.bias)
    n = math.factorial(12) // (math.factorial(2) * math.factorial(4) * math.factorial(6))
    log_q = model.sample(50, seed=2).log_q
    torch.testing.assert_close(log_q, torch.full_like(log_q, -math.log(n)), rtol=0, atol=1e-5)


def test_frequencies_are_the_probabilities():
    """A chi-square over all 70 configurations; the false alarm rate is 1e-4."""
    from scipy.stats import chisquare

    model = contracts.peaked(la.PixelCNN((2, 4), width=8, depth=2, composition=(4, 4)))
    tokens = all_configurations((2, 4), 2)
    tokens = tokens[tokens.flatten(1).sum(1) == 4]
    places = 2 ** torch.arange(8)
    drawn = torch.bincount(model.sample(20_000, seed=3).tokens.flatten(1).long() @ places, minlength=256)
    with torch.no_grad():
        p = model.log_prob(tokens).exp()
    assert p.max() > 10 * p.min()
    observed = drawn[tokens.flatten(1).long() @ places].double()
    assert observed.sum() == 20_000
    keep = p * 20_000 > 5
    lumped = [torch.cat([each[keep], each[~keep].sum()[None]]) for each in (observed, p * 20_000)]
    assert chisquare(*lumped, sum_check=False).pvalue > 1e-4


@pytest.mark.parametrize("composition", [(0, 9), (9, 0), (8, 1)])
def test_a_state_that_is_used_up_is_never_drawn(composition):
    model = contracts.peaked(la.PixelCNN((3, 3), width=4, depth=2, composition=composition), scale=20.0)
    samples = model.sample(500, seed=4)
    assert bool(allowed(samples.tokens, composition).all())
    assert bool(samples.log_q.isfinite().all())


def test_the_symmetry_is_kept():
    model = contracts.peaked(la.PixelCNN((3, 4), width=8, depth=2, composition=(6, 6), spin_flip_symmetric=True))
    contracts.check_flip(model)
    contracts.check_sampler(model)


def test_it_is_drawn_at_the_cost_of_a_pass_where_it_can_be():
    assert isinstance(drawer(la.PixelCNN((4, 4), composition=(8, 8))), Engine)
    assert isinstance(drawer(la.MeanField((4, 4), composition=(8, 8))), Reference)


def test_with_the_sum_over_later_sites_it_draws_what_it_states():
    system = la.FixedComposition(la.Ising((3, 4), field=0.4), (5, 7))
    bias = system.bias(2.0, bond_dimension=4)
    model = contracts.peaked(la.PixelCNN((3, 4), width=4, depth=2, bias=bias, composition=(5, 7)))
    contracts.check_sampler(model)


def test_the_contract_judges_it():
    passed = la.check_model(la.MADE((2, 3), composition=(2, 4)))
    assert "composition" in passed


def test_it_is_saved():
    model = la.MADE((2, 3), 3, composition=(1, 2, 3))
    again = model_from_dict(model.to_dict())
    assert again.composition == (1, 2, 3)
    assert "composition=(1, 2, 3)" in repr(again)
    assert model_from_dict(la.MADE((2, 3)).to_dict()).composition is None


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: la.PixelCNN((3, 3), composition=(4, 4)), r"with the sum 9, got \(4, 4\) with the sum 8"),
        (lambda: la.PixelCNN((3, 3), composition=(4, 4, 1)), r"each of 2 states, not negative, .* got \(4, 4, 1\)"),
        (lambda: la.PixelCNN((3, 3), composition=(-1, 10)), r"not negative, with the sum 9, got \(-1, 10\)"),
        (lambda: la.PixelCNN((3, 3), composition=(4.5, 4.5)), r"integers, got \(4.5, 4.5\)"),
        (lambda: la.PixelCNN((3, 3), composition=5), r"integers, got 5"),
        (
            lambda: la.PixelCNN((3, 3), composition=(4, 5), spin_flip_symmetric=True),
            r"spin_flip_symmetric needs a composition with that symmetry, got \(4, 5\); leave",
        ),
        (lambda: la.PixelCNN((2, 2), composition=(4, 4), n_components=2), "one token at each site, got n_components"),
        (lambda: la.MultiscalePixelCNN((4, 4), composition=(8, 8)), "multiscale cannot keep a composition"),
        (lambda: la.TensorNetwork((4, 4), composition=(8, 8)), "tensor_network cannot keep a composition"),
    ],
)
def test_what_cannot_be_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("spin_flip_symmetric", [False, True])
def test_sites_held_fixed_leave_the_rest_of_the_composition(spin_flip_symmetric):
    """The probabilities of the drawn sites, over all ways to draw them, sum to one."""
    options = {"width": 8, "depth": 2, "spin_flip_symmetric": spin_flip_symmetric}
    model = contracts.peaked(la.PixelCNN((2, 4), composition=(4, 4), **options))
    contracts.check_held(model)
    given = torch.tensor([[0, 0, 1, 0], [1, 0, 0, 1]])
    where = torch.tensor([[False, True, False, False], [True, False, False, True]])
    samples = model.sample(3000, seed=5, given=given, where=where)
    assert bool(allowed(samples.tokens, (4, 4)).all())
    assert bool((samples.tokens[:, where] == given[where]).all())
    of_each = dict(zip(map(str, samples.tokens.tolist()), samples.log_q.tolist(), strict=True))
    assert len(of_each) == math.comb(5, 3)  # all that are left
    assert sum(map(math.exp, of_each.values())) == pytest.approx(1, abs=1e-10)
    whole = model.sample(20, seed=6)
    held = model.sample(20, given=whole.tokens, where=torch.ones(2, 4, dtype=torch.bool))
    assert bool((held.log_q == 0).all())
    torch.testing.assert_close(held.log_q_given, whole.log_q, rtol=0, atol=1e-10)
    with pytest.raises(ValueError, match=r"more sites at a token than the composition \(4, 4\) has: \(8, 0"):
        model.sample(3, given=torch.zeros(2, 4, dtype=torch.long), where=torch.ones(2, 4, dtype=torch.bool))
