"""Compare CMN's compiled attention with its PyTorch form, and its neighborhoods with Python lists."""

import pytest
import torch
from torch import Tensor

from sdmr.baselines import cmn_attention
from sdmr.baselines.cmn_attention import Neighborhoods, attend, find_neighborhoods

N_USERS, DIM = 30, 19  # no multiple of a vector's width
ITEM_USERS = [[0, 3, 4, 29], [], [7], list(range(30)), [3, 28]]  # the users of each item
PAIRS = [(3, 0), (3, 2), (7, 2), (5, 3), (0, 1), (28, 4), (3, 0)]  # (7, 2) and (0, 1) have no neighbor


def make_neighborhoods(keep_self: bool = False) -> Neighborhoods:
    users, items = (torch.tensor(ids) for ids in zip(*PAIRS, strict=True))
    offsets = torch.tensor([0, *map(len, ITEM_USERS)]).cumsum(0)
    excluded = torch.full_like(users, -1) if keep_self else users
    return find_neighborhoods(
        excluded, items, torch.tensor([v for users in ITEM_USERS for v in users]), offsets, N_USERS
    )


@pytest.mark.parametrize("keep_self", [False, True])
def test_neighbors_are_the_users_of_the_item_without_the_user_of_the_pair(keep_self: bool) -> None:
    entries = make_neighborhoods(keep_self)
    rows = entries.row.split(entries.offsets.diff().tolist())
    neighbors = [entries.users[row].tolist() for row in rows]
    assert neighbors == [[v for v in ITEM_USERS[item] if keep_self or v != user] for user, item in PAIRS]
    assert entries.users.tolist() == sorted({v for users in neighbors for v in users})
    assert entries.pair.tolist() == [pair for pair, users in enumerate(neighbors) for _ in users]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("active", [range(len(PAIRS)), [0, 3], []])
def test_compiled_values_and_gradients_are_those_of_pytorch(
    dtype: torch.dtype, tolerance: float, active: list[int], threads: int
) -> None:
    torch.manual_seed(0)
    entries = make_neighborhoods()
    table = len(entries.users), DIM
    inputs = [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in ((len(PAIRS), DIM), table, table)]
    weights = torch.zeros(len(PAIRS), DIM, dtype=dtype)
    weights[list(active)] = torch.randn(len(active), DIM, dtype=dtype)

    def compute(function: object) -> list[Tensor]:
        o, p = function(*inputs, entries)  # type: ignore[operator]
        assert not p.requires_grad
        return [o, p, *torch.autograd.grad((weights * o).sum(), inputs)]

    compiled, reference = compute(attend), compute(cmn_attention._attend_in_torch)
    for ours, theirs in zip(compiled, reference, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    assert (compiled[0][[2, 4]] == 0).all()  # no neighbor to attend to


def test_tables_of_many_blocks_give_the_same_result() -> None:
    """Use tables whose blocks are smaller than a neighborhood; some blocks have no neighbor."""
    torch.manual_seed(1)
    dim, n_users = 2048, 200  # 16 rows a block
    users, items = torch.arange(3), torch.zeros(3, dtype=torch.long)
    item_users = torch.cat([torch.arange(0, 40, 3), torch.arange(150, 200)])
    entries = find_neighborhoods(users, items, item_users, torch.tensor([0, len(item_users)]), n_users)
    tables = [torch.randn(len(entries.users), dim, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    inputs = [torch.randn(3, dim, dtype=torch.float64, requires_grad=True), *tables]
    ours, theirs = (function(*inputs, entries)[0] for function in (attend, cmn_attention._attend_in_torch))
    torch.testing.assert_close(ours, theirs)
    gradients = (torch.autograd.grad(o.square().sum(), inputs) for o in (ours, theirs))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_a_gradient_of_nan_counts_as_nonzero() -> None:
    entries = make_neighborhoods()
    inputs = [
        torch.ones(rows, DIM, requires_grad=True) for rows in (len(PAIRS), len(entries.users), len(entries.users))
    ]
    o, _ = attend(*inputs, entries)
    (grad_z,) = torch.autograd.grad((o * torch.nan).sum(), inputs[:1])
    assert grad_z[0].isnan().all()
