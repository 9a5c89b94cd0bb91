"""One run, whole, on models of two layers with random weights."""

import pytest

from metadata.methods import METHODS
from training_worker.run import RunResult, run


def losses(result: RunResult, split: str) -> list[float]:
    return [point.value for point in result.curve if point.name == "loss" and point.split == split]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("base_model", ["tiny_llama", "tiny_gpt2"])
def test_every_method_trains_and_is_scored(method, base_model, make_request, request, tmp_path):
    asked = make_request(
        method, base_model=request.getfixturevalue(base_model), output_folder=tmp_path / "adapter"
    )

    result = run(asked)

    assert result.state == "succeeded", result.reason
    assert losses(result, "validation")[-1] != losses(result, "validation")[0]
    assert result.scores.base_loss != result.scores.best_loss
    assert list(result.adapter_folder.glob("*.safetensors"))
