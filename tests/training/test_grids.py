"""Maximum likelihood on grids: conditions stay with their configurations, and what is held out is never seen."""

import copy
import math

import pytest
import torch

import latticear as la
from latticear.training.dataset import Dataset
from latticear.training.objectives import forward_kl


def _classes(n: int = 600) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes of 3x3 configurations, each a pattern of its own with a tenth of the sites changed."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randint(3, (3, 3, 3), generator=generator)
    labels = torch.randint(3, (n,), generator=generator)
    noise = torch.randint(3, (n, 3, 3), generator=generator)
    changed = torch.rand(n, 3, 3, generator=generator) < 0.1
    return torch.where(changed, noise, patterns[labels]), torch.eye(3)[labels]


def _on_grid(n_condition: int = 3, steps: int = 60, **options):
    model = la.PixelCNN((3, 3), 3, width=8, depth=2, n_condition=n_condition)
    options = {"objective": "forward-kl", "batch_size": 64, "learning_rate": 1e-2, **options}
    return model, la.fit(model, la.Grid((3, 3), 3), steps=steps, **options)


def test_a_grid_is_learned_and_better_so_with_its_classes():
    """The classes of labels that say nothing do not help: the network reads the right ones."""
    tokens, condition = _classes()
    nll = {}
    for name, given in (("none", None), ("classes", condition), ("shuffled", condition[torch.randperm(600)])):
        _, run = _on_grid(0 if given is None else 3, data=tokens, condition=given)
        steps = list(run)
        nll[name] = steps[-1].metrics["nll_held_out"]
        assert "nll_held_out" not in steps[10].metrics
    assert nll["classes"] < nll["none"] - 0.03  # ln 3 / 9 = 0.12 nats per site at most
    assert nll["shuffled"] > nll["none"] - 0.01
    assert nll["none"] < 0.7 < math.log(3)


def test_metrics_of_a_grid_are_those_of_a_likelihood():
    tokens, condition = _classes()
    model, run = _on_grid(data=tokens, condition=condition, steps=5, ema_decay=0.0, held_out=0.2)
    *_, last = run
    expected = la.negative_log_likelihood(model, tokens[480:], condition[480:])["nll_per_site"].value
    assert last.metrics.keys() == {"nll_held_out", "learning_rate", "gradient_norm"}
    # of the weights before the last step
    assert last.metrics["nll_held_out"] == pytest.approx(expected, abs=0.1)
    _, run = _on_grid(data=tokens, condition=condition, steps=5, held_out=0.0)
    assert "nll_held_out" not in list(run)[-1].metrics


def test_the_loss_of_conditions_is_of_the_right_rows():
    tokens, condition = _classes(40)
    model = la.PixelCNN((3, 3), 3, width=8, depth=2, n_condition=3)
    data = Dataset(tokens, la.Grid((3, 3), 3), 0.25, True, 5, torch.device("cpu"), condition)
    batch = data.draw(200, 3)
    for row, given in zip(batch.tokens, batch.condition, strict=True):
        origin = (tokens[:30] == row).flatten(1).all(1)
        assert (condition[:30][origin] == given).all(1).any()
    loss, _ = forward_kl(model, *batch)
    assert loss.item() == pytest.approx(-model.log_prob(*batch).mean().item() / 9)
    held = la.negative_log_likelihood(model, tokens[30:], condition[30:])["nll_per_site"].value
    assert data.evaluate(model, 4)["nll_held_out"] == pytest.approx(held, rel=1e-6)


def test_what_is_held_out_is_never_trained_on():
    """No pair of configuration and condition that the network takes gradients on is one of those held out."""
    tokens, condition = _classes()
    seen = []
    model, run = _on_grid(data=tokens, condition=condition, steps=20, held_out=0.25)
    model.register_forward_pre_hook(lambda module, given: seen.append(given) if torch.is_grad_enabled() else None)
    list(run)
    trained = {(*row.flatten().tolist(), *c.tolist()) for t, c in seen for row, c in zip(t, c, strict=True)}
    rows = [(*row.flatten().tolist(), *c.tolist()) for row, c in zip(tokens, condition, strict=True)]
    assert trained <= set(rows[:450])
    assert len(trained) > 0.8 * len(set(rows[:450]))
    assert set(rows[450:]) - set(rows[:450])  # the test would see one of these


def test_images_are_not_turned():
    token = torch.zeros(2, 4, 4, dtype=torch.uint8)
    token[:, 0, 0] = token[:, 0, 1] = 1
    drawn = Dataset(token, la.Grid((4, 4), 2), 0.0, True, 0, torch.device("cpu")).draw(50, 0)
    assert torch.equal(drawn.tokens, token[:1].expand(50, 4, 4))
    assert drawn.condition is None


