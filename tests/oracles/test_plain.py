"""Plain models score as the suite's do, and learn."""

from itertools import islice

import pytest
import torch
from torch import nn

from sdmr.experiments.benchmark.steps import draw_batches, make_model
from sdmr.harness.training.sequence import cut_windows
from tests.behavior import small
from tests.oracles.plain import MODELS, PlainSASRec, PlainSASRecEpoch, PlainSteps

BOTH = ("weight", "bias")
TABLES = {"translations.weight": "user_translations.weight"}  # by the plain model's name


@pytest.mark.parametrize("name", list(MODELS))
def test_a_plain_model_has_the_scores_of_its_model(name: str) -> None:
    training, model = small().training, make_model(name, "model.dim=8")
    reference = MODELS[name](training.n_users, training.n_items, dim=8)
    model.build(training.n_users, training.n_items)
    batch = next(draw_batches(training, model.context_length, model.optimization))
    with torch.no_grad():
        for key, parameter in reference.named_parameters():
            nn.init.normal_(parameter)
            model.get_parameter(TABLES.get(key, key)).copy_(parameter)
        torch.testing.assert_close(reference(*batch), model(*batch), rtol=1e-5, atol=1e-5)


def test_a_plain_sasrec_learns_from_every_position_of_the_windows() -> None:
    torch.manual_seed(0)
    training = small().training
    epoch = PlainSASRecEpoch(PlainSASRec(training.n_items, 8, 5, 1, 1, 0.0), training, 8, 20)
    _, first, size = cut_windows(training.instances, 5)
    for window, start, length in zip(epoch.windows.tolist(), first.tolist(), size.tolist(), strict=True):
        items = training.instances.contexts.items[start : start + length].tolist()
        assert window == items + [training.n_items] * (6 - length)
    losses = []
    for _ in range(5):
        losses.append(epoch.run())
    assert losses[-1] < losses[0]


def test_a_plain_sasrec_has_the_loss_of_its_model() -> None:
    """The plain one also has biases and an output projection, as nn.TransformerEncoder does."""
    training, model = small().training, make_model("sasrec", "model.dim=8", "model.context_length=5")
    model.build(training.n_users, training.n_items)
    reference = PlainSASRec(training.n_items, 8, 5, model.n_blocks, model.heads, 0.0)
    pairs = {"items.weight": model.items.weight, "positions.weight": model.positions}
    for n, block in enumerate(model.blocks):
        layer = f"encoder.layers.{n}."
        pairs |= {f"{layer}self_attn.in_proj_weight": block.attention.weight}
        pairs |= {f"{layer}self_attn.out_proj.weight": torch.eye(8)}
        modules = {"norm1": block.attention_norm, "norm2": block.layer_norm, "linear1": block.first}
        modules |= {"linear2": block.second}
        pairs |= {f"{layer}{name}.{key}": getattr(one, key) for name, one in modules.items() for key in BOTH}
    pairs |= {f"encoder.norm.{key}": getattr(model.norm, key) for key in BOTH}
    with torch.no_grad():
        for parameter in model.parameters():
            nn.init.normal_(parameter)
        model.items.weight[-1] = 0
        for key, parameter in reference.named_parameters():
            parameter.copy_(pairs.get(key, torch.zeros(())))
    epoch = PlainSASRecEpoch(reference, training, 8, 20)
    windows, negatives = epoch.windows[:8], torch.arange(0, training.n_items, 2)
    is_target = windows != training.n_items
    is_target[:, 0] = False
    model.eval()
    reference.eval()
    expected = epoch.compute_loss(windows, negatives).item()
    assert model.compute_gradients(windows, is_target, negatives) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", list(MODELS))
def test_steps_of_a_plain_model_lower_its_loss(name: str) -> None:
    training, model = small().training, make_model(name)
    reference = PlainSteps(MODELS[name](training.n_users, training.n_items))
    batches = draw_batches(training, model.context_length, model.optimization)
    users, contexts, candidates = next(batches)
    reference.run(islice(batches, 100))
    scores = reference.model(users, contexts, candidates)
    assert (scores[:, :1] > scores[:, 1:]).float().mean() > 0.7
