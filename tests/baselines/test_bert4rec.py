from math import erf, exp, sqrt
from typing import Any

import numpy as np
import pytest
import torch

from sdmr.baselines.bert4rec import BERT4Rec
from sdmr.datasets.sampling import NegativeSampler
from sdmr.harness.training.optimizer import OptimizationConfig
from tests.baselines.test_sasrec import multiply, norm
from tests.behavior import RecommenderBehavior, small

FAST = OptimizationConfig(learning_rate=0.003, regularization=0.0, batch_size=8, epochs=100, patience=100)
MASK = 8


class TestBERT4Rec(RecommenderBehavior):
    def make(self) -> BERT4Rec:
        return BERT4Rec(dim=16, context_length=8, layers=1, dropout=0.0, mask_share=0.4, optimization=FAST)


def built() -> BERT4Rec:
    torch.manual_seed(0)
    model = BERT4Rec(dim=4, layers=2, heads=2, context_length=5)
    model.build(n_users=5, n_items=7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.7)
        model.items.weight[7] = 0
    return model.double().eval()


def gelu(x: list[float]) -> list[float]:
    return [value * (1 + erf(value / sqrt(2))) / 2 for value in x]


def naive_states(model: BERT4Rec, items: list[int], factor: float = 1.0) -> list[list[float]]:
    """Compute the states of items and masks, by Eq. 1-5 and 7 of the source with loops.

    The factor stands where dropout does.
    """
    w, d, heads = {name: value.tolist() for name, value in model.state_dict().items()}, model.dim, model.heads
    rows = [w["mask"] if item == MASK else w["items.weight"][item] for item in items]
    x = [[factor * (m + p) for m, p in zip(row, w["positions"][t], strict=True)] for t, row in enumerate(rows)]
    for block in range(model.n_blocks):

        def layer(name: str, vector: list[float], rows: slice = slice(None), block: int = block) -> list[float]:
            prefix = f"blocks.{block}.{name}"
            return multiply(w[f"{prefix}.weight"][rows], vector, w[f"{prefix}.bias"][rows])

        q, k, v = ([layer("attention", each, slice(n * d, n * d + d)) for each in x] for n in range(3))
        y = []
        for t in range(len(x)):
            attended = []
            for head in range(heads):
                columns = range(head * d // heads, (head + 1) * d // heads)
                z = [exp(sum(q[t][c] * key[c] for c in columns) / sqrt(d / heads)) for key in k]
                attended += [sum(z[s] * v[s][c] for s in range(len(x))) / sum(z) for c in columns]
            total = [a + factor * b for a, b in zip(x[t], layer("joined", attended), strict=True)]
            y.append(norm(total, *(w[f"blocks.{block}.attention_norm.{name}"] for name in ("weight", "bias"))))
        x = []
        for each in y:
            second = layer("second", gelu(layer("first", each)))
            total = [a + factor * b for a, b in zip(each, second, strict=True)]
            x.append(norm(total, *(w[f"blocks.{block}.layer_norm.{name}"] for name in ("weight", "bias"))))
    return [gelu(multiply(w["output.weight"], each, w["output.bias"])) for each in x]


def test_scores_follow_the_equations_with_a_mask_after_the_context(factor: float) -> None:
    model = built()
    contexts, candidates = [[7, 7, 7, 3, 1], [0, 3, 3, 1, 6], [7] * 5], [[1, 2], [5, 0], [4, 4]]
    scores = model(torch.tensor([0, 4, 1]), torch.tensor(contexts), torch.tensor(candidates))
    for row, context in enumerate(contexts):
        state = naive_states(model, [*(item for item in context if item != 7), MASK], factor)[-1]
        for column, candidate in enumerate(candidates[row]):
            expected = sum(a * b for a, b in zip(state, model.items.weight[candidate].tolist(), strict=True))
            assert scores[row, column].item() == pytest.approx(expected, rel=1e-8)


def test_the_loss_is_the_cross_entropy_of_the_masked_items() -> None:
    model = built()
    windows, is_target = torch.tensor([[0, 3, 5, 2], [4, 1, 7, 7]]), torch.tensor([[1, 0, 1, 0], [0, 1, 0, 0]]).bool()
    expected = 0.0
    for items, targets in (([MASK, 3, MASK, 2], {0: 0, 2: 5}), ([4, MASK], {1: 1})):
        states = naive_states(model, items)
        for position, target in targets.items():
            scores = model.items.weight[:7] @ torch.tensor(states[position], dtype=torch.float64)
            expected -= torch.log_softmax(scores, 0)[target].item()
    assert model.compute_gradients(windows, is_target, torch.arange(7)) == pytest.approx(expected, rel=1e-8)


def test_a_share_of_the_items_is_masked_or_the_last_one_alone() -> None:
    model, rng = built(), np.random.default_rng(0)
    windows = np.full((3_000, 50), 7)
    sizes = rng.integers(2, 51, 3_000)
    for window, size in zip(windows, sizes, strict=True):
        window[:size] = 0
    is_target = model.choose_targets(windows, rng)
    assert is_target.any(axis=1).all()
    assert not is_target[windows == 7].any()
    is_long = sizes > 30
    alone = is_long & (is_target.sum(axis=1) == 1)
    assert alone[is_long].mean() == pytest.approx(1 / 11, abs=0.03)
    assert is_target[alone, sizes[alone] - 1].mean() > 0.9  # by chance, another item may be the only one
    others = is_long & ~alone
    assert is_target[others].sum() / sizes[others].sum() == pytest.approx(0.2, abs=0.01)


def test_heads_that_do_not_divide_the_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^heads=3 must divide dim=64$"):
        BERT4Rec(heads=3)


@pytest.mark.parametrize(("negative_sampling", "n_drawn"), [("catalog", 38), ("batch", 20)])
def test_the_softmax_is_among_all_items_or_a_sample(negative_sampling: Any, n_drawn: int) -> None:
    training, options = small().training, OptimizationConfig(n_negatives=20)
    model = BERT4Rec(negative_sampling=negative_sampling, optimization=options)
    model.build(training.n_users, training.n_items)
    _, batches = model.draw_batches(training, NegativeSampler(training.matrix), np.random.default_rng(0))
    _, (_, _, negatives) = next(batches)
    assert len(set(negatives.tolist())) == n_drawn
