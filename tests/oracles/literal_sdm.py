"""Run the authors' SDM program, written anew from its description, to compare `model=sdm-released` with.

    python -m tests.oracles.literal_sdm seeds=3    # 16 epochs of ML-100k, a quarter of an hour a seed

It works in a checkout, and shares only the split with the suite. Model, negatives, contexts, optimizer and evaluation
use PyTorch's autograd and Adam, and loops where the program loops. Ids begin with 1, and 0 is the padding. Each line
gives hit@10/NDCG@10 of the test items; the program takes the best epoch of these.

It was compared line by line with theirs (github.com/thanhdtran/SDMR: MemNet, model_rec, sampler, data_loader,
evaluator). Theirs also leaves out candidates numbered above the last training item; ML-100k has none.
"""

import math
import sys
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from sdmr.datasets.errors import DataError
from sdmr.datasets.task import Task
from sdmr.experiments.core import cli
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.help_text import describe_fields
from sdmr.experiments.core.options import CommandOptions, parse_options
from sdmr.experiments.core.run import compose_task

DIM, HOPS, LENGTH, NEGATIVES, BATCH, RATE, DROPOUT = 64, 3, 5, 4, 256, 0.001, 0.2
Ids = NDArray[np.int64]


class Memory(nn.Module):
    """Hold the embeddings of one side of the memory, and the two layers that read them."""

    def __init__(self, n_users: int, n_items: int) -> None:
        super().__init__()
        self.users, self.items = (nn.Embedding(n + 1, DIM, padding_idx=0) for n in (n_users, n_items))
        self.query, self.key = nn.Linear(2 * DIM, DIM), nn.Linear(2 * DIM, DIM)
        for table in (self.users, self.items):
            table.weight.data.normal_(0, 0.01)
            table.weight.data[0] = 0
        for layer in (self.query, self.key):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in")

    def queries(self, users: Tensor, items: Tensor) -> Tensor:
        """Return [B, d]; their dropout never ends."""
        both = torch.cat([self.users(users), self.items(items)], dim=1)
        return F.dropout(torch.tanh(self.query(both)), DROPOUT, training=True)

    def differences(self, queries: Tensor, contexts: Tensor) -> Tensor:
        """Return tanh(W [q; v_k] + b): [B, s, d]."""
        memory = self.items(contexts)
        return torch.tanh(self.key(torch.cat([queries[:, None].expand_as(memory), memory], dim=2)))


class LiteralSDM(nn.Module):
    """Score by two memories that share no parameter."""

    def __init__(self, n_users: int, n_items: int) -> None:
        super().__init__()
        self.attention, self.output = Memory(n_users, n_items), Memory(n_users, n_items)
        self.gate, self.transform, self.sum = nn.Linear(DIM, DIM), nn.Linear(DIM, DIM), nn.Linear(DIM, 1)
        bound = math.sqrt(3 / DIM)
        self.sum.weight.data.uniform_(-bound, bound)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, contexts: Tensor, users: Tensor, items: Tensor) -> Tensor:
        """Return scores [B] of contexts [B, s], users [B] and items [B]."""
        q = self.attention.queries(users, items)
        o = self._hop(q, contexts, users, items)
        for _ in range(HOPS - 1):
            g = torch.sigmoid(self.gate(o))
            q = (1 - g) * q + g * o
            o = self._hop(q, contexts, users, items)
        return -self.sum(o).squeeze(-1)

    def _hop(self, q: Tensor, contexts: Tensor, users: Tensor, items: Tensor) -> Tensor:
        """Return the negated distances [B, d]."""
        z = self.dropout(self.attention.differences(q, contexts)).square().sum(2)
        a = torch.softmax(-z * torch.where(contexts == 0, 65535.0, 1.0), dim=1)
        p = self.output.queries(users, items)
        values = self.dropout(self.output.differences(p, contexts)).square()
        return -torch.relu(self.transform(values * a[..., None])).sum(1)


