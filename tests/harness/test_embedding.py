from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sdmr.harness.embedding import Embedding
from sdmr.harness.optimiser import Optimisation, Optimiser
from sdmr.harness.rows import gather
from sdmr.models.sdm import SDM
from sdmr.models.sdp import SDP
from tests.behaviour import small


class Counted(nn.Linear):
    """A layer that counts its rows."""

    rows = 0

    def forward(self, x: Tensor) -> Tensor:
        self.rows += x[..., 0].numel()
        return super().forward(x)


def test_outside_of_training_the_rows_go_through_a_layer_once() -> None:
    table, layer = Embedding(7, 4, std=1.0).eval(), Counted(4, 3)
    several = torch.tensor([[6, 0, 6], [1, 2, 3]]), torch.tensor([5, 5])
    with torch.inference_mode():
        for _ in range(3):
            through = [gather(*each) for each in table.through(*((layer, ids) for ids in several))]
    assert layer.rows == 7
    for ours, ids in zip(through, several, strict=True):
        torch.testing.assert_close(ours, layer(table(ids)))


def test_in_training_the_distinct_rows_of_a_batch_go_through_a_layer_once() -> None:
    table, layer = Embedding(7, 4, std=1.0), Counted(4, 3)
    ids = torch.tensor([[6, 0, 6], [1, 2, 0]])
    ((outputs, place),) = table.through((layer, ids))
    assert layer.rows == len(outputs) == 4
    torch.testing.assert_close(outputs[place], layer(table(ids)))


@pytest.mark.parametrize("change", ["table", "weight", "bias", "another layer", "loaded"])
def test_what_went_through_a_layer_is_forgotten_when_anything_changes(change: str) -> None:
    table, layer = Embedding(7, 4, std=1.0).eval(), nn.Linear(4, 3)
    ids = torch.arange(7)
    with torch.inference_mode():
        before = gather(*table.through((layer, ids))[0])
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
        after = gather(*table.through((layer, ids))[0])
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, layer(table(ids)))


def test_an_optimiser_step_is_a_change() -> None:
    for optimizer in ("dense", "rowwise", "sgd"):
        model = nn.Module()
        model.table, model.layer = Embedding(7, 4, std=1.0), nn.Linear(4, 3)
        optimiser = Optimiser(model, Optimisation(optimizer=optimizer))  # type: ignore[arg-type]
        for _ in range(2):
            ((rows, _),) = model.train().table.through((model.layer, torch.tensor([1, 3])))
            optimiser.zero_grad()
            rows.sum().backward()
            optimiser.step()
            model.eval()
            with torch.inference_mode():
                ((now, _),) = model.table.through((model.layer, torch.tensor([1, 3])))
                torch.testing.assert_close(now, model.layer(model.table(torch.tensor([1, 3]))))


def test_in_training_the_gradient_passes_through_the_layers_to_the_rows() -> None:
    torch.manual_seed(0)
    table, layers = Embedding(7, 4, std=1.0, padding=True), (nn.Linear(4, 3), nn.Linear(4, 3))
    several = torch.tensor([[2, 2], [7, 0]]), torch.tensor([5, 2, 7])

    def gradients(outputs: list[Tensor]) -> tuple[Tensor, ...]:
        of = table.weight, *(parameter for layer in layers for parameter in layer.parameters())
        return torch.autograd.grad(sum((output.exp() * output).sum() for output in outputs), of)  # type: ignore[arg-type]

    ours = gradients([gather(*each) for each in table.through(*zip(layers, several, strict=True))])
    plain = gradients([layer(table(ids)) for layer, ids in zip(layers, several, strict=True)])
    for each, expected in zip(ours, plain, strict=True):
        torch.testing.assert_close(each.to_dense(), expected.to_dense())


@pytest.mark.parametrize("make", [SDP, SDM])
def test_every_epoch_is_evaluated_with_its_own_parameters(
    make: Callable[..., SDP | SDM], monkeypatch: pytest.MonkeyPatch
) -> None:
    def curve() -> list[float]:
        model = make(dim=8, optimisation=Optimisation(learning_rate=0.01, batch_size=32, epochs=4))
        model.fit(small().training)
        return [entry["development"] for entry in model.history[1:]]

    remembered = curve()
    monkeypatch.setattr(Embedding, "_evaluate", lambda self, layer: layer(self.weight))
    assert len(set(remembered)) > 2
    assert remembered == pytest.approx(curve(), abs=1e-6)


def test_a_model_can_be_pickled_after_an_evaluation() -> None:
    table, layer = Embedding(7, 4, std=1.0).eval(), nn.Linear(4, 3)
    with torch.inference_mode():
        table.through((layer, torch.arange(7)))
    assert torch.equal(pickle.loads(pickle.dumps(table)).weight, table.weight)
