"""Real steps on this CPU beside simulated ones: the half of `costs.py` that needs no data.

Three families with random weights by ten methods, checkpointing on and off.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from metadata.methods import METHODS
from metadata.parameters import defaults
from metadata.records import Configuration
from training_worker.adapter import add_adapter, trainable
from training_worker.data import Tokens
from training_worker.loop import Learner, rehearse
from training_worker.model import prepare
from training_worker.optimizer import freeze
from training_worker.simulation.cache import simulate_once
from training_worker.simulation.question import Question

STEP_ERROR = 0.01  # of memory, the most that is right
LENGTH_TOKENS, ROWS = 64, 4
SMALL = {"vocab_size": 1024, "bos_token_id": 0, "eos_token_id": 1}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {
        "hidden_size": 256,
        "intermediate_size": 704,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
    },
    "gpt2": {"n_embd": 256, "n_layer": 4, "n_head": 8, "n_positions": 256},
    "qwen2": {
        "hidden_size": 256,
        "intermediate_size": 704,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
    },
}
STEP_METHODS = (
    "lora",
    "dora",
    "adalora",
    "vera",
    "ia3",
    "bitfit",
    "fourierft",
    "prompt_tuning",
    "linchain",
    "full",
)
Row = dict[str, Any]


def real_steps(cache: Path) -> Iterable[Row]:
    """Yield measured and simulated peaks of real steps on this CPU."""
    for family, sizes in FAMILIES.items():
        config = AutoConfig.for_model(family, **SMALL, **sizes)
        for name in STEP_METHODS:
            for checkpointing in (False, True):
                asked = _asked(name, checkpointing)
                measured, count = _measured(config, asked)
                step = simulate_once(
                    Question(
                        model=config.to_dict(),
                        configuration=asked,
                        micro_batch_size=ROWS,
                        length_tokens=LENGTH_TOKENS,
                        padded=False,
                        device_kind="cpu",
                    ),
                    folder=cache,
                )
                yield {
                    "family": family,
                    "method": name,
                    "checkpointing": checkpointing,
                    "peak_bytes": measured,
                    "simulated_bytes": step.peak_tensor_bytes,
                    "error": step.peak_tensor_bytes / measured - 1,
                    "counts_agree": count == step.trainable,
                }


def _asked(name: str, checkpointing: bool) -> Configuration:
    return Configuration.model_validate(
        {
            "method": {"name": name, **defaults(METHODS[name].parameters)},
            "optimizer": {"name": "adamw", "learning_rate": 1e-3},
            "target_modules": "all-linear",
            "precision": "fp32",
            "gradient_checkpointing": checkpointing,
        }
    )


def _measured(config: Any, asked: Configuration) -> tuple[int, int]:
    """Return the peak bytes of live tensors of a real step, and the trained weights."""
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(config, dtype=torch.float32).requires_grad_(False)
    model = add_adapter(base, asked)
    prepare(model, asked)
    held = freeze(model, asked)
    learner = Learner(model, trainable(model), "all", 0, held=held)
    texts = [Tokens(tuple(range(1, LENGTH_TOKENS + 1)), (True,) * LENGTH_TOKENS)] * ROWS
    count = sum(weight.numel() for weight in learner.weights.values())
    return rehearse(learner, [[texts]], asked), count


def print_steps(steps: Sequence[Row]) -> None:
    """Print errors by family."""
    print(f"\n{'real steps on this CPU':<38}{'mean':>8}{'worst':>9}{'counts':>8}")
    for family in FAMILIES:
        of_family = [step for step in steps if step["family"] == family]
        error_S = np.array([step["error"] for step in of_family])
        worst = error_S[np.abs(error_S).argmax()]
        agree = sum(step["counts_agree"] for step in of_family)
        count = f"{agree}/{len(of_family)}"
        print(f"{family:<38}{np.abs(error_S).mean():>8.2%}{worst:>+9.2%}{count:>8}")
