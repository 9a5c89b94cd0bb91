import time
from contextlib import suppress

import torch

from training_worker.meter import BLOCK_BYTES, Clock, TensorMeter

CPU = torch.device("cpu")


def kibibytes(count: int) -> torch.Tensor:
    return torch.empty(count * 1024, dtype=torch.uint8)


def test_a_new_tensor_counts_while_it_lives() -> None:
    with TensorMeter() as meter:
        first = kibibytes(4)
        second = kibibytes(8)
        del first, second
        third = kibibytes(2)

    assert meter.peak_bytes == 12 * 1024
    assert meter.live_bytes == third.nbytes


def test_a_view_costs_nothing_and_keeps_its_base_alive() -> None:
    with TensorMeter() as meter:
        base = kibibytes(4)
        view = base[10:20]
        del base

    assert meter.live_bytes == meter.peak_bytes == 4 * 1024
    del view
    assert meter.live_bytes == 0


def test_what_the_backward_pass_keeps_counts_until_it_has_run() -> None:
    weight = torch.ones(256, requires_grad=True)
    with TensorMeter() as meter:
        loss = (weight.exp() * 2).sum()  # exp keeps its result
        kept = meter.live_bytes
        loss.backward()

    assert kept == 1024 + BLOCK_BYTES
    assert meter.live_bytes == 1024 + BLOCK_BYTES  # the gradient, and the loss


def test_tensors_made_before_count_once_if_they_are_added() -> None:
    tensor = kibibytes(4)
    meter = TensorMeter()

    meter.add([tensor, tensor, tensor[:1]])

    assert meter.live_bytes == meter.peak_bytes == 4 * 1024


def test_small_tensors_count_a_whole_block() -> None:
    with TensorMeter() as meter:
        small = torch.zeros(1)

    assert meter.live_bytes == BLOCK_BYTES
    del small


def test_the_peak_of_a_matrix_product_is_its_operands_and_its_result() -> None:
    with TensorMeter() as meter:
        result = torch.ones(64, 64) @ torch.ones(64, 64)

    assert meter.peak_bytes == 3 * 64 * 64 * 4
    assert meter.live_bytes == result.nbytes


def test_a_clock_counts_the_time_inside_alone() -> None:
    clock = Clock(CPU)

    with clock.running():
        time.sleep(0.02)
    time.sleep(0.05)
    with clock.running():
        time.sleep(0.02)

    assert 0.04 <= clock.seconds < 0.08
    assert clock.cpu_seconds < 0.03


def test_a_clock_can_be_read_while_it_runs_and_goes_on_after_an_error() -> None:
    clock = Clock(CPU)

    with suppress(KeyError), clock.running():
        time.sleep(0.01)
        assert clock.seconds >= 0.01
        raise KeyError
    before = clock.seconds
    time.sleep(0.01)

    assert clock.seconds == before


def test_a_sparse_tensor_counts_its_places_and_values() -> None:
    with torch.sparse.check_sparse_tensor_invariants(), TensorMeter() as meter:
        places, values = torch.zeros(2, 100, dtype=torch.long), torch.zeros(100)
        dense_bytes = meter.live_bytes
        one = torch.sparse_coo_tensor(places, values, (1000, 1000))

        assert meter.live_bytes >= dense_bytes > 0
        assert meter.live_bytes < 3 * dense_bytes
    assert one.is_sparse
