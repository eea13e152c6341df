"""Look up rows of embedding tables, and project each distinct row once."""

import math
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sdmr.harness.kernels import gather
from sdmr.harness.training.layers import Embedding
from sdmr.harness.training.optimizer import OptimizationConfig, Optimizer
from sdmr.models.sdm import SDM
from sdmr.models.sdp import SDP
from tests.behavior import small


class CountingLinear(nn.Linear):
    """Count the rows that go through the layer."""

    rows = 0

    def forward(self, x: Tensor) -> Tensor:
        self.rows += x[..., 0].numel()
        return super().forward(x)


def test_in_evaluation_every_row_is_projected_once() -> None:
    table, layer = Embedding(7, 4, std=1.0).eval(), CountingLinear(4, 3)
    several = torch.tensor([[6, 0, 6], [1, 2, 3]]), torch.tensor([5, 5])
    with torch.inference_mode():
        for _ in range(3):
            projected = [gather(*each) for each in table.project_unique(*((layer, ids) for ids in several))]
    assert layer.rows == 7
    for ours, ids in zip(projected, several, strict=True):
        torch.testing.assert_close(ours, layer(table(ids)))


def test_in_training_every_distinct_row_of_a_batch_is_projected_once() -> None:
    table, layer = Embedding(7, 4, std=1.0), CountingLinear(4, 3)
    ids = torch.tensor([[6, 0, 6], [1, 2, 0]])
    ((outputs, positions),) = table.project_unique((layer, ids))
    assert layer.rows == len(outputs) == 4
    torch.testing.assert_close(outputs[positions], layer(table(ids)))


@pytest.mark.parametrize("change", ["table", "weight", "bias", "another layer", "loaded"])
def test_a_changed_table_or_layer_is_projected_anew(change: str) -> None:
    table, layer = Embedding(7, 4, std=1.0).eval(), nn.Linear(4, 3)
    ids = torch.arange(7)
    with torch.inference_mode():
        before = gather(*table.project_unique((layer, ids))[0])
    with torch.no_grad():
        match change:
            case "table":
                table.weight[2] += 1
            case "weight":
                layer.weight.mul_(2)
            case "bias":
                layer.bias.add_(1)
            case "another layer":
                layer = nn.Linear(4, 3)
            case "loaded":
                table.load_state_dict(Embedding(7, 4, std=1.0).state_dict())
    with torch.inference_mode():
        after = gather(*table.project_unique((layer, ids))[0])
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, layer(table(ids)))


def test_a_table_is_projected_anew_after_an_optimizer_step() -> None:
    for algorithm in ("adam", "sgd"):
        model = nn.Module()
        model.table, model.layer = Embedding(7, 4, std=1.0), nn.Linear(4, 3)
        optimizer = Optimizer(model, OptimizationConfig(optimizer=algorithm))  # type: ignore[arg-type]
        for _ in range(2):
            ((rows, _),) = model.train().table.project_unique((model.layer, torch.tensor([1, 3])))
            optimizer.zero_grad()
            rows.sum().backward()
            optimizer.step()
            model.eval()
            with torch.inference_mode():
                ((now, _),) = model.table.project_unique((model.layer, torch.tensor([1, 3])))
                torch.testing.assert_close(now, model.layer(model.table(torch.tensor([1, 3]))))


def test_a_projection_has_the_gradient_of_layers_applied_to_rows() -> None:
    torch.manual_seed(0)
    table, layers = Embedding(7, 4, std=1.0, padding=True), (nn.Linear(4, 3), nn.Linear(4, 3))
    several = torch.tensor([[2, 2], [7, 0]]), torch.tensor([5, 2, 7])

    def gradients(outputs: list[Tensor]) -> tuple[Tensor, ...]:
        parameters = table.weight, *(parameter for layer in layers for parameter in layer.parameters())
        return torch.autograd.grad(sum((output.exp() * output).sum() for output in outputs), parameters)  # type: ignore[arg-type]

    ours = gradients([gather(*each) for each in table.project_unique(*zip(layers, several, strict=True))])
    expected = gradients([layer(table(ids)) for layer, ids in zip(layers, several, strict=True)])
    for gradient, reference in zip(ours, expected, strict=True):
        torch.testing.assert_close(gradient.to_dense(), reference.to_dense())


@pytest.mark.parametrize("make", [SDP, SDM])
def test_every_epoch_is_evaluated_with_its_parameters(
    make: Callable[..., SDP | SDM], monkeypatch: pytest.MonkeyPatch
) -> None:
    def curve() -> list[float]:
        model = make(dim=8, optimization=OptimizationConfig(learning_rate=0.01, batch_size=32, epochs=4))
        model.fit(small().training)
        return [entry["validation"] for entry in model.history[1:]]

    cached = curve()
    monkeypatch.setattr(Embedding, "_project_table", lambda self, layer: layer(self.weight))
    assert len(set(cached)) > 2
    assert cached == pytest.approx(curve(), abs=1e-6)


def test_a_model_can_be_pickled_after_an_evaluation() -> None:
    table, layer = Embedding(7, 4, std=1.0).eval(), nn.Linear(4, 3)
    with torch.inference_mode():
        table.project_unique((layer, torch.arange(7)))
    assert torch.equal(pickle.loads(pickle.dumps(table)).weight, table.weight)


def test_an_embedding_starts_with_the_stated_deviation() -> None:
    torch.manual_seed(0)
    weight = Embedding(4000, 25, std=0.3, padding=True).weight.detach()
    assert weight.shape == (4001, 25)
    assert not weight[4000].any()
    n = 4000 * 25
    assert abs(weight[:4000].mean().item()) < 5 * 0.3 / math.sqrt(n)
    assert abs(weight[:4000].std().item() - 0.3) < 5 * 0.3 / math.sqrt(2 * n)


def test_rows_looked_up_together_have_the_gradient_of_pytorchs_embedding() -> None:
    torch.manual_seed(0)
    table = Embedding(6, 3, std=1.0, padding=True)
    reference = nn.Embedding(7, 3, padding_idx=6, _weight=table.weight.detach().clone())
    ids = torch.tensor([[0, 2], [2, 6]]), torch.tensor([5, 2, 6])
    for ours, each in zip(table.lookup_many(*ids), ids, strict=True):
        assert torch.equal(ours, reference(each))
    sum((rows * rows).sum() + rows.sum() for rows in table.lookup_many(*ids)).backward()  # type: ignore[union-attr]
    sum((reference(each) * reference(each)).sum() + reference(each).sum() for each in ids).backward()  # type: ignore[union-attr]
    assert table.weight.grad is not None
    assert reference.weight.grad is not None
    torch.testing.assert_close(table.weight.grad.to_dense(), reference.weight.grad)
