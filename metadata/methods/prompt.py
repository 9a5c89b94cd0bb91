"""Learnt tokens before each text, as embeddings or as keys and values of each layer."""

from dataclasses import replace

from metadata.architectures import Linear
from metadata.elementwise import pick
from metadata.methods.spec import Fault, MethodSpec
from metadata.parameters import Categorical, Float, Integer, Values, whole
from metadata.records import ModelProfile

Targets = tuple[Linear, ...]
PREPENDS = "it prepends tokens and changes no weight"
GATES, BIASES = 4, 2  # of an LSTM: matrices an input has, and vectors a gate has
SINKS = 1  # first tokens of a cartridge that are not trained, as its paper says
SHARE = 2  # at most one part in so many of the context is the method's


def prompt_length(values: Values) -> int:
    """Return how many tokens stand before a text."""
    return whole(values, "num_virtual_tokens")


def leaves_half_the_context(values: Values, targets: Targets, model: ModelProfile) -> Fault | None:
    """num_virtual_tokens is at most half the model's context."""
    del targets
    most = model.context_tokens // SHARE
    if prompt_length(values) <= most:
        return None
    return Fault(
        parameter="num_virtual_tokens",
        rule=f"num_virtual_tokens is at most half the context of {model.id}, {most} tokens",
        next_step="Lower num_virtual_tokens.",
    )


