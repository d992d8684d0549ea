"""The judge passes a network of one's own, names what is wrong with a wrong one, and leaves it as it was.

That it passes every network of the package is tested in tests/models/test_contract.py.
"""

import copy
import dataclasses
import math
from typing import ClassVar, Unpack

import pytest
import torch
import torch.nn.functional as F
from support import contracts
from torch import nn

import latticear as la
from latticear.models.base import AbstractModel, Common
from latticear.sampling.reference import Drawn, draw_reference

ALWAYS = contracts.ALWAYS | {"normalised"}


class _Own(AbstractModel):
    """A user's network: logistic regression on the sites before; in no list, without a name or an option."""

    def __init__(self, shape, n_tokens=2):
        super().__init__(shape, n_tokens)
        self._prepare()

    def _prepare(self):
        n_sites = math.prod(self.shape)
        self.weight = nn.Parameter(torch.randn(self.n_tokens, n_sites, n_sites))
        self.register_buffer("mask", torch.ones(n_sites, n_sites).tril(-1))
        self._set_rank(torch.arange(n_sites).view(self.shape))

    def _logits(self, tokens, condition):
        x = 1 + tokens.flatten(1).to(self.weight.dtype)
        return torch.einsum("bj,tij->bti", self._hidden(x), self.weight * self.mask).unflatten(2, self.shape)

    def _hidden(self, x):
        return x


class _WithOptions(_Own):
    """The same with the options that every network of the package takes."""

    def __init__(self, shape, n_tokens=2, **common: Unpack[Common]):
        AbstractModel.__init__(self, shape, n_tokens, **common)
        self.embed = self.conditioning.embedding(n_tokens)
        self._prepare()

    def _logits(self, tokens, condition):
        logits = super()._logits(tokens, condition)
        return logits if self.embed is None else logits + self.embed(condition)


@pytest.mark.parametrize("n_tokens", [2, 3])
def test_a_network_of_ones_own_passes(n_tokens):
    assert set(la.check_model(_Own((2, 3), n_tokens))) == ALWAYS
    assert set(la.check_model(_Own((5, 5), n_tokens))) == ALWAYS - {"normalised"}  # too many to sum over
    assert set(la.check_model(_WithOptions((2, 3), n_tokens))) == ALWAYS | contracts.OPTIONAL | {"composition"}


def test_options_of_the_instance_are_judged():
    bias = la.Ising((2, 3)).bias(None)
    model = _WithOptions((2, 3), spin_flip_symmetric=True, bias=bias, n_condition=1, n_condition_maps=1)
    assert set(la.check_model(model)) == ALWAYS | contracts.OPTIONAL | {"composition"}
    assert "spin flip" in la.check_model(la.PixelCNN((2, 2), width=4, depth=2, spin_flip_symmetric=True))
    assert "components" in la.check_model(la.PixelCNN((2, 2), width=4, depth=2, n_components=2))


def test_a_class_without_a_name_is_called_by_its_own_and_rebuilt():
    model = _Own((2, 3))
    assert model.to_dict() == {"name": "_Own", "shape": [2, 3], "n_tokens": 2}
    again = _Own.from_dict(model.to_dict())
    assert type(again) is _Own
    assert again.shape == (2, 3)


class _SeesItself(_Own):
    def _prepare(self):
        super()._prepare()
        self.mask += torch.eye(len(self.mask))