def test_components_are_drawn_and_counted_per_site():
    grid = la.Grid((3, 4), 3, n_components=2)
    tokens = torch.randint(3, (10, 2, 3, 4))
    data = Dataset(tokens, grid, 0.5, True, 0, torch.device("cpu"))
    assert data.draw(4, 0).tokens.shape == (4, 2, 3, 4)
    loss, _ = forward_kl(lambda t: -t.double().flatten(1).sum(1), tokens)
    assert loss.item() == pytest.approx(tokens.double().sum().item() / 10 / 12)
    with pytest.raises(
        ValueError, match=r"the model is for shape \(3, 4\) with 3 tokens, the Grid for .* 2 components"
    ):
        la.fit(la.PixelCNN((3, 4), 3), grid, objective="forward-kl", data=tokens)


def test_resume_with_conditions_is_as_if_never_stopped():
    tokens, condition = _classes()
    options = {"data": tokens, "condition": condition, "steps": 12, "evaluate_every": 4, "ema_decay": 0.9}
    straight, run = _on_grid(**options)
    whole = list(run)
    _, run = _on_grid(**options)
    state = copy.deepcopy([next(run) for _ in range(5)][-1].state.state_dict())
    run.close()
    second, run = _on_grid(**options, resume=state)
    assert [step.metrics for step in run] == [step.metrics for step in whole[5:]]
    for a, b in zip(straight.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "reverse-kl", "data": None}, "'reverse-kl' needs an energy, which a Grid does not have"),
        ({"temperature": 1.0}, "a grid has no temperature, got 1.0; leave it out"),
        ({"data": None}, "data must be given: a Grid has no energy"),
        ({"condition": None}, "condition must be given: the model takes 3 numbers"),
        (
            {"condition": torch.zeros(600, 2)},
            r"condition must have 3 entries for this model, got shape \(600",
        ),
        ({"condition": torch.zeros(599, 3)}, "one row for each configuration, got .* \\(599, 3\\)"),
        ({"condition": torch.full((600, 3), math.nan)}, "condition must be finite, got .* in row 0"),
        ({"data": torch.full((600, 3, 3), 4)}, r"Grid takes values 0, 1, 2 or numbers 1\.\.3, got 4"),
        ({"data": torch.full((600, 3, 3), -1)}, r"Grid takes values 0, 1, 2 or numbers 1\.\.3, got -1"),
        ({"data": torch.zeros(600, 2, 3, dtype=torch.uint8)}, r"must hold numbers of shape \(n, 3, 3\), got uint8"),
        ({"data": torch.zeros(0, 3, 3, dtype=torch.uint8)}, "holds no configuration"),
        (
            {"data": torch.zeros(1, 3, 3, dtype=torch.uint8), "condition": torch.zeros(1, 3)},
            "at least 2 configurations",
        ),
    ],
)
def test_bad_data_of_a_grid_fail_before_the_first_step(options, message):
    tokens, condition = _classes()
    with pytest.raises(ValueError, match=message):
        _on_grid(**{"data": tokens, "condition": condition, **options})


@pytest.mark.gpu
def test_cuda_trains_with_conditions():
    tokens, condition = _classes()
    model = la.PixelCNN((3, 3), 3, width=8, depth=2, n_condition=3).cuda()
    *_, last = la.fit(
        model, la.Grid((3, 3), 3), objective="forward-kl", steps=5, batch_size=32, data=tokens, condition=condition
    )
    assert math.isfinite(last.metrics["nll_held_out"])
    assert la.negative_log_likelihood(model, tokens, condition)["nll_per_site"].value > 0


def test_condition_maps_are_learned():
    """Each configuration repeats its map but for a tenth of the sites; an unconditional model sees coin flips."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randint(2, (1200, 1, 4, 4), generator=generator)
    changed = torch.rand(1200, 4, 4, generator=generator) < 0.1
    tokens = torch.where(changed, 1 - maps[:, 0], maps[:, 0])
    nll = {}
    for n_maps in (0, 1):
        model = la.PixelCNN((4, 4), 2, width=8, depth=2, n_condition_maps=n_maps)
        condition = model.condition_of(maps=maps) if n_maps else None
        grid, options = la.Grid((4, 4), 2), {"steps": 150, "batch_size": 64, "learning_rate": 1e-2}
        *_, last = la.fit(model, grid, objective="forward-kl", data=tokens, condition=condition, **options)
        nll[n_maps] = last.metrics["nll_held_out"]
    entropy = -(0.1 * math.log(0.1) + 0.9 * math.log(0.9))
    assert nll[0] == pytest.approx(math.log(2), abs=0.02)
    assert nll[1] == pytest.approx(entropy, abs=0.05)


def test_vector_and_maps_are_joined_in_their_order():
    model = la.PixelCNN((2, 3), 2, n_condition=2, n_condition_maps=1)
    vector, maps = torch.tensor([[1.0, 2.0]]), torch.arange(3.0, 9.0).view(1, 1, 2, 3)
    assert model.condition_of(vector, maps).tolist() == [[1, 2, 3, 4, 5, 6, 7, 8]]
    with pytest.raises(ValueError, match=r"maps of the condition must have shape \('B', 1, 2, 3\), got None"):
        model.condition_of(vector)
    with pytest.raises(ValueError, match="vector of the condition must have shape"):
        model.condition_of(vector[:, :1], maps)
