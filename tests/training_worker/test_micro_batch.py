import torch

from metadata.features.model import find_model
from metadata.footprint import CPU_MICRO_BATCH, footprint
from metadata.messages import Limits
from training_worker.data import Tokens
from training_worker.micro_batch import first_micro_batch, largest_that_fits
from training_worker.request import RunRequest

LLAMA = find_model("meta-llama/Llama-3.2-1B")
CPU = torch.device("cpu")


class NoSizes:
    """A model whose config says nothing of its sizes."""

    class config:  # noqa: N801  # transformers' name
        @staticmethod
        def to_dict() -> dict[str, object]:
            return {}


def first(request: RunRequest) -> int:
    return first_micro_batch(request, NoSizes(), [Tokens((1, 2), (False, True))], CPU)


def test_on_a_cpu_it_is_the_usual_one_or_the_batch(make_request) -> None:
    assert first(make_request(batch_size=64)) == CPU_MICRO_BATCH
    assert first(make_request(batch_size=3)) == 3


def test_one_that_is_asked_for_is_tried_first(make_request) -> None:
    assert first(make_request(batch_size=64, micro_batch_size=16)) == 16
    assert first(make_request(batch_size=4, micro_batch_size=16)) == 4


def test_with_memory_given_it_is_the_largest_power_of_two_that_fits(make_request) -> None:
    request = make_request(batch_size=48, limits=Limits())

    def needs(size: int) -> int:
        return footprint(
            request.configuration,
            LLAMA,
            micro_batch_size=size,
            length_tokens=512,
            accumulates=size < 48,
        ).peak_bytes

    for memory_bytes in (needs(1) - 1, needs(4), needs(8) - 1, needs(8), 10**13):
        size = largest_that_fits(request, LLAMA, longest_tokens=512, memory_bytes=memory_bytes)

        assert size in {1, 2, 4, 8, 16, 32}
        assert size == 1 or needs(size) <= memory_bytes
        assert size == 32 or needs(2 * size) > memory_bytes
