"""HiRA on maps that keep their weights transposed, as GPT-2's do.

PEFT 0.21.2 makes a new parameter of such weights in each pass. It asks for a gradient, which as
large as the base's weights is worked out and held for nothing.
"""

from typing import Any

import peft
import torch
from peft.tuners.hira import layer as found_layer

from training_worker.setting import Setting

layer: Any = found_layer  # it does not say that it exports what is replaced


def add_hira(model: Any, config: peft.HiraConfig, setting: Setting) -> Any:
    """Return the model with HiRA on it, the base's weights read as they are."""
    del setting
    layer.transpose = _as_they_are
    return peft.get_peft_model(model, config)


def _as_they_are(weight: torch.Tensor, fan_in_fan_out: bool) -> torch.Tensor:
    return weight.T if fan_in_fan_out else weight
