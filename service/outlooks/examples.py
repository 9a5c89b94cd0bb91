"""What the API description shows of a choice among models."""

from typing import Any

from service.recommender.examples import ANSWER

_QUESTION: dict[str, Any] = {
    "base_models": [{"id": "Qwen/Qwen2.5-0.5B"}, {"id": "meta-llama/Llama-3.2-1B"}],
    "dataset": {"file_id": "file-4f1c0a52"},
    "hardware": {"device": "NVIDIA L40S"},
    "runs": [
        {"model": "Qwen/Qwen2.5-0.5B", "examples": 200, "loss": 2.1},
        {"model": "Qwen/Qwen2.5-0.5B", "examples": 800, "loss": 1.7},
        {"model": "meta-llama/Llama-3.2-1B", "examples": 200, "loss": 1.9},
    ],
}
QUESTION: dict[str, Any] = {"summary": "Losses of small runs", "value": _QUESTION}
MODELS: dict[str, Any] = {
    "object": "list",
    "data": [
        {
            "rank": 1,
            "model": "Qwen/Qwen2.5-0.5B",
            "parameters": 494032768,
            "basis": "law",
            "sizes": [200, 800],
            "loss_per_byte": {"expected": 0.31, "low": 0.27, "high": 0.36},
            "loss_per_pair": None,
            "law": {
                "scale": 12.1,
                "transition_examples": 38900.0,
                "exponent": 0.336,
                "floor": 0.1,
            },
            "configuration": ANSWER["configurations"][0],
            "next_step": "",
        }
    ],
    "examples": 4000,
    "advice": "Losses are per byte, since tokens differ between models.",
    "has_more": False,
    "last_id": None,
}
