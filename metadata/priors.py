"""Published rules as figures with their source: what is believed where there is no evidence."""

from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS
from metadata.records import Configuration, ModelProfile, Objective

# Best LoRA rate over 14 Llama and Qwen models: 5e-5 * 10 * (2000 / width) ** power, with power
# 0.781 for Llama and 0.0775 for Qwen. Schulman and Thinking Machines Lab, "LoRA Without Regret"
# (2025). Other families take Llama's power: at width 128 it gives the 4e-3 we see ourselves.
_FULL_RATE = 5e-5
_LORA_FACTOR = 10.0
_WIDTH = 2000.0
_POWER = {"qwen2": 0.0775, "qwen3": 0.0775}
_USUAL_POWER = 0.781
# Best LoRA rate over 21 models of 1 to 1,000 B parameters and ranks 1 to 128, the median of the
# figures `best_rate`: tinker cookbook, supervised sweep (2026). Leaving a model out, one rate for
# all lost less there than the width rule, which was fitted on 14 models up to 70 B.
PUBLISHED_RATE = 3e-4
LARGE_PARAMETERS = 1_000_000_000

# DPO's rate over the supervised one: the defaults of DPOConfig (1e-6) and SFTConfig (2e-5) of TRL
# 1.16. Its example commands go further, to 1/40: 5e-7 and 2e-5, with LoRA 5e-6 and 2e-4.
DPO_RATE_FACTOR = 1e-6 / 2e-5


def width_rule_rate(model: ModelProfile) -> float:
    """Return the published best learning rate of LoRA with Adam for a model of this width."""
    power = _POWER.get(model.family, _USUAL_POWER)
    return _FULL_RATE * _LORA_FACTOR * float((_WIDTH / model.hidden_size) ** power)


def lora_rate(model: ModelProfile) -> float:
    """Return the usual learning rate of LoRA with Adam: one for large models, else the rule's."""
    return PUBLISHED_RATE if model.parameters >= LARGE_PARAMETERS else width_rule_rate(model)


def usual_rate(method: str, optimizer: str, model: ModelProfile) -> float:
    """Return the rate at which a method and an optimizer usually work on a model."""
    factor = METHODS[method].rate_factor * OPTIMIZERS[optimizer].rate_factor
    return lora_rate(model) * factor


def rate_ratio(configuration: Configuration, model: ModelProfile) -> float:
    """Return the learning rate as a multiple of the usual one; 1 where there is no rate."""
    rate = configuration.optimizer.learning_rate
    if rate is None:
        return 1.0
    return rate / usual_rate(configuration.method.name, configuration.optimizer.name, model)


def for_objective(configuration: Configuration, objective: Objective) -> Configuration:
    """Return a configuration that suits supervised training with the objective's usual rate."""
    rate = configuration.optimizer.learning_rate
    if rate is None or objective.name != "dpo":
        return configuration
    scaled = {"learning_rate": rate * DPO_RATE_FACTOR}
    optimizer = configuration.optimizer.model_copy(update=scaled)
    return configuration.model_copy(update={"optimizer": optimizer})


def carry_over(
    configuration: Configuration, *, known: ModelProfile, new: ModelProfile
) -> Configuration:
    """Return a configuration for a new model: its rate keeps its ratio to the usual one.

    It has four digits, for people to read; with three, ratios would leave the bin of
    `relative_key` that past runs know them by.
    """
    rate = configuration.optimizer.learning_rate
    if rate is None:
        return configuration
    scaled = float(f"{rate * lora_rate(new) / lora_rate(known):.4g}")
    optimizer = configuration.optimizer.model_copy(update={"learning_rate": scaled})
    return configuration.model_copy(update={"optimizer": optimizer})
