"""CMN's compiled attention against its plain form, and its neighbourhoods against Python's sets."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sdmr.baselines import cmn_attention
from sdmr.baselines.cmn_attention import Near, attend, neighbours

N_USERS, DIM = 30, 19  # no multiple of a vector's width
TAKEN_BY = [[0, 3, 4, 29], [], [7], list(range(30)), [3, 28]]  # the users of each item
PAIRS = [(3, 0), (3, 2), (7, 2), (5, 3), (0, 1), (28, 4), (3, 0)]  # (7, 2) and (0, 1) have no neighbour


def near(keep_self: bool = False) -> Near:
    users, items = (torch.tensor(ids) for ids in zip(*PAIRS, strict=True))
    first = torch.tensor([0, *(len(users) for users in TAKEN_BY)]).cumsum(0)
    left_out = torch.full_like(users, -1) if keep_self else users
    return neighbours(left_out, items, torch.tensor([v for each in TAKEN_BY for v in each]), first, N_USERS)


@pytest.mark.parametrize("keep_self", [False, True])
def test_neighbours_are_those_who_took_the_item_but_for_the_pairs_own_user(keep_self: bool) -> None:
    entries = near(keep_self)
    found = [entries.rows[row].tolist() for row in entries.row.split(entries.first.diff().tolist())]
    assert found == [[v for v in TAKEN_BY[item] if keep_self or v != user] for user, item in PAIRS]
    assert entries.rows.tolist() == sorted({v for users in found for v in users})
    assert entries.pair.tolist() == [pair for pair, users in enumerate(found) for _ in users]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("with_gradient", [range(len(PAIRS)), [0, 3], []])
def test_compiled_values_and_gradients_are_those_of_the_plain_form(
    dtype: torch.dtype, tolerance: float, with_gradient: list[int], threads: int
) -> None:
    torch.manual_seed(0)
    entries = near()
    of_rows = len(entries.rows), DIM
    inputs = [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in ((len(PAIRS), DIM), of_rows, of_rows)]
    weights = torch.zeros(len(PAIRS), DIM, dtype=dtype)
    weights[list(with_gradient)] = torch.randn(len(with_gradient), DIM, dtype=dtype)

    def results(of: object) -> list[Tensor]:
        o, p = of(*inputs, entries)  # type: ignore[operator]
        assert not p.requires_grad
        return [o, p, *torch.autograd.grad((weights * o).sum(), inputs)]

    compiled, plain = results(attend), results(cmn_attention._attend_in_torch)
    for ours, theirs in zip(compiled, plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    assert (compiled[0][[2, 4]] == 0).all()  # nobody to attend to


def test_tables_of_many_blocks_change_nothing() -> None:
    """Blocks are of some hundred rows: here a pair's neighbours lie in several, and some blocks have none."""
    torch.manual_seed(1)
    dim, n_users = 2048, 200  # 16 rows a block
    users, items = torch.arange(3), torch.zeros(3, dtype=torch.long)
    taken_by = torch.cat([torch.arange(0, 40, 3), torch.arange(150, 200)])
    entries = neighbours(users, items, taken_by, torch.tensor([0, len(taken_by)]), n_users)
    tables = [torch.randn(len(entries.rows), dim, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    inputs = [torch.randn(3, dim, dtype=torch.float64, requires_grad=True), *tables]
    ours, theirs = (of(*inputs, entries)[0] for of in (attend, cmn_attention._attend_in_torch))
    torch.testing.assert_close(ours, theirs)
    gradients = (torch.autograd.grad(o.square().sum(), inputs) for o in (ours, theirs))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_a_nan_is_not_taken_for_no_gradient() -> None:
    entries = near()
    inputs = [torch.ones(rows, DIM, requires_grad=True) for rows in (len(PAIRS), len(entries.rows), len(entries.rows))]
    o, _ = attend(*inputs, entries)
    (of_z,) = torch.autograd.grad((o * torch.nan).sum(), inputs[:1])
    assert of_z[0].isnan().all()
