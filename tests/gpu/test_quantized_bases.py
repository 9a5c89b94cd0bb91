"""Methods on quantised bases: each that says it goes with one trains on it."""

from importlib.util import find_spec

import pytest
import torch

from metadata.examples import Example
from metadata.methods import METHODS
from metadata.methods.spec import MethodSpec
from metadata.parameters import defaults
from metadata.records import Configuration
from training_worker.request import RunRequest, ScoreSettings
from training_worker.run import run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available() or find_spec("bitsandbytes") is None,
        reason="quantised bases need a CUDA GPU and bitsandbytes",
    ),
]
CASES = [(spec, kind) for spec in METHODS.values() for kind in spec.quantizations]


def example(number: int) -> Example:
    return Example(turns=None, prompt=f"Count {number}:", completion=f" {number + 1}")


@pytest.mark.parametrize(
    ("spec", "quantization"), CASES, ids=[f"{spec.name}-{kind}" for spec, kind in CASES]
)
def test_it_trains_on_a_quantised_base(spec: MethodSpec, quantization: str) -> None:
    asked = Configuration.model_validate(
        {
            "method": {"name": spec.name, **defaults(spec.parameters)},
            "optimizer": {"name": "adamw", "learning_rate": 3e-3},
            "quantization": quantization,
            "precision": "bf16",
            "batch_size": 4,
            "max_length_tokens": 64,
        }
    )

    result = run(
        RunRequest(
            base_model="peftwise-tiny",
            train=tuple(example(number) for number in range(32)),
            validation=tuple(example(number) for number in range(32, 40)),
            test=tuple(example(number) for number in range(40, 48)),
            configuration=asked,
            device="cuda",
            scoring=ScoreSettings(ranked_examples=0),
        )
    )

    assert result.state == "succeeded", result.reason
    assert result.scores is not None
    assert result.scores.gain("best") > 0
