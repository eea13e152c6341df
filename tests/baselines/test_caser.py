from math import log

import numpy as np
import pytest
import torch
from torch import Tensor

from sdmr.baselines.caser import Caser
from sdmr.harness.training.layers import draw_mask
from sdmr.harness.training.optimizer import OptimizationConfig
from tests.behavior import RecommenderBehavior, small
from tests.oracles.loops import Scaled

FAST = OptimizationConfig(learning_rate=0.02, regularization=0.0001, batch_size=32, epochs=30)


class TestCaser(RecommenderBehavior):
    def make(self) -> Caser:
        return Caser(dim=16, context_length=3, horizontal=4, vertical=2, dropout=0.2, optimization=FAST)


def built(dropout: float = 0.5) -> Caser:
    torch.manual_seed(0)
    model = Caser(dim=3, context_length=4, horizontal=2, vertical=2, dropout=dropout)
    model.build(n_users=5, n_items=6)
    with torch.no_grad():
        model.output_bias.weight.normal_()
        for table in (model.users, model.items, model.output):
            table.weight[:5].normal_()
    return model.double().eval()


def naive_score(model: Caser, user: int, context: list[int], candidate: int) -> float:
    """Compute Eq. 4-11 of the source with loops."""
    d, length = model.dim, model.context_length
    w = {name: value.tolist() for name, value in model.state_dict().items()}
    image = [w["items.weight"][item] for item in context]
    convolved = []
    for dimension in range(d):
        for f in range(model.n_vertical):
            column = sum(w["vertical.weight"][f][row] * image[row][dimension] for row in range(length))
            convolved.append(column + w["vertical.bias"][f])
    for height in range(1, length + 1):
        for f in range(model.n_horizontal):
            responses = []
            for first in range(length - height + 1):
                response = w[f"horizontal.{height - 1}.bias"][f]
                for row in range(height):
                    for k in range(d):
                        response += w[f"horizontal.{height - 1}.weight"][f][row * d + k] * image[first + row][k]
                responses.append(max(response, 0.0))
            convolved.append(max(responses))
    x = []
    for k in range(d):
        inner = sum(weight * c for weight, c in zip(w["hidden.weight"][k], convolved, strict=True))
        x.append(max(inner + w["hidden.bias"][k], 0.0))
    x += w["users.weight"][user]
    item_weights = w["output.weight"][candidate]
    return sum(a * b for a, b in zip(item_weights, x, strict=True)) + w["output_bias.weight"][candidate][0]


def test_scores_follow_the_equations() -> None:
    model = built()
    users, contexts = [3, 0, 4], [[0, 3, 3, 1], [6, 6, 2, 5], [6, 6, 6, 6]]
    candidates = [[1, 2], [5, 0], [4, 3]]
    scores = model(torch.tensor(users), torch.tensor(contexts), torch.tensor(candidates))
    for row in range(3):
        for column in range(2):
            expected = naive_score(model, users[row], contexts[row], candidates[row][column])
            assert scores[row, column].item() == pytest.approx(expected, rel=1e-9)


def test_a_positive_weighs_as_much_as_its_negatives_together() -> None:
    scores = torch.tensor([[0.5, -1.0, 2.0, 0.0, 1.0], [-0.3, 0.2, 0.4, -2.0, 3.0]], dtype=torch.float64)
    positive = negative = 0.0
    for row in scores.tolist():
        positive += -log(1 / (1 + np.exp(-row[0])))
        negative += sum(-log(1 - 1 / (1 + np.exp(-s))) for s in row[1:])
    expected = 2 * (positive / 2 + negative / 8)
    assert Caser().loss(scores).item() == pytest.approx(expected, rel=1e-12)


def test_the_order_of_the_context_matters_and_only_the_latest_items_are_read() -> None:
    model = built()
    users, candidates = torch.tensor([1]), torch.tensor([[0, 1, 2]])
    one, other = (model(users, torch.tensor([c]), candidates) for c in ([0, 1, 2, 3], [1, 0, 2, 3]))
    assert not torch.allclose(one, other)
    assert model.context_length == 4


def test_dropout_is_for_training_only() -> None:
    model = built()
    inputs = torch.tensor([1, 2]), torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0]]), torch.tensor([[0, 1], [2, 3]])
    quiet = model(*inputs)
    torch.testing.assert_close(model(*inputs), quiet, rtol=0, atol=0)
    model.train()
    assert any(not torch.allclose(model(*inputs), quiet) for _ in range(5))


