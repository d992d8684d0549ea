"""CausalTransformer, PixelSNAIL, and the layers of attention: held against formulas, and drawn site by site."""

import pytest
import torch
from support import contracts
from support.engines import draw_by_all
from torch import nn

import latticear as la
from latticear.models import AbstractModel, CausalTransformer, MaskedConv2d, PixelSNAIL
from latticear.models.attention import CausalAttention, Positions, PreviousSite, SiteNorm
from latticear.random_numbers import uniforms
from latticear.sampling.choice import drawer
from latticear.sampling.receptive import dependences
from latticear.sampling.reference import Given, draw_reference
from latticear.sampling.schedule import schedule_of, wavefront_rank
from latticear.sampling.torch_engine import Engine
from latticear.sampling.tracing import one_hot

BOTH = [CausalTransformer, PixelSNAIL]


def _check_same(model: AbstractModel, given: Given | None = None, n: int = 40) -> None:
    """The engine, not the fallback, draws the reference's tokens, and again in a second draw."""
    assert isinstance(drawer(model), Engine)
    u = uniforms(0, 0, n, model.shape[0] * model.shape[1])
    with torch.no_grad():
        slow = draw_reference(model, u, given=given)
    for _ in range(2):
        fast = draw_by_all(model, u, given, native=False)
        assert torch.equal(fast.tokens, slow.tokens)
        assert (fast.log_q - slow.log_q).abs().max() < 1e-10
        assert (fast.log_q_given - slow.log_q_given).abs().max() < 1e-10
    assert len(slow.tokens.unique(dim=0)) > 1


@pytest.mark.parametrize("shape", [(1, 6), (6, 1), (2, 2), (1, 2), (2, 1)])
@pytest.mark.parametrize("cls", BOTH)
def test_chains_and_thin_lattices(cls: type[AbstractModel], shape: tuple[int, int]):
    contracts.check_normalised(contracts.peaked(cls(shape, 3)))
    contracts.check_condition(contracts.peaked(cls(shape, 3, n_condition=2), 0.5))
    contracts.check_gradients(cls(shape, 3, n_condition=2))
    _check_same(contracts.peaked(cls(shape, 3), 0.5))


@pytest.mark.parametrize("cls", BOTH)
def test_every_site_sees_all_earlier_ones_and_no_other(cls: type[AbstractModel]):
    model = cls((4, 5), 2)
    assert torch.equal(dependences(model), torch.ones(20, 20).tril(-1).bool())
    assert schedule_of(model).slope == 5


@pytest.mark.parametrize(
    "model",
    [
        lambda: CausalTransformer((3, 4), 2, width=6, depth=1, heads=1),
        lambda: CausalTransformer((3, 4), 3, width=6, depth=3, heads=3, spin_flip_symmetric=True),
        lambda: PixelSNAIL((3, 4), 2, width=5, depth=1, n_residual=3),
        lambda: PixelSNAIL((3, 4), 3, width=6, depth=3, n_residual=2, kernel_size=5, spin_flip_symmetric=True),
    ],
)
def test_options(model):
    model = model()
    la.check_autoregressive(model)
    contracts.check_saved(model.double())
    _check_same(contracts.peaked(model, 0.7))
    if model.spin_flip_symmetric:
        contracts.check_flip(contracts.peaked(model))


@pytest.mark.parametrize("cls", BOTH)
def test_sites_held_fixed(cls: type[AbstractModel]):
    model = contracts.peaked(cls((3, 4), 2, bias=la.Ising((3, 4)).bias(2.0)), 0.5)
    generator = torch.Generator().manual_seed(0)
    tokens, where = (torch.randint(2, (40, 12), generator=generator) for _ in range(2))
    _check_same(model, Given(tokens, where.bool()))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CausalTransformer((3, 3), width=6, heads=4), "heads must divide the channels"),
        (lambda: CausalTransformer((3, 3), heads=0), "heads must divide the channels"),
        (lambda: CausalTransformer((3, 3), width=0), "width and depth must be at least 1"),
        (lambda: CausalTransformer((3, 3), depth=0), "width and depth must be at least 1"),
        (lambda: PixelSNAIL((3, 3), n_residual=0), "width, depth and n_residual must be at least 1"),
        (lambda: PixelSNAIL((3, 3), kernel_size=4), "kernel_size must be odd"),
        (lambda: PixelSNAIL((3, 3), kernel_size=1), "kernel_size must be at least 3"),
        (lambda: PixelSNAIL((3, 3), 1), "n_tokens must be at least 2"),
    ],
)
def test_bad_arguments(build, message: str):
    with pytest.raises(ValueError, match=message):
        build()


