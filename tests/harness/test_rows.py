import pytest
import torch

from sdmr.harness.kernels import UniqueIndex, gather, scatter_sum
from sdmr.harness.training.layers import Embedding


def test_unique_ids_are_those_of_pytorch_call_after_call() -> None:
    torch.manual_seed(0)
    index = UniqueIndex(50)
    for shape in ((30,), (0,), (1, 1), (20, 10)):
        ids = torch.randint(50, shape)
        rows, positions = index(ids)
        assert torch.equal(rows.sort().values, ids.unique())
        assert torch.equal(rows[positions], ids)


@pytest.mark.parametrize("outside", [-1, 50])
def test_an_id_outside_the_table_is_an_error_and_later_calls_work(outside: int) -> None:
    index = UniqueIndex(50)
    with pytest.raises(IndexError):
        index(torch.tensor([3, outside]))
    assert index(torch.tensor([4, 3, 4]))[1].tolist() == [0, 1, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gather_and_its_gradient_equal_those_of_indexing(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    rows, positions = torch.randn(5, 3, dtype=dtype, requires_grad=True), torch.randint(4, (6, 2))  # the last never
    assert torch.equal(gather(rows, positions), rows[positions])
    weights = torch.randn(6, 2, 3, dtype=dtype)
    ours, expected = (
        torch.autograd.grad((each * weights).sum(), rows)[0] for each in (gather(rows, positions), rows[positions])
    )
    torch.testing.assert_close(ours, expected)
    assert torch.equal(ours[4], torch.zeros(3, dtype=dtype))


def test_values_are_summed_at_their_positions_whatever_their_strides() -> None:
    values = torch.arange(12.0).view(3, 4).T  # not contiguous
    sums = scatter_sum(torch.tensor([1, 0, 1, 1]), values, 3)
    assert sums.tolist() == [[1, 5, 9], [0 + 2 + 3, 4 + 6 + 7, 8 + 10 + 11], [0, 0, 0]]


def test_a_tables_summed_gradient_equals_pytorchs_coalesce() -> None:
    torch.manual_seed(0)
    table = Embedding(50, 4, std=1.0)
    for n in (30, 0, 1, 200):
        gradient = torch.sparse_coo_tensor(torch.randint(50, (1, n)), torch.randn(n, 4), (50, 4), check_invariants=True)
        rows, sums = table.sum_gradient_rows(gradient)
        expected = gradient.coalesce()
        order = rows.argsort()
        assert torch.equal(rows[order], expected.indices()[0])
        torch.testing.assert_close(sums[order], expected.values())
