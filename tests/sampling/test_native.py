"""The compiled engine: every function it knows, every instruction set, and what it leaves to PyTorch."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import torch
import torch.nn.functional as F
from support import contracts
from support.engines import draw_by_all, engines
from torch import nn

import latticear as la
from latticear.kernels.library import instruction_sets
from latticear.random_numbers import uniforms
from latticear.sampling import Engine, NativeEngine, Reference, drawer
from latticear.sampling.reference import draw_reference
from latticear.sampling.schedule import wavefront_rank
from latticear.sampling.tracing import one_hot

pytestmark = pytest.mark.skipif(not instruction_sets(), reason="the kernels were not built: there was no C compiler")

FUNCTIONS = {
    "relu": torch.relu,
    "elu": F.elu,
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "negative": lambda x: -x,
    "shifted": lambda x: 0.5 + x + 1,
    "scaled": lambda x: 2 * x * 0.25,
    "less": lambda x: x - 0.3,
    "difference": lambda x: x - torch.tanh(x),
    "product": lambda x: x * torch.sigmoid(x),
    "concatenated": lambda x: torch.cat([F.elu(x), F.elu(-x)], 1),
    "uneven": lambda x: torch.cat([torch.chunk(x, 2, 1)[1], torch.chunk(x, 2, 1)[0]], 1),
    "halves": lambda x: torch.cat([torch.chunk(x, 3, dim=1)[2], torch.chunk(x, 3, 1)[0], torch.tanh(x)], dim=1),
}
MODULES = [nn.ReLU(), nn.ELU(), nn.SiLU(), nn.Sigmoid(), nn.Tanh(), nn.Identity(), nn.Dropout(0.5)]


class _Activated(la.PixelCNN):
    """A network whose hidden values go through any function, and come out in any number of channels."""

    def __init__(self, function, shape=(4, 5), n_tokens=2, scale=1.0):
        super().__init__(shape, n_tokens, width=9, depth=2, kernel_size=3)
        self.function = function
        with torch.no_grad():
            channels = function(torch.zeros(1, 9, 1, 1)).shape[1]
            self.head = nn.Conv2d(channels, n_tokens, 1)
            for weight in self.parameters():
                weight.normal_(std=scale * 0.7)
        self._set_rank(wavefront_rank(self))

    def _logits(self, tokens, condition):
        hidden = self.layers[2](torch.relu(self.layers[0](one_hot(tokens, self.n_tokens, self.head.weight.dtype))))
        return self.head(self.function(hidden))


@pytest.mark.parametrize("function", [*FUNCTIONS.values(), *MODULES], ids=[*FUNCTIONS, *map(str, MODULES)])
@pytest.mark.parametrize("scale", [1.0, 8.0])
def test_every_function(function, scale):
    """The logits, seen through log_q, to rounding: at ordinary values, and where exponentials saturate."""
    model = _Activated(function, scale=scale).double().eval()
    u = uniforms(0, 0, 50, 20)
    drawn = draw_by_all(model, u)
    assert torch.equal(drawn.tokens, draw_reference(model, u).tokens)
    assert (model.log_prob(drawn.tokens) - drawn.log_q).abs().max() < 1e-10


@pytest.mark.parametrize("function", [nn.ELU(alpha=0.5), nn.GELU(), F.gelu, lambda x: F.elu(x, 2.0), lambda x: 1 - x])
def test_what_the_kernels_do_not_know_is_drawn_by_pytorch(function):
    model = _Activated(function).double()
    assert isinstance(drawer(model), Engine)
    u = uniforms(0, 0, 50, 20)
    drawn = draw_by_all(model, u, native=False)
    assert torch.equal(drawn.tokens, draw_reference(model, u).tokens)


def _hooked():
    module = nn.Tanh()
    module.register_forward_hook(lambda module, inputs, output: output * 2)
    return module


MISLEADING = {
    "channels": lambda x: x[:, 2:5],
    "inplace": lambda x: torch.cat([F.relu(x, inplace=True), x], 1),
    "inplace module": nn.ReLU(inplace=True),
    "broadcast": lambda x: torch.chunk(x, 9, 1)[0] * x,
    "mean": lambda x: x - x.mean(1, keepdim=True),
    "last chunk": lambda x: torch.chunk(x, 3, 1)[-1],
    "alpha": lambda x: torch.add(x, torch.tanh(x), alpha=3),
    "cast": lambda x: x.float().to(x.dtype),
    "hook": _hooked(),
    "one-channel gate": lambda x: torch.sigmoid(torch.chunk(x, 9, 1)[4]) * x,
    "along a row": lambda x: torch.cat([x[..., :1] * 0, x[..., :-1]], -1),
    "all chunks": lambda x: torch.cat(torch.chunk(x, 3, 1), 1),
    "keywords": lambda x: torch.cat(tensors=(x, x), dim=1),
    "negative dimension": lambda x: torch.cat([x, x], -3),
    "zero of a method": lambda x: x.clamp(min=0),
}


@pytest.mark.parametrize("function", MISLEADING.values(), ids=MISLEADING)
def test_what_may_be_misread_is_drawn_right(function):
    """By whichever engine takes it."""
    model = _Activated(function).double().eval()
    drawn, expected = model.sample(50, seed=1), model.sample(50, seed=1, method="reference")
    assert torch.equal(drawn.tokens, expected.tokens)
    assert (model.log_prob(drawn.tokens) - drawn.log_q).abs().max() < 1e-10


@pytest.mark.parametrize("name", instruction_sets())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("q", "width", "flip"), [(2, 5, True), (3, 16, False), (11, 33, True)])
def test_every_instruction_set(name, dtype, q, width, flip):
    model = contracts.peaked(la.PixelCNN((5, 6), q, width=width, depth=3, kernel_size=3, spin_flip_symmetric=flip), 0.5)
    u = uniforms(1, 0, 37, 30)
    expected = draw_reference(model, u)
    model = model.to(dtype)
    engine = engines(model, 37)[-1]
    assert isinstance(engine, NativeEngine)
    engine.instruction_set = instruction_sets().index(name)
    drawn = engine.draw(u)
    if dtype == torch.float64:
        assert torch.equal(drawn.tokens, expected.tokens)
    tolerance = 1e-10 if dtype == torch.float64 else 2e-4
    assert (model.log_prob(drawn.tokens) - drawn.log_q).abs().max() < tolerance
    assert (drawn.tokens != expected.tokens).any((1, 2)).sum() <= 1  # a uniform within rounding of a probability


def test_extreme_probabilities():
    """Logits of +-1e4: a token of no probability is never drawn, and the certain one costs nothing."""
    model = la.PixelCNN((3, 3), 3, width=4, depth=1, kernel_size=3).double()
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.tensor([-1e4, 1e4, 0.0]))
    drawn = draw_by_all(model, uniforms(0, 0, 100, 9))
    assert (drawn.tokens == 1).all()
    assert (drawn.log_q == 0).all()


def test_many_tokens_and_long_products_of_normalisations():
    """256 tokens at 600 sites: the product of the sums of exponentials leaves the range of numbers."""
    model = contracts.peaked(la.PixelCNN((20, 30), 256, width=8, depth=2, kernel_size=3), 0.3)
    drawn = engines(model, 5)[-1].draw(uniforms(0, 0, 5, 600))
    with torch.no_grad():
        assert (model.log_prob(drawn.tokens) - drawn.log_q).abs().max() < 1e-8
    assert drawn.log_q.max() < -1000


@pytest.mark.parametrize("n", [1, 15, 16, 17, 100])
def test_threads_and_numbers_change_nothing(n):
    """In float32, bit for bit: a configuration is computed by itself."""
    model = la.PixelCNN((6, 7), 2, width=8, depth=3, kernel_size=3)
    whole = model.sample(100, seed=3)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            part = model.sample(n, seed=3)
            assert torch.equal(part.tokens, whole.tokens[:n])
            assert torch.equal(part.log_q, whole.log_q[:n])
    finally:
        torch.set_num_threads(before)


def test_a_bias_that_moved_is_read_where_it_is():
    ising = la.Ising((4, 4))
    model = contracts.peaked(la.PixelCNN((4, 4), 2, width=4, depth=2, bias=ising.bias(2.0)), 0.5)
    u = uniforms(0, 0, 40, 16)
    draw_by_all(model, u)
    for name in ("energies", "field", "sites"):
        setattr(model.bias, name, getattr(model.bias, name).clone())
    model.bias.energies *= 3
    assert torch.equal(drawer(model).draw(u).tokens, draw_reference(model, u).tokens)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_left_to_pytorch(dtype):
    model = la.PixelCNN((4, 4), 2, width=4, depth=2).to(dtype)
    assert isinstance(drawer(model), Engine)
    assert len(model.sample(10)) == 10


class _Encoded(la.PixelCNN):
    """Sees the tokens through a function of them."""

    def __init__(self, encode, n_tokens=2):
        super().__init__((4, 5), n_tokens, width=6, depth=2, kernel_size=3)
        self.encode = encode
        with torch.no_grad():
            channels = encode(torch.zeros(1, n_tokens, 1, 1)).shape[1]
            self.layers[0] = la.models.MaskedConv2d(channels, 6, 3, "A")
            for weight in self.parameters():
                weight.normal_(std=0.7)
        self._set_rank(wavefront_rank(self))

    def _logits(self, tokens, condition):
        return self.head(self.layers(self.encode(one_hot(tokens, self.n_tokens, self.head.weight.dtype))))


@pytest.mark.parametrize(
    "encode",
    [
        lambda x: 2 * x - 1,
        lambda x: torch.chunk(x, 2, 1)[1] - torch.chunk(x, 2, 1)[0],
        lambda x: torch.cat([x, 1 - x], 1),
        nn.Dropout(0.5),
        nn.Conv2d(2, 3, 1),
    ],
    ids=["signs", "spin", "twice", "dropout", "embedding"],
)
def test_functions_of_the_tokens(encode):
    model = _Encoded(encode).double().eval()
    drawn, expected = model.sample(50, seed=1), model.sample(50, seed=1, method="reference")
    assert torch.equal(drawn.tokens, expected.tokens)
    assert (model.log_prob(drawn.tokens) - drawn.log_q).abs().max() < 1e-10


def test_one_hot_of_another_number_of_tokens_is_left_to_the_reference():
    model = _model_of_fewer_channels().double()
    assert isinstance(drawer(model), Reference)
    assert len(model.sample(5)) == 5


def _model_of_fewer_channels():
    class Fewer(la.PixelCNN):
        def _logits(self, tokens, condition):
            return self.head(self.layers(one_hot(tokens, self.n_tokens - 1, self.head.weight.dtype)))

    model = Fewer((4, 4), 2, width=4, depth=2, kernel_size=3)
    model.layers[0] = la.models.MaskedConv2d(1, 4, 3, "A")
    return model


class _Halved(la.PixelCNN):
    """States other probabilities than its `_logits` do, which is all that engines read."""

    def logits(self, tokens, condition=None):
        return 0.5 * super().logits(tokens, condition)


def test_an_engine_that_disagrees_with_the_network_is_not_used():
    model = _Halved((4, 4), 2, width=4, depth=2).double()
    with pytest.warns(UserWarning, match="drawn by the reference, slowly: an engine's log_q is off"):
        assert isinstance(drawer(model), Reference)
    samples = model.sample(20, seed=0)
    assert (model.log_prob(samples.tokens) - samples.log_q).abs().max() < 1e-10


class _Scaled(la.PixelCNN):
    """Reads plain attributes and a buffer as numbers."""

    def __init__(self):
        super().__init__((4, 4), 2, width=4, depth=2, kernel_size=3)
        self.scale, self.act, self.deep = 1.0, torch.tanh, False
        self.register_buffer("beta", torch.tensor(1.0))

    def _logits(self, tokens, condition):
        x = self.act(self.layers[0](one_hot(tokens, 2, self.head.weight.dtype)))
        x = self.layers[2](x) if self.deep else x
        return self.head(x * self.scale) * self.beta.item()


CHANGES = {
    "number": lambda m: setattr(m, "scale", 3.0),
    "function": lambda m: setattr(m, "act", torch.relu),
    "branch": lambda m: setattr(m, "deep", True),
    "buffer": lambda m: m.beta.fill_(4.0),
    "flip": lambda m: setattr(m, "spin_flip_symmetric", True),
    "mask": lambda m: m.layers[0].mask[0].fill_(False),
    "loaded": lambda m: m.load_state_dict({**m.state_dict(), "beta": torch.tensor(2.0)}),
    "hook": lambda m: m.layers[0].register_forward_hook(lambda module, inputs, output: 2 * output),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_after_the_first_draw_is_seen(change):
    model = _Scaled().double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_()
    model.sample(10)
    change(model)
    samples = model.sample(30, seed=1)
    assert torch.equal(samples.tokens, model.sample(30, seed=1, method="reference").tokens)
    assert (model.log_prob(samples.tokens) - samples.log_q).abs().max() < 1e-10


def test_tables_that_are_not_contiguous():
    class Random(la.Ising):
        @property
        def site_energies(self):
            return torch.randn(2, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64).T

    model = contracts.peaked(la.PixelCNN((4, 5), 2, width=4, depth=2, kernel_size=3), 0.5)
    model.bias = Random((4, 5)).bias(2.0)
    model.bias.attach(model.rank)
    assert torch.equal(model.sample(40).tokens, model.sample(40, method="reference").tokens)


def test_first_draw_in_inference_mode():
    model = la.PixelCNN((4, 4), 2, width=4, depth=2)
    with torch.inference_mode():
        inside = model.sample(20)
    assert torch.equal(model.sample(20).tokens, inside.tokens)


@pytest.mark.parametrize("flip", [False, True])
def test_each_configuration_has_couplings_of_its_own(flip):
    """Those of the known-neighbour term, by every instruction set; another configuration's would change tokens."""
    glasses = la.EdwardsAndersonDisorder((5, 4))
    model = la.PixelCNN((5, 4), width=4, depth=2, bias=glasses.bias(1.2), n_condition_maps=2, spin_flip_symmetric=flip)
    contracts.peaked(model.double(), scale=0.4)
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn(40, 2, 5, 4, generator=generator, dtype=torch.float64)
    condition, u = model.condition_of(None, maps), uniforms(3, 0, 40, 20)
    drawn = draw_by_all(model, u, condition=condition)
    assert (drawn.log_q - model.log_prob(drawn.tokens, condition)).abs().max() < 1e-10
    other = draw_by_all(model, u, condition=condition.roll(1, 0))
    assert not torch.equal(other.tokens, drawn.tokens)
    engine = drawer(model)
    assert isinstance(engine, NativeEngine)
    for engine.instruction_set in range(len(instruction_sets())):
        assert torch.equal(engine.draw(u, condition).tokens, drawn.tokens)
    assert torch.equal(engine.draw(u[7:9], condition[7:9]).tokens, drawn.tokens[7:9])


def test_first_draws_from_many_threads():
    """Tracing patches modules for the whole process: others must not notice."""
    for seed in range(5):
        model = la.PixelCNN((4, 5), 2, width=4, depth=3, kernel_size=3).double()
        expected = model.sample(20, seed=seed, method="reference").tokens
        with ThreadPoolExecutor(4) as pool:
            drawn = list(pool.map(lambda _, m=model, s=seed: m.sample(20, seed=s).tokens, range(4)))
        assert all(torch.equal(tokens, expected) for tokens in drawn)
        assert nn.Linear(2, 2)(torch.zeros(1, 2)).shape == (1, 2)


def test_modules_work_in_other_threads_while_networks_are_traced():
    network, stop = nn.Sequential(nn.Linear(3, 3), nn.ReLU()), Event()

    def evaluate():
        while not stop.is_set():
            network(torch.zeros(1, 3))
        return True

    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(evaluate)
        for _ in range(30):
            la.PixelCNN((4, 4), 2, width=4, depth=2)
        stop.set()
        assert busy.result()