class Program:
    """Train and evaluate on the split of a task whose test has 99 candidates besides the target."""

    def __init__(self, task: Task, seed: int) -> None:
        training, test = task.training, task.test
        self.n_items = training.n_items
        self.users, self.items = training.instances.users + 1, training.instances.targets + 1
        taken: dict[int, list[int]] = {}
        self.before = []  # by instance: the items before it, or the padding
        for user, item in zip(self.users.tolist(), self.items.tolist(), strict=True):
            self.before.append(taken.get(user, [0])[-LENGTH:])
            taken.setdefault(user, []).append(item)
        self.taken = {user: set(items) for user, items in taken.items()}
        others = [row[row != target] for row, target in zip(test.candidates, test.targets, strict=True)]
        self.test_candidates = np.column_stack([np.stack(others), test.targets]) + 1  # the target comes last
        self.test_users = test.users + 1
        self.test_contexts = (test.contexts.last_n(LENGTH) + 1) % (self.n_items + 1)
        torch.manual_seed(seed)
        self.random = np.random.RandomState(seed)
        self.model = LiteralSDM(training.n_users, training.n_items)
        self.adam = torch.optim.Adam(self.model.parameters(), lr=RATE, weight_decay=0.001)

    def run_epoch(self) -> float:
        """Train for an epoch, and return the mean loss of a positive."""
        self.model.train()
        order = self.random.permutation(len(self.users))
        contexts, users, items = self._contexts(order), self.users[order], self.items[order]
        inputs = [torch.from_numpy(ids) for ids in (contexts, users, items, self._negatives(users))]
        total = 0.0
        for context, user, item, others in zip(*(ids.split(BATCH) for ids in inputs), strict=True):
            positive = self.model(context, user, item)
            negative = self.model(context, user, others[:, 0])
            for other in others.T[1:]:  # a pass over the batch for each negative
                negative = torch.max(negative, self.model(context, user, other))
            self.adam.zero_grad()
            loss = -torch.log(torch.sigmoid(positive - negative)).sum()
            loss.backward()
            self.adam.step()
            total += loss.item()
        return total / len(order)

    def _contexts(self, order: Ids) -> Ids:
        """Return contexts from one buffer, in which a short context leaves items of the instance before."""
        buffer, contexts = np.zeros(LENGTH, np.int64), np.empty((len(order), LENGTH), np.int64)
        for index, row in enumerate(order):
            items = self.before[row]
            buffer[-len(items) :] = items
            contexts[index] = buffer
        return contexts

    def _negatives(self, users: Ids) -> Ids:
        """Draw distinct items that the user has not taken in training."""
        negatives = np.empty((len(users), NEGATIVES), np.int64)
        for row, user in enumerate(users):
            drawn: list[int] = []
            while len(drawn) < NEGATIVES:
                item = self.random.randint(self.n_items + 1)
                if item and item not in self.taken[user] and item not in drawn:
                    drawn.append(item)
            negatives[row] = drawn
        return negatives

    def evaluate(self) -> tuple[float, float]:
        """Return hit@10 and NDCG@10 by NumPy's default sort, the target last."""
        self.model.eval()
        hits, gains = [], []
        for row, items in enumerate(self.test_candidates):  # one user at a time
            ids = np.tile(self.test_contexts[row], (len(items), 1)), np.repeat(self.test_users[row], len(items)), items
            with torch.no_grad():
                scores = self.model(*(torch.from_numpy(array) for array in ids)).numpy()
            position = np.flatnonzero(np.argsort(-scores)[:10] == len(items) - 1)
            hits.append(len(position))
            gains.append(1 / np.log2(position[0] + 2) if len(position) else 0.0)
        return float(np.mean(hits)), float(np.mean(gains))


class Options(CommandOptions):
    seeds: int = Field(1, ge=1, description="seeds from 0")
    epochs: int = Field(16, ge=1, le=20, description="then the program halves its learning rate, which this does not")
    dataset: str = Field("ml-100k", description="data set")
    overrides: list[str] = Field(default_factory=list, description="settings of the split, such as split_seed=1")


def main(options: Options) -> int:
    torch.set_num_threads(1)
    task = compose_task(options.dataset, ["protocol.candidates=99", *options.overrides]).load_task()
    if task.training.instances.has_baskets:
        raise UsageError(f"dataset={options.dataset}: the authors' program reads histories, not baskets")
    for seed in range(options.seeds):
        program, best = Program(task, seed), (0.0, 0.0)
        for epoch in range(1, options.epochs + 1):
            loss = program.run_epoch()
            hit, gain = program.evaluate()
            best = max(best, (hit, gain))
            values = f"hit@10/NDCG@10 {hit:.3f}/{gain:.3f}, best {best[0]:.3f}/{best[1]:.3f}"
            print(f"seed {seed}, epoch {epoch}: loss {loss:.4f}, {values}", flush=True)
    return 0


def run(arguments: Sequence[str]) -> int:
    """Run the program with these options. A user's mistake becomes one line."""
    if "--help" in arguments:
        print(__doc__, "options:", describe_fields(Options.model_fields), sep="\n")
        return 0
    try:
        return main(parse_options(Options, arguments))
    except (UsageError, DataError) as error:
        print(f"literal_sdm: {error}", file=sys.stderr)
        return cli.WRONG_USE if isinstance(error, UsageError) else cli.FAILED
    except KeyboardInterrupt:
        return cli.INTERRUPTED


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
