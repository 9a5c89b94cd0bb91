"""Training steps of small models with random weights, each mostly bound by another constant."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, LlamaConfig

from metadata.step_time import Work, work_of_operations
from training_worker.simulation.recorder import Recorder

VOCABULARY = 1024
HEAD_SIZE = 32


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A Llama by its widths, with every weight trained, and the micro-batch it is given."""

    width: int
    layers: int
    rows: int
    length: int
    dtype: torch.dtype = torch.float32


NARROW = Shape(width=HEAD_SIZE, layers=6, rows=1, length=2)  # nothing to do but to start
STEPS: Mapping[str, tuple[Shape, ...]] = {
    "cpu": (
        Shape(width=128, layers=4, rows=1, length=32),
        Shape(width=128, layers=4, rows=8, length=64),
        Shape(width=128, layers=2, rows=8, length=192),
        Shape(width=512, layers=1, rows=4, length=64),
        Shape(width=256, layers=2, rows=4, length=64, dtype=torch.bfloat16),
    ),
    "cuda": (
        Shape(width=1024, layers=6, rows=4, length=256, dtype=torch.bfloat16),
        Shape(width=2048, layers=4, rows=4, length=256, dtype=torch.bfloat16),
        Shape(width=2048, layers=4, rows=4, length=1024, dtype=torch.bfloat16),
        Shape(width=4096, layers=2, rows=4, length=1024, dtype=torch.bfloat16),
        Shape(width=2048, layers=2, rows=4, length=256),
    ),
}


class TrainingStep:
    """A step with AdamW on texts of equal length, taken as often as it is asked for."""

    def __init__(self, shape: Shape, device: torch.device) -> None:
        """Make the model and the optimizer's state; the first step is taken here."""
        heads = shape.width // HEAD_SIZE
        config = LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=shape.width,
            intermediate_size=11 * shape.width // 4,
            num_hidden_layers=shape.layers,
            num_attention_heads=heads,
            num_key_value_heads=max(1, heads // 2),
            max_position_embeddings=shape.length,
            tie_word_embeddings=True,
        )
        model = AutoModelForCausalLM.from_config(config, dtype=shape.dtype)
        self._model: Any = model.to(device).train()
        self._weights = list(self._model.parameters())
        is_cuda = device.type == "cuda"
        self._optimizer = torch.optim.AdamW(self._weights, lr=1e-4, foreach=is_cuda)
        drawn = torch.Generator().manual_seed(0)
        tokens_BL = torch.randint(VOCABULARY, (shape.rows, shape.length), generator=drawn)
        self._tokens_BL = tokens_BL.to(device)
        self.take()

    def take(self, recorder: Recorder | None = None) -> None:
        """Take a step, its phases told to a recorder where one watches."""
        if recorder is not None:
            recorder.enter("forward")
        loss = self._model(input_ids=self._tokens_BL, labels=self._tokens_BL, use_cache=False).loss
        if recorder is not None:
            recorder.enter("backward")
        loss.backward()
        if recorder is not None:
            recorder.enter("optimizer")
        nn.utils.clip_grad_norm_(self._weights, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()

    def work(self) -> Work:
        """Return what a step has to do, by watching one."""
        with Recorder(vocabulary=VOCABULARY) as recorder:
            self.take(recorder)
        return work_of_operations(recorder.operations)
