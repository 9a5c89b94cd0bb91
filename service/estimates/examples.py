"""Questions and an answer that the interface's description shows."""

from typing import Any

from fastapi.openapi.models import Example

from service.jobs.examples import CONFIGURATION

_TASK: dict[str, Any] = {
    "base_model": {"id": "meta-llama/Llama-3.2-3B"},
    "dataset": {
        "examples": [
            {"prompt": "Capital of France?", "completion": "Paris"},
            {"prompt": "Capital of Kenya?", "completion": "Nairobi"},
        ]
    },
    "hardware": {"device": "NVIDIA L40S"},
}
QUESTIONS = {
    "configuration": Example(
        summary="A configuration of your own",
        value={**_TASK, "peft": {"configuration": CONFIGURATION}},
    ),
    "recommendation": Example(
        summary="The second rank of an answer given before, on other hardware",
        value={
            **_TASK,
            "hardware": {"device": "NVIDIA L4", "usd_per_hour": 0.7},
            "peft": {"recommendation_id": "rec-5f1c0a9e", "rank": 2},
        },
    ),
    "recommender": Example(
        summary="What the recommender would choose for an uploaded file, within a budget",
        value={
            **_TASK,
            "dataset": {"file_id": "file-3b9f0c1d2e4a5b6c7d8e9f00"},
            "budget": {"memory_gib": 24, "train_minutes": 60},
        },
    ),
}
_WHOLE = {
    **CONFIGURATION,
    "max_length_tokens": 2048,
    "loss_on": "all",
    "precision": "bf16",
    "quantization": "none",
    "gradient_clipping": "global",
    "gradient_checkpointing": False,
    "packing": False,
    "attention": "sdpa",
    "keep": "best",
    "seed": 0,
}


def _peak(gradients: int, activations: int, logits: int) -> dict[str, Any]:
    weights, state = 6_522_755_072, 194_510_848
    return {
        "peak_bytes": weights + gradients + state + activations + logits,
        "bytes_of": {
            "weights": weights,
            "gradients": gradients,
            "state": state,
            "activations": activations,
            "logits": logits,
        },
    }


ESTIMATE: dict[str, Any] = {
    "object": "estimate",
    "configuration": _WHOLE,
    "chosen_by": "caller",
    "recommendation_id": None,
    "rank": None,
    "train_seconds": {"expected": 71.0, "low": 40.0, "high": 126.0},
    "peak_memory_bytes": {
        "expected": 22_211_837_952.0,
        "low": 18_509_864_960.0,
        "high": 26_654_205_542.0,
    },
    "memory_bytes": 48_318_382_080,
    "cost_usd": None,
    "fits": True,
    "micro_batch_size": 4,
    "accumulation_steps": 2,
    "gradient_checkpointing": False,
    "length_tokens": 524,
    "steps": 40,
    "tokens": 103_040,
    "trainable_parameters": 24_313_856,
    "phases": {
        "forward": _peak(97_255_424, 12_178_907_136, 3_218_409_472),
        "backward": _peak(97_255_424, 12_178_907_136, 0),
        "optimizer": _peak(97_255_424, 97_255_424, 0),
    },
    "knobs": [
        {
            "name": "micro_batch_size",
            "value": "2",
            "relieves": "activations",
            "frees_bytes": 7_698_658_304,
            "time_factor": None,
            "sentence": (
                "Activations take 11 GiB, logits 3.0 GiB: a micro-batch of 2 instead of 4 frees "
                "7.2 GiB."
            ),
        }
    ],
    "advice": [
        (
            "The peak of one step, 21 GiB, comes at the end of the forward pass: activations "
            "11 GiB, weights 6.1 GiB, logits 3.0 GiB, optimizer state 186 MiB, gradients 93 MiB."
        ),
        ("Activations take 11 GiB, logits 3.0 GiB: a micro-batch of 2 instead of 4 frees 7.2 GiB."),
    ],
    "notes": [],
    "knowledge_version": "0f1e2d3c4b5a6978",
}