def count_prompt(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count one embedding per token."""
    del targets
    return prompt_length(values) * model.hidden_size


def count_encoder(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count the embeddings, and the network that they go through: an MLP, or an LSTM and one."""
    width, hidden = whole(values, "encoder_hidden_size"), model.hidden_size
    embeddings = count_prompt(values, targets, model)
    mlp = _affine(hidden, width) + _affine(width, width) + _affine(width, hidden)
    both = 2 * width  # directions
    lstm = sum(2 * GATES * width * (inputs + width + BIASES) for inputs in (hidden, both))
    lstm += _affine(both, both) + _affine(both, hidden)
    kind = values["encoder_reparameterization_type"]
    return embeddings + pick(kind, {"MLP": mlp, "LSTM": lstm})


def count_prefix(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count a key and a value per token and layer."""
    del targets
    return prompt_length(values) * model.layers * 2 * _key_width(model)


def count_cartridge(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count the prefix but for the tokens that stay as they start."""
    return count_prefix(values, targets, model) - freeze_sinks(values, targets, model)


def freeze_sinks(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count the first tokens, which attention rests on."""
    del values, targets
    return SINKS * model.layers * 2 * _key_width(model)


def count_projected_prefix(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count embeddings of the keys' width, and the MLP that makes keys and values of them."""
    del targets
    width, key = whole(values, "encoder_hidden_size"), _key_width(model)
    made = 2 * model.layers * key
    return prompt_length(values) * key + _affine(key, width) + _affine(width, made)


def keep_nothing(values: Values, linear: Linear) -> float:
    """Keep nothing a token: those before the text are counted as tokens."""
    del values, linear
    return 0.0


def _affine(d_in: int, d_out: int) -> int:
    return (d_in + 1) * d_out


def _key_width(model: ModelProfile) -> int:
    return model.key_value_heads * model.head_size


LENGTH = Integer(name="num_virtual_tokens", lower=1, upper=256, default=16, log=True)
ENCODER_WIDTH = Integer(name="encoder_hidden_size", lower=16, upper=1024, default=128, log=True)

PROMPT_TUNING = MethodSpec(
    name="prompt_tuning",
    title="prompt tuning",
    target="peft.PromptTuningConfig",
    parameters=(LENGTH,),
    fixed={"prompt_tuning_init": "SAMPLE_VOCAB"},
    trainable=count_prompt,
    activation_floats=keep_nothing,
    rate_factor=5.0,
    rate_source="PEFT's method comparison trains it at 1e-3, LoRA at 1e-4 to 3e-4",
    uses_target_modules=False,
    conditions=(leaves_half_the_context,),
    packs=False,
    virtual_tokens=prompt_length,
    starts_at_base=False,
    undecayed=("prompt_encoder",),
    no_merge=PREPENDS,
    no_lora=PREPENDS,
    quantizations=("int8", "nf4"),
    paper="arXiv:2104.08691",
)
P_TUNING = MethodSpec(
    name="p_tuning",
    title="P-tuning, a prompt from an encoder",
    target="peft.PromptEncoderConfig",
    parameters=(
        LENGTH,
        ENCODER_WIDTH,
        Categorical(name="encoder_reparameterization_type", choices=("MLP", "LSTM")),
    ),
    trainable=count_encoder,
    activation_floats=keep_nothing,
    rate_factor=1.0,
    rate_source="PEFT's method comparison trains it at LoRA's rate",
    uses_target_modules=False,
    conditions=(leaves_half_the_context,),
    packs=False,
    virtual_tokens=prompt_length,
    starts_at_base=False,
    no_merge=PREPENDS,
    no_lora=PREPENDS,
    quantizations=("int8", "nf4"),
    paper="arXiv:2103.10385",
)
PREFIX_TUNING = MethodSpec(
    name="prefix_tuning",
    title="prefix tuning",
    target="peft.PrefixTuningConfig",
    parameters=(LENGTH,),
    fixed={"init_weights": "zero"},  # random keys and values take the model far from its base
    trainable=count_prefix,
    activation_floats=keep_nothing,
    operations=12,
    rate_factor=20.0,
    rate_source="PEFT's method comparison trains it at 5e-3 from zero, LoRA at 1e-4 to 3e-4",
    uses_target_modules=False,
    conditions=(leaves_half_the_context,),
    packs=False,
    checkpoints=False,
    virtual_tokens=prompt_length,
    runs_virtual_tokens=False,
    starts_at_base=False,
    no_merge=PREPENDS,
    no_lora=PREPENDS,
    quantizations=("int8", "nf4"),
    paper="arXiv:2101.00190",
)
PROJECTED_PREFIX = replace(
    PREFIX_TUNING,
    name="prefix_tuning_mlp",
    title="prefix tuning, a prefix from an MLP",
    parameters=(LENGTH, ENCODER_WIDTH),
    fixed={"init_weights": "zero", "prefix_projection": True},
    trainable=count_projected_prefix,
    rate_factor=5.0,
    rate_source="our choice: below the prefix's own, as a network's weights each move all of it",
)
CARTRIDGE = MethodSpec(
    name="cartridge",
    title="cartridge, a prefix that starts from training texts",
    target="peft.CartridgeConfig",
    parameters=(Integer(name="num_virtual_tokens", lower=2, upper=256, default=16, log=True),),
    fixed={"num_frozen_tokens": SINKS},
    injector="training_worker.context_prompt.add_cartridge",
    trainable=count_cartridge,
    frozen_numbers=freeze_sinks,
    activation_floats=keep_nothing,
    operations=12,
    rate_factor=20.0,
    rate_source="our choice: prefix tuning's",
    uses_target_modules=False,
    conditions=(leaves_half_the_context,),
    packs=False,
    checkpoints=False,
    virtual_tokens=prompt_length,
    runs_virtual_tokens=False,
    starts_at_base=False,
    undecayed=("prompt_encoder",),
    no_merge=PREPENDS,
    no_lora=PREPENDS,
    quantizations=("int8", "nf4"),
    paper="arXiv:2506.06266",
)
CPT = MethodSpec(
    name="cpt",
    title="CPT, context-aware prompt tuning",
    target="peft.CPTConfig",
    parameters=(
        Integer(name="num_virtual_tokens", lower=8, upper=256, default=16, log=True),
        Float(name="opt_projection_epsilon", lower=0.01, upper=1.0, default=0.1, log=True),
        Float(name="opt_loss_decay_factor", lower=0.5, upper=1.0, default=0.95),
    ),
    fixed={"opt_weighted_loss_type": "decay"},
    given={
        "cpt_token_ids": "context_ids",
        "cpt_mask": "context_mask",
        "cpt_tokens_type_mask": "context_types",
    },
    penalty="training_worker.context_prompt.context_loss",
    trainable=count_prompt,
    frozen_numbers=count_prompt,
    activation_floats=keep_nothing,
    operations=150,
    needs_gradients=True,
    rate_factor=5.0,
    rate_source="our choice: prompt tuning's",
    uses_target_modules=False,
    conditions=(leaves_half_the_context,),
    packs=False,
    virtual_tokens=prompt_length,
    starts_at_base=False,
    no_merge=PREPENDS,
    no_lora=PREPENDS,
    quantizations=("int8", "nf4"),
    paper="arXiv:2410.17222",
)
ENTRIES = (PROMPT_TUNING, P_TUNING, PREFIX_TUNING, PROJECTED_PREFIX, CARTRIDGE, CPT)
