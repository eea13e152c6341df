from __future__ import annotations

import pytest
import torch

from sdmr.harness.embedding import Embedding
from sdmr.harness.rows import Distinct, gather, sum_at


def test_distinct_ids_are_those_of_unique_time_after_time() -> None:
    torch.manual_seed(0)
    distinct = Distinct(50)
    for shape in ((30,), (0,), (1, 1), (20, 10)):
        ids = torch.randint(50, shape)
        rows, place = distinct(ids)
        assert torch.equal(rows.sort().values, ids.unique())
        assert torch.equal(rows[place], ids)


@pytest.mark.parametrize("outside", [-1, 50])
def test_an_id_outside_of_the_table_is_an_error_and_does_no_harm(outside: int) -> None:
    distinct = Distinct(50)
    with pytest.raises(IndexError):
        distinct(torch.tensor([3, outside]))
    assert distinct(torch.tensor([4, 3, 4]))[1].tolist() == [0, 1, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gather_and_its_gradient_are_those_of_an_index(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    rows, place = torch.randn(5, 3, dtype=dtype, requires_grad=True), torch.randint(4, (6, 2))  # the last never
    assert torch.equal(gather(rows, place), rows[place])
    weights = torch.randn(6, 2, 3, dtype=dtype)
    ours, plain = (torch.autograd.grad((each * weights).sum(), rows)[0] for each in (gather(rows, place), rows[place]))
    torch.testing.assert_close(ours, plain)
    assert torch.equal(ours[4], torch.zeros(3, dtype=dtype))


def test_values_are_summed_where_they_belong_whatever_their_strides() -> None:
    values = torch.arange(12.0).view(3, 4).T  # not contiguous
    sums = sum_at(torch.tensor([1, 0, 1, 1]), values, 3)
    assert sums.tolist() == [[1, 5, 9], [0 + 2 + 3, 4 + 6 + 7, 8 + 10 + 11], [0, 0, 0]]


def test_a_tables_gradient_by_row_is_what_coalesce_makes_of_it() -> None:
    torch.manual_seed(0)
    table = Embedding(50, 4, std=1.0)
    for n in (30, 0, 1, 200):
        gradient = torch.sparse_coo_tensor(torch.randint(50, (1, n)), torch.randn(n, 4), (50, 4), check_invariants=True)
        rows, sums = table.sums(gradient)
        wanted = gradient.coalesce()
        order = rows.argsort()
        assert torch.equal(rows[order], wanted.indices()[0])
        torch.testing.assert_close(sums[order], wanted.values())
