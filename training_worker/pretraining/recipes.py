"""The base models that the shipped meta-dataset was made on, and how each is made again.

Two sizes have read our own generators only, two others only a folder of real text, so that which
base is tuned matters. None but `peftwise-tiny` ships.
"""

from collections.abc import Mapping
from typing import Any

OWN: dict[str, Any] = {"corpus_tokens": 16_000_000, "batch_tokens": 8_192}
RECIPES: Mapping[str, dict[str, Any]] = {
    "peftwise-nano": OWN
    | {
        "tokens": 12_000_000,
        "vocabulary": 1024,
        "hidden_size": 80,
        "layers": 4,
        "mlp_width": 224,
        "learning_rate": 6e-3,
    },
    "peftwise-tiny": OWN | {"tokens": 10_000_000, "learning_rate": 4e-3, "precision": "bf16"},
    "reader-gpt2": {
        "layout": "gpt2",
        "tokens": 10_000_000,
        "batch_tokens": 8_192,
        "layers": 5,
        "key_value_heads": 4,
        "mlp_width": 512,
        "learning_rate": 4e-3,
        "precision": "bf16",
    },
    "reader-llama": {
        "tokens": 8_000_000,
        "batch_tokens": 8_192,
        "vocabulary": 4096,
        "hidden_size": 256,
        "heads": 8,
        "key_value_heads": 4,
        "mlp_width": 704,
        "learning_rate": 2e-3,
        "precision": "bf16",
    },
}