def test_attention_is_its_formula():
    """`sum over sites j <= i of softmax(q_i . k_j / sqrt d) v_j`, for each head."""
    attention = CausalAttention(6, 2, (2, 3))
    q, k, v = torch.randn(3, 4, 6, 2, 3, dtype=torch.float64).flatten(-2)
    expected = torch.zeros_like(v)
    for head in (slice(0, 3), slice(3, 6)):
        for i in range(6):
            scores = torch.stack([(q[:, head, i] * k[:, head, j]).sum(1) for j in range(i + 1)], 1) / 3**0.5
            expected[:, head, i] = (scores.softmax(1)[:, None] * v[:, head, : i + 1]).sum(2)
    found = attention(q.view(4, 6, 2, 3), torch.cat([k, v], 1).view(4, 12, 2, 3))
    assert (found.flatten(2) - expected).abs().max() < 1e-12


def test_attention_site_by_site_is_attention():
    attention = CausalAttention(6, 2, (2, 3))
    q, kv = torch.randn(4, 6, 2, 3, dtype=torch.float64), torch.randn(4, 12, 2, 3, dtype=torch.float64)
    state, expected = attention.begin(4, q), attention(q, kv)
    for y in range(2):
        for x in range(3):
            out = attention.step(state, torch.tensor([y]), torch.tensor([x]), q[None, ..., y, x], kv[None, ..., y, x])
            assert (out[0] - expected[..., y, x]).abs().max() < 1e-12


@pytest.mark.parametrize("shape", [(3, 4), (1, 4), (4, 1)])
def test_the_previous_site_is_the_one_before_in_raster_order(shape: tuple[int, int]):
    layer = PreviousSite(2, 3, shape, bias=True).double()
    nn.init.normal_(layer.bias)
    x = torch.randn(2, 2, *shape, dtype=torch.float64)
    found, sequence = layer(x).flatten(2), x.flatten(2)
    assert torch.equal(found[..., 0], layer.bias.expand(2, 3))
    for i in range(1, 4):
        assert (found[..., i] - sequence[..., i - 1] @ layer.weight.T - layer.bias).abs().max() < 1e-12


def test_normalisation_and_positions_act_on_each_site():
    x = 3 + 2 * torch.randn(2, 8, 3, 4, dtype=torch.float64)
    normed = SiteNorm(8).double()(x)
    assert normed.mean(1).abs().max() < 1e-12
    assert (normed.var(1, unbiased=False) - 1).abs().max() < 1e-4
    positions = Positions(8, (3, 4)).double()
    added = positions(x) - x
    assert (added[1, :, 2, 3] - positions.rows[2] - positions.columns[3]).abs().max() < 1e-12
    front = positions.step(None, torch.tensor([0, 1]), torch.tensor([3, 1]), torch.zeros(2, 5, 8, dtype=torch.float64))
    assert (front - added[0, :, [0, 1], [3, 1]].T[:, None]).abs().max() < 1e-12


class _SitesFirst(AbstractModel):
    """Layers of the site alone read the tokens themselves, before a masked one."""

    name = "sites_first"

    def __init__(self, shape, elementwise):
        super().__init__(shape, 2)
        self.elementwise = elementwise
        self.embedding = nn.Conv2d(2, 4, 1)
        self.masked = MaskedConv2d(6 if elementwise else 4, 2, 3, "A")
        self._set_rank(wavefront_rank(self))

    def _logits(self, tokens, condition):
        hot = one_hot(tokens, 2, self.masked.weight.dtype)
        x = torch.tanh(self.embedding(hot))
        return self.masked(torch.cat([x, -hot], 1) if self.elementwise else x)


@pytest.mark.parametrize("shape", [(3, 5), (3, 2), (1, 4)])
@pytest.mark.parametrize("elementwise", [True, False])
def test_tokens_read_at_their_own_site(shape: tuple[int, int], elementwise: bool):
    torch.manual_seed(0)
    model = _SitesFirst(shape, elementwise).double()
    u = uniforms(0, 0, 40, shape[0] * shape[1])
    with torch.no_grad():
        slow, fast = draw_reference(model, u), draw_by_all(model, u, native=not elementwise)
    assert torch.equal(fast.tokens, slow.tokens)
    assert (fast.log_q - slow.log_q).abs().max() < 1e-10
