"""Compare CMN's compiled attention with its PyTorch form, and its neighborhoods with Python lists."""

import pytest
import torch

from sdmr.baselines import cmn_attention
from sdmr.baselines.cmn_attention import Neighborhoods, attend, find_neighborhoods

N_USERS, DIM = 30, 19  # no multiple of a vector's width
ITEM_USERS = [[0, 3, 4, 29], [], [7], list(range(30)), [3, 28]]  # the users of each item
PAIRS = [(3, 0), (3, 2), (7, 2), (5, 3), (0, 1), (28, 4), (3, 0)]  # (7, 2) and (0, 1) have no neighbor


def make_neighborhoods(keep_self: bool = False) -> Neighborhoods:
    users, items = (torch.tensor(ids) for ids in zip(*PAIRS, strict=True))
    offsets = torch.tensor([0, *map(len, ITEM_USERS)]).cumsum(0)
    excluded = torch.full_like(users, -1) if keep_self else users
    item_users = torch.tensor([v for users in ITEM_USERS for v in users])
    return find_neighborhoods(excluded, items, item_users, offsets, N_USERS, DIM)


@pytest.mark.parametrize("keep_self", [False, True])
def test_neighbors_are_the_users_of_the_item_without_the_user_of_the_pair(keep_self: bool, threads: int) -> None:
    entries = make_neighborhoods(keep_self)
    assert len(entries.offsets) == threads
    neighbors: list[list[int]] = [[] for _ in PAIRS]
    for pair, user in zip(entries.pair.tolist(), entries.users[entries.row].tolist(), strict=True):
        neighbors[pair].append(user)
    assert neighbors == [[v for v in ITEM_USERS[item] if keep_self or v != user] for user, item in PAIRS]
    assert entries.users.tolist() == sorted({v for users in neighbors for v in users})


def test_pairs_without_neighbors_have_no_entries() -> None:
    users, items = torch.tensor([7, 0]), torch.tensor([2, 1])
    offsets = torch.tensor([0, *map(len, ITEM_USERS)]).cumsum(0)
    item_users = torch.tensor([v for users in ITEM_USERS for v in users])
    entries = find_neighborhoods(users, items, item_users, offsets, N_USERS, DIM)
    assert (len(entries.users), len(entries.pair)) == (0, 0)
    o, p = attend(torch.ones(2, DIM), torch.empty(0, DIM), torch.empty(0, DIM), entries)
    assert len(p) == 0
    assert (o == 0).all()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_compiled_attention_is_that_of_pytorch(dtype: torch.dtype, tolerance: float, threads: int) -> None:
    torch.manual_seed(0)
    entries = make_neighborhoods()
    inputs = [torch.randn(rows, DIM, dtype=dtype) for rows in (len(PAIRS), len(entries.users), len(entries.users))]
    for one, other in zip(attend(*inputs, entries), cmn_attention._attend_in_torch(*inputs, entries), strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)
