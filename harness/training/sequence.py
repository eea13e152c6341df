"""Define the base class of models trained on every position of a history at once."""

from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import IntArray
from sdmr.datasets.sampling import NegativeSampler
from sdmr.datasets.task import Instances, Training
from sdmr.harness.recommender import ModelError
from sdmr.harness.training.base import TorchRecommender, takes_arrays
from sdmr.harness.training.layers import Embedding
from sdmr.harness.training.loop import Batches, compute_loss

_BATCHES_A_POOL = 32  # whose windows are sorted by size, so that a batch has windows of similar sizes
_PAIRS = 1 << 18  # of a position and a shared negative, whose scores are held at a time


class SequenceRecommender(TorchRecommender):
    """Train a recommender that reads sequences on every position of a window at once.

    A subclass writes `build`, which sets the table `self.items`, and `encode`. A history is cut into windows from its
    end, each with up to `context_length` items and, after each of them, a target. `optimization.batch_size` counts
    windows, and `optimization.n_negatives` the negatives of `negative_sampling`:

    - position: so many for each position, which its user has not seen;
    - batch: so many distinct items for all positions of a batch, whoever has seen them;
    - catalog: every item.

    The target itself is never among the negatives: where it is one of a batch's or the catalog's, `loss` gets −∞ as the
    score of that negative. The loss is a sum, so that a target counts the same in batches of all sizes. A score depends
    on the context that `score` gets, not on the user. Baskets are refused: their items have no order.
    """

    items: Embedding  # [n_items + 1, d], with padding
    context_length = 50
    negative_sampling: Literal["position", "batch", "catalog"] = "position"
    reads_baskets = False
    is_causal: ClassVar[bool] = True  # whether a state may depend only on the items up to its own

    @property
    def padding(self) -> int:
        """Return the number that stands for "no item": n_items."""
        return self.items.num_embeddings - 1

    def encode(self, items: Tensor) -> Tensor:
        """Return a state [B, W, d] after each of items [B, W].

        Short rows are padded on the right with n_items. The state of a position must not depend on later ones.
        """
        raise ModelError(f"{type(self).__name__} has no method encode(items), which a model of sequences needs")

    def score_states(self, states: Tensor, rows: Tensor) -> Tensor:
        """Score the rows of items after states [T, d]; by inner products, unless overridden.

        Args:
            states: [T, d].
            rows: [T, C, d] of each state's own items, or [n, d] of items that all states share.

        Returns:
            Scores [T, C], or [T, n].
        """
        return states @ rows.T if rows.dim() == 2 else (rows @ states[:, :, None]).squeeze(2)

    def choose_targets(self, windows: IntArray, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Return which items of windows [B, W + 1] are targets: all but the first."""
        is_target: NDArray[np.bool_] = windows != self.padding
        is_target[:, 0] = False
        return is_target

    def encode_targets(self, windows: Tensor, is_target: Tensor) -> Tensor:
        """Return the states [T, d] before the targets of windows [B, W + 1]."""
        return self.encode(windows[:, :-1])[is_target[:, 1:]]

    def encode_contexts(self, items: Tensor, lengths: Tensor) -> Tensor:
        """Return the states [B, d] after contexts [B, W] of these lengths [B]."""
        return self.encode(items)[torch.arange(len(items), device=items.device), (lengths - 1).clamp(min=0)]

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        return self.score_states(self._encode(contexts), self.items(candidates))

    @takes_arrays
    def score_all(self, users: Tensor, contexts: Tensor) -> Tensor:
        return self.score_states(self._encode(contexts), self.items.rows)

    def _encode(self, contexts: Tensor) -> Tensor:
        """Return the states [B, d] after contexts that are padded on the left."""
        padding, length = self.padding, contexts.shape[1]
        lengths = (contexts != padding).sum(1)
        columns = torch.arange(max(int(lengths.max()), 1), device=contexts.device) + (length - lengths)[:, None]
        return self.encode_contexts(F.pad(contexts, (0, length + 1), value=padding).gather(1, columns), lengths)

    def check_training(self, training: Training) -> None:
        """Raise an error for baskets, histories without a target, and states that see later items.

        The last is tried on a short history alone.
        """
        name, items = type(self).__name__, getattr(self, "items", None)
        if training.instances.has_baskets:
            raise DataError(f"{name} reads the order of histories, which baskets lack: choose a model such as sdm")
        if not len(cut_windows(training.instances, self.context_length)[0]):
            raise DataError(f"{name} cannot be trained: no user has two training items, one after the other")
        if not isinstance(items, Embedding) or items.padding_idx != training.n_items:
            raise ModelError(f"{name}.build must set self.items = Embedding(n_items, dim, std, padding=True)")
        sequence = torch.arange(min(8, self.context_length), device=self.device) % training.n_items
        pair = torch.stack([sequence, sequence])
        pair[1, -1] = training.n_items
        self.eval()
        with torch.no_grad():
            states = self.encode(pair)
        if not isinstance(states, Tensor) or states.dim() != 3 or states.shape[:2] != pair.shape:
            returned = list(states.shape) if isinstance(states, Tensor) else type(states).__name__
            raise ModelError(
                f"{name}.encode returned {returned} for items {list(pair.shape)}, expected states [B, W, d]"
            )
        if self.is_causal and not torch.allclose(states[0, :-1], states[1, :-1], rtol=1e-4, atol=1e-5):
            raise ModelError(f"{name}.encode lets a state depend on later items: mask them, as by is_causal=True")

    def draw_batches(
        self, training: Training, negatives: NegativeSampler, rng: np.random.Generator
    ) -> tuple[int, Batches]:
        """Return the number of batches, and batches of windows, their targets and negatives."""
        options, contexts, padding = self.optimization, training.instances.contexts, training.n_items
        users, first, size = cut_windows(training.instances, self.context_length)
        if self.negative_sampling == "position":  # a user with every item has no negative
            users, first, size = (array[negatives.n_unseen[users] > 0] for array in (users, first, size))
        batches = pack(size, options.batch_size, rng)

        def gather() -> Batches:
            for rows in batches:
                columns = np.arange(size[rows].max())
                index = np.minimum(first[rows, None] + columns, len(contexts.items) - 1)
                windows = np.where(columns < size[rows, None], contexts.items[index], padding)
                is_target = self.choose_targets(windows, rng)
                if self.negative_sampling == "position":
                    drawn = negatives.sample(users[rows].repeat(is_target.sum(1)), options.n_negatives, rng)
                elif self.negative_sampling == "batch":
                    drawn = rng.choice(padding, min(options.n_negatives, padding), replace=False)
                else:
                    drawn = np.arange(padding)
                batch = tuple(torch.from_numpy(one).to(self.device) for one in (windows, is_target, drawn))
                yield int(is_target.sum()), batch

        return len(batches), gather()

    def compute_gradients(self, windows: Tensor, is_target: Tensor, negatives: Tensor) -> float:
        """Compute a batch's loss, and leave its gradients in the parameters' `grad`.

        Args:
            windows: [B, W + 1], padded on the right.
            is_target: [B, W + 1], which of the items are targets.
            negatives: [T, k] of each of T targets, or [n] of them all.
        """
        states, targets = self.encode_targets(windows, is_target), windows[is_target]
        if negatives.dim() == 2:
            rows = self.items(torch.cat([targets[:, None], negatives], 1))
            loss = compute_loss(self, self.score_states(states, rows))
            loss.backward()
            return loss.item()
        # Some positions at a time, whose scores stay in the cache: the loss is a sum over positions.
        positive, shared = self.items.lookup_many(targets[:, None], negatives)
        total, step, gradients = 0.0, max(1, _PAIRS // len(negatives)), []
        columns = torch.full((self.padding,), -1, device=self.device)
        columns[negatives] = torch.arange(1, len(negatives) + 1, device=self.device)
        shared_leaf = shared.detach().requires_grad_()
        for state, row, column in zip(*(one.split(step) for one in (states, positive, columns[targets])), strict=True):
            leaves = [one.detach().requires_grad_() for one in (state, row)]
            scores = torch.cat([self.score_states(*leaves), self.score_states(leaves[0], shared_leaf)], 1)
            hits = (column > 0).nonzero().squeeze(1)
            scores[hits, column[hits]] = -torch.inf  # the target is no negative
            loss = compute_loss(self, scores)
            loss.backward()
            total += loss.item()
            gradients.append([leaf.grad for leaf in leaves])
        grad_states, grad_positive = (torch.cat(one) for one in zip(*gradients, strict=True))
        torch.autograd.backward([states, positive, shared], [grad_states, grad_positive, shared_leaf.grad])
        return total


def cut_windows(instances: Instances, length: int) -> tuple[IntArray, IntArray, IntArray]:
    """Cut each history into windows of up to `length` + 1 items, from its end.

    The first item of a window is the last one of the window before it, so that each item but the first of a history is
    once a target.

    Returns:
        For each window its user, the index of its first item in `instances.contexts.items`, and its size.
    """
    start, rows = np.unique(instances.contexts.start, return_index=True)
    users, total = instances.users[rows], instances.contexts.length[rows]
    n_windows = -(-(total - 1) // length)
    sequence = np.repeat(np.arange(len(start)), n_windows)
    number = np.arange(len(sequence)) - np.repeat(np.cumsum(n_windows) - n_windows, n_windows)
    end = total[sequence] - number * length
    first = np.maximum(end - length - 1, 0)
    return users[sequence], start[sequence] + first, end - first


def pack(size: IntArray, batch_size: int, rng: np.random.Generator) -> list[IntArray]:
    """Return the rows of each batch; a batch has rows of similar sizes."""
    order, step = rng.permutation(len(size)), _BATCHES_A_POOL * batch_size
    pools = [order[start : start + step] for start in range(0, len(order), step)]
    batches = []
    for pool in pools:
        pool = pool[np.argsort(size[pool], kind="stable")]
        batches += [pool[start : start + batch_size] for start in range(0, len(pool), batch_size)]
    return [batches[number] for number in rng.permutation(len(batches))]
