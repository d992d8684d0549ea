"""Pieces of work side by side."""

import pytest
import torch

from latticear.threads import side_by_side, thread_count


@pytest.fixture(params=[1, 3])
def n_threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_in_order_with_the_modes_of_the_caller(n_threads):
    weight = torch.ones(3, requires_grad=True)
    items = [torch.full((3,), float(k)) for k in range(7)]
    products = side_by_side(lambda item: (weight * item).sum(), items)
    assert [p.item() for p in products] == [3.0 * k for k in range(7)]
    assert all(p.requires_grad for p in products)
    with torch.no_grad():
        assert not any(p.requires_grad for p in side_by_side(lambda item: (weight * item).sum(), items))
    with torch.inference_mode():
        assert all(p.is_inference() for p in side_by_side(lambda item: weight * item, items))
    assert torch.get_num_threads() == n_threads


def test_an_error_reaches_the_caller_and_the_threads_are_as_before(n_threads):
    def fail(item):
        raise ZeroDivisionError(item)

    with pytest.raises(ZeroDivisionError):
        side_by_side(fail, range(4))
    assert torch.get_num_threads() == n_threads


def test_a_number_of_threads_for_a_while(n_threads):
    with thread_count(2):
        assert torch.get_num_threads() == 2
        with thread_count(2):
            pass
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == n_threads
    with pytest.raises(ZeroDivisionError), thread_count(2):
        raise ZeroDivisionError
    assert torch.get_num_threads() == n_threads