class _RowsAtOnce(_Own):
    """Says that a row is drawn at once, which is not how it reads."""

    def _prepare(self):
        super()._prepare()
        self._set_rank(self.rank // self.shape[1])


class _FlatRank(_Own):
    def _prepare(self):
        super()._prepare()
        self._set_rank(self.rank.flatten())


class _ForgetsSoftmax(_Own):
    def log_prob(self, tokens, condition=None, known=None):
        return self.logits(tokens).double().gather(1, tokens.long().unsqueeze(1)).flatten(1).sum(1)


class _OfOtherLogits(_Own):
    """Normalised, but not what the sampler draws from."""

    def log_prob(self, tokens, condition=None, known=None):
        log_p = (2 * self.logits(tokens)).double().log_softmax(1)
        return log_p.gather(1, tokens.long().unsqueeze(1)).flatten(1).sum(1)


class _ForwardIsLogits(_Own):
    def forward(self, tokens, condition=None):
        return self.logits(tokens, condition)


class _SinglePrecision(_Own):
    def log_prob(self, tokens, condition=None, known=None):
        return super().log_prob(tokens).float()


class _OneChannel(_Own):
    def _logits(self, tokens, condition):
        return super()._logits(tokens, condition)[:, :1]


class _NotANumber(_Own):
    def _hidden(self, x):
        return x * self.weight[0, 0, 0].sqrt()


class _Noisy(_Own):
    def _hidden(self, x):
        return F.dropout(x, 0.5)


class _BatchNorm(_Own):
    def _prepare(self):
        super()._prepare()
        self.norm = nn.BatchNorm1d(math.prod(self.shape), affine=False)

    def _hidden(self, x):
        return self.norm(x)


class _OverTheBatch(_Own):
    def _hidden(self, x):
        return x - x.mean(0)


class _OtherWeights(_Own):
    """States what it drew with, and says another number."""

    def sample_batches(self, n, **options):
        for batch in super().sample_batches(n, **options):
            yield dataclasses.replace(batch, log_q=batch.log_q + 0.01)


class _DrawsItself(_Own):
    block: ClassVar = {"cpu": 64}


class _AddsNoise(_DrawsItself):
    """Draws from numbers of its own."""

    def draw_block(self, u, condition=None, given=None):
        return draw_reference(self, torch.rand_like(u), condition, given)


class _MixesSites(_DrawsItself):
    """Draws rightly, but the sites from each other's numbers."""

    def draw_block(self, u, condition=None, given=None):
        return draw_reference(self, u.flip(1), condition, given)


class _ForgetsHeld(_DrawsItself):
    def draw_block(self, u, condition=None, given=None):
        return draw_reference(self, u, condition)


class _LosesHeld(_DrawsItself):
    def draw_block(self, u, condition=None, given=None):
        drawn = draw_reference(self, u, condition, given)
        return Drawn(drawn.tokens, drawn.log_q, torch.zeros_like(drawn.log_q))


class _Unused(_Own):
    def _prepare(self):
        super()._prepare()
        self.scale = nn.Parameter(torch.ones(1))


class _Dead(_Unused):
    def _hidden(self, x):
        return x + 0 * self.scale


class _ForgetsArgument(_Own):
    def __init__(self, shape, n_tokens=2, strength=1.0):
        super().__init__(shape, n_tokens)


class _NoJson(_Own):
    def __init__(self, shape, n_tokens=2, activation=torch.tanh):
        self.__dict__["activation"] = activation
        super().__init__(shape, n_tokens)


class _BorrowedName(_Own):
    name = "pixelcnn"


class _Tuned(_Own):
    """Computes with what is no argument."""

    factor = 1.0

    def _hidden(self, x):
        return x * self.factor


def _tuned(shape, n_tokens=2):
    model = _Tuned(shape, n_tokens)
    model.factor = 2.0
    return model


class _IgnoresCondition(_WithOptions):
    def _logits(self, tokens, condition):
        return _Own._logits(self, tokens, condition)


class _ReadsTheVectorAlone(_WithOptions):
    def _logits(self, tokens, condition):
        if condition is None or not self.n_condition:
            return super()._logits(tokens, condition)
        return (
            _Own._logits(self, tokens, condition)
            + condition[:, :1, None, None] * tokens.new_tensor([[1], [0]])[..., None]
        )


class _OwnLogits(_WithOptions):
    """What would make them symmetric is overridden."""

    def logits(self, tokens, condition=None):
        return self._logits(tokens, condition)


class _ForgetsBias(_WithOptions):
    def log_prob(self, tokens, condition=None, known=None):
        log_p = self._symmetric_logits(tokens, condition).double().log_softmax(1)
        return log_p.gather(1, tokens.long().unsqueeze(1)).flatten(1).sum(1)


class _LeakyComponents(la.PixelCNN):
    """Shows the second of two components its own token."""

    name = "leaky"

    def __init__(self, shape, n_tokens=2, *, n_components=1):
        super().__init__(shape, n_tokens, width=6, depth=2, kernel_size=3, n_components=n_components)
        if n_components > 1:
            self.layers[0].own_site[3:, n_tokens:] = True


WRONG = {
    _SeesItself: r"logits of site \(0, 0\) \(rank 0\) depend on the token of site \(0, 0\) .*: mask that connection",
    _RowsAtOnce: r"the logits of site \(0, 1\) \(rank 0\) depend on the token of site \(0, 0\) \(rank 0\)",
    _FlatRank: r"the rank must hold an integer for each site, of shape \(2, 3\), got torch.int64 of shape \(6,\)",
    _ForgetsSoftmax: r"probabilities of all 64 configurations sum to exp\([-\d.]+\), not to 1: log_prob must be",
    _OfOtherLogits: r"log_prob is [-\d.]+ instead of [-\d.]+, the sum over sites of log_softmax\(logits\)",
    _ForwardIsLogits: r"model\(tokens\) must be model.log_prob\(tokens\)",
    _SinglePrecision: r"log_prob must be a float64 number .* got torch.float32",
    _OneChannel: r"a channel for each token: for 6 configurations shape \(6, 2, 2, 3\), got \(6, 1, 2, 3\)",
    _NotANumber: "logits are nan or infinite",
    _Noisy: "from one call to the next: dropout and noise must be off",
    _BatchNorm: "with the others in its batch, in training mode",
    _OverTheBatch: "with the others in its batch, in evaluation mode",
    _OtherWeights: r"sample\(...\).log_q is not log_prob of the sample, .* \(off by 0.0",
    _AddsNoise: r"sample\(90, start=60\) is not the end of sample\(150\)",
    _MixesSites: r"\d+ of 150 samples are not what the plain loop over ranks draws",
    _ForgetsHeld: "tokens held fixed by given and where are changed in the samples",
    _LosesHeld: "log_q_given of the held ones must add up to log_prob",
    _Unused: "log_prob does not depend on the parameter 'scale'",
    _Dead: "the gradient of log_prob by the parameter 'scale' is zero",
    _ForgetsArgument: r"to_dict\(\) fails \(.*'strength'\): store each argument",
    _NoJson: r"to_dict\(\) cannot be written as JSON",
    _BorrowedName: "its name 'pixelcnn' is that of PixelCNN",
    _tuned: r"rebuilt from to_dict\(\) and state_dict\(\) log_prob is [-\d.]+ instead of",
    _IgnoresCondition: "log_prob does not depend on entry 0 of a condition of 2 numbers",
    _ReadsTheVectorAlone: "log_prob does not depend on entry 1 of a condition of 2 numbers",
    _OwnLogits: "spin_flip_symmetric is set, but",
    _ForgetsBias: "log_prob is .* the sum over sites of log_softmax",
    _LeakyComponents: "the logits of component 1 of site .* depend on the token of component 1",
}


@pytest.mark.parametrize("build", WRONG, ids=lambda build: build.__name__.lstrip("_"))
def test_mistakes_are_named(build):
    with pytest.raises(AssertionError, match=WRONG[build]) as error:
        la.check_model(build((2, 3)))
    assert str(error.value).startswith(build.__name__.replace("tuned", "Tuned"))


def test_what_cannot_be_enumerated_is_still_compared_with_the_logits():
    with pytest.raises(AssertionError, match=r"log_prob is .* the sum over sites"):
        la.check_model(_ForgetsSoftmax((5, 5)))


class _Zeros(_Own):
    """Begins with a last layer of zeros, as many do, so that what comes before has no gradient yet."""

    def _prepare(self):
        super()._prepare()
        nn.init.zeros_(self.weight)
        self.first, self.drop = nn.Linear(math.prod(self.shape), 1), nn.Dropout(0.5)
        self.first.requires_grad_(False)
        self.scale = nn.Parameter(torch.ones(1))

    def _hidden(self, x):
        return self.drop(x * self.scale)


def test_what_is_no_mistake():
    """Dropout that evaluation turns off, frozen parameters, gradients that are zero at the start."""
    assert set(la.check_model(_Zeros((2, 3)))) == ALWAYS


def test_errors_of_the_network_itself_say_where_they_came_up():
    class Constant(_Own):
        def __init__(self, shape, n_tokens=2):
            super().__init__(shape, n_tokens)
            self.constant = torch.eye(math.prod(shape))  # no buffer

        def _hidden(self, x):
            return x @ self.constant

    with pytest.raises(RuntimeError) as error:
        la.check_model(Constant((2, 3)))
    assert "check_model was at 'shapes'" in error.value.__notes__[0]
    assert "register_buffer" in error.value.__notes__[0]


class _Unfinished(_Own):
    def _prepare(self):
        pass


class _Bare(_Own):
    def __init__(self):
        nn.Module.__init__(self)


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (la.PixelCNN, r"takes a network, not a class: check_model\(PixelCNN\(\(3, 3\), n_tokens=2\)\)"),
        (nn.Linear(2, 2), "of a class derived from latticear.models.AbstractModel, got Linear"),
        (None, "got NoneType"),
        (_Bare(), r"_Bare does not call super\(\).__init__\(shape, n_tokens\)"),
        (_Unfinished((2, 3)), r"_Unfinished has no order of its sites: call self._set_rank\(rank\)"),
    ],
)
def test_what_is_no_network_is_refused(thing, message):
    with pytest.raises(ValueError, match=message):
        la.check_model(thing)


@pytest.mark.parametrize("build", [_WithOptions, _Noisy])
def test_the_model_is_left_as_it_was(build):
    model = build((2, 3)).train()
    model.mask_of_mode = nn.Dropout(0.5).eval()
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    weights, modes = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    hooks, state = dict(model._forward_hooks), torch.random.get_rng_state()
    with torch.no_grad():
        try:
            la.check_model(model)
        except AssertionError:
            assert build is _Noisy
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert dict(model._forward_hooks) == hooks
    assert all(p.grad is None and p.dtype == torch.float32 for p in model.parameters())


def test_what_it_says_does_not_depend_on_the_random_state():
    messages = set()
    for seed in range(3):
        torch.manual_seed(seed)
        model = _OfOtherLogits((2, 3))
        with pytest.raises(AssertionError) as error:
            la.check_model(model)
        messages.add(str(error.value))
    assert len(messages) == 1
