"""Parts in threads: the same results, errors passed on, and no setting of torch left behind."""

import threading

import pytest
import torch

from geopointseg.model.row_threads import for_each


@pytest.fixture
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_two_threads")
def test_items_run_in_threads_that_use_one_processor_each():
    meeting, found = threading.Barrier(2, timeout=60), {}

    def run(item):
        meeting.wait()  # passes only if two threads are inside
        found[item] = (threading.get_ident(), torch.get_num_threads())

    for_each(run, [1, 2])
    assert sorted(found) == [1, 2]
    assert len({thread for thread, _ in found.values()}) == 2
    assert {number for _, number in found.values()} == {1}
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("_two_threads")
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_threads_have_the_gradient_mode_of_the_caller(mode):
    found = []
    with mode():
        expected = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
        for_each(
            lambda _: found.append((torch.is_inference_mode_enabled(), torch.is_grad_enabled())),
            range(4),
        )
    assert found == [expected] * 4


@pytest.mark.usefixtures("_two_threads")
def test_an_error_reaches_the_caller_and_ends_the_rest():
    done = []

    def run(item):
        if item == 0:
            raise ValueError("the first strip")
        done.append(item)

    with pytest.raises(ValueError, match="first strip"):
        for_each(run, range(10_000))
    assert len(done) < 10_000


def test_one_thread_is_no_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = set()
        for_each(lambda _: found.add(threading.get_ident()), range(3))
    finally:
        torch.set_num_threads(before)
    assert found == {threading.get_ident()}