def literal_scores(model: Caser, mask: Tensor, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
    """Compute Eq. 4-11 of the source, instance after instance, with a mask [B, n] that holds 0 or the factor."""
    scores, n = [], model.n_vertical * model.dim
    for b in range(len(users)):
        image = model.items.weight[contexts[b]]  # E
        vertical = [model.vertical.weight[f] @ image + model.vertical.bias[f] for f in range(model.n_vertical)]
        vertical = torch.stack(vertical) * mask[b, :n].view(model.n_vertical, model.dim)
        maxima = []
        for height, layer in enumerate(model.horizontal, 1):
            windows = [image[first : first + height].flatten() for first in range(len(image) - height + 1)]
            maxima.append(torch.stack([torch.relu(layer(window)) for window in windows]).amax(0))
        convolved = torch.cat([vertical.T.flatten(), torch.cat(maxima) * mask[b, n:]])
        z = torch.relu(model.hidden(convolved))
        x = torch.cat([z, model.users.weight[users[b]]])
        scores.append(model.output.weight[candidates[b]] @ x + model.output_bias.weight[candidates[b], 0])
    return torch.stack(scores)


def test_scores_in_training_drop_what_the_filters_return() -> None:
    model = built()
    model.dropout = Scaled(0.7)
    inputs = torch.randint(5, (7,)), torch.randint(7, (7, 4)), torch.randint(6, (7, 3))
    mask = torch.full((7, model.hidden.in_features), 0.7, dtype=torch.float64)
    torch.testing.assert_close(model(*inputs), literal_scores(model, mask, *inputs))


@pytest.mark.parametrize("dropout", [0.0, 0.4, 1.0])
def test_loss_and_gradients_in_training_follow_the_equations_with_the_same_mask(dropout: float) -> None:
    model = built(dropout).train()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
        model.items.weight[6] = 0  # padding
    inputs = torch.randint(5, (7,)), torch.randint(7, (7, 4)), torch.randint(6, (7, 3))
    torch.manual_seed(2)
    mask, factor = draw_mask(7, model.hidden.in_features, dropout)
    loss = model.loss(literal_scores(model, mask.double() * factor, *inputs))
    expected = dict(zip(dict(model.named_parameters()), torch.autograd.grad(loss, model.parameters()), strict=True))
    expected["items.weight"][6] = 0  # the padding stays zero
    torch.manual_seed(2)
    assert model.compute_gradients(*inputs) == pytest.approx(loss.item(), rel=1e-9)
    for name, parameter in model.named_parameters():
        gradient = parameter.grad.to_dense()  # type: ignore[union-attr]
        torch.testing.assert_close(gradient, expected[name], rtol=1e-9, atol=1e-9, msg=name)


def test_a_subclass_with_other_scores_is_trained_by_its_own_gradients() -> None:
    class Halved(Caser):
        def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
            return super().forward(users, contexts, candidates) / 2

    inputs, losses = (torch.tensor([1]), torch.tensor([[0, 1, 2, 3]]), torch.tensor([[0, 2]])), []
    for make in (Caser, Halved):
        torch.manual_seed(0)
        model = make(dim=3, context_length=4, dropout=0.0)
        model.build(n_users=5, n_items=6)
        losses.append(model.loss(model(*inputs)).item())
        assert model.compute_gradients(*inputs) == pytest.approx(losses[-1])
    assert losses[0] != losses[1]


def test_masks_drop_their_share_keep_the_mean_and_depend_on_the_seed_alone() -> None:
    torch.manual_seed(3)
    mask, factor = draw_mask(301, 333, 0.3)
    assert 1 - mask.double().mean() == pytest.approx(0.3, abs=0.01)
    assert (mask * factor).mean() == pytest.approx(1, abs=0.01)
    assert not torch.equal(mask, draw_mask(301, 333, 0.3)[0])
    torch.manual_seed(3)
    assert torch.equal(mask, draw_mask(301, 333, 0.3)[0])


def test_padding_stays_zero_and_candidates_have_another_table() -> None:
    model = Caser(dim=8, context_length=3, optimization=OptimizationConfig(learning_rate=0.02, batch_size=32, epochs=2))
    model.fit(small().training)
    assert (model.items.weight[small().training.n_items] == 0).all()
    assert model.output.weight.shape == (small().training.n_items, 16)


@pytest.mark.parametrize("wrong", [{"context_length": 0}, {"horizontal": 0}, {"vertical": 0}])
def test_an_empty_convolution_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="≥ 1"):
        Caser(**wrong)  # type: ignore[arg-type]


def test_dropout_ends_with_training_unless_it_is_to_stay() -> None:
    scores = {}
    for at_test in ("off", "on"):
        torch.manual_seed(0)
        model = Caser(dim=8, context_length=3, dropout=0.5, dropout_at_test=at_test)  # type: ignore[arg-type]
        model.build(n_users=5, n_items=30)
        inputs = np.arange(4), np.arange(12).reshape(4, 3), np.tile(np.arange(30), (4, 1))
        scores[at_test] = model.score(*inputs), model.score(*inputs)
    np.testing.assert_array_equal(*scores["off"])
    assert (scores["on"][0] != scores["on"][1]).any()
