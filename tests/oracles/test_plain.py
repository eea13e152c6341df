"""Plain models score as the suite's do, and learn."""

from itertools import islice

import pytest
import torch
from torch import nn

from sdmr.experiments.benchmark.timing import draw_batches, make_model
from sdmr.harness.training.sequence import cut_windows
from tests.behavior import small
from tests.oracles.plain import MODELS, PlainSASRec, PlainSASRecEpoch, PlainSteps

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


@pytest.mark.parametrize("name", list(MODELS))
def test_steps_of_a_plain_model_lower_its_loss(name: str) -> None:
    training, model = small().training, make_model(name)
    reference = PlainSteps(MODELS[name](training.n_users, training.n_items))
    batches = draw_batches(training, model.context_length, model.optimization)
    users, contexts, candidates = next(batches)
    reference.run(islice(batches, 100))
    scores = reference.model(users, contexts, candidates)
    assert (scores[:, :1] > scores[:, 1:]).float().mean() > 0.7
