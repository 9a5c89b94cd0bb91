"""Learnt keys and values that attention looks at beside those of the text."""

from metadata.architectures import Linear
from metadata.methods.spec import Fault, MethodSpec
from metadata.parameters import Integer, Values, whole
from metadata.records import ModelProfile

Targets = tuple[Linear, ...]
KNOWN = ("llama", "mistral", "gpt2")  # families whose attention PEFT can stand beside
READ = "its prompts are read by attention and change no weight"


def is_known_attention(values: Values, targets: Targets, model: ModelProfile) -> Fault | None:
    """The family is llama, mistral or gpt2, and the heads together are as wide as the model."""
    del values, targets
    if model.family not in KNOWN:
        rule = f"the method knows the attention of {', '.join(KNOWN)}, not that of {model.family}"
    elif model.heads * model.head_size != model.hidden_size:
        rule = (
            f"the heads together must be as wide as the model, {model.hidden_size}, and those of "
            f"{model.id} are {model.heads * model.head_size}"
        )
    else:
        return None
    return Fault(parameter="name", rule=rule, next_step="Choose another method, such as lora.")


def count_adaption_prompt(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count in each layer the prompt's embeddings and a gate."""
    del targets
    return model.layers * (whole(values, "adapter_len") * model.hidden_size + 1)


def keep_queries(values: Values, linear: Linear) -> float:
    """Keep the queries, made again, and what is read of the prompt."""
    del values
    return 2 * linear.d_in if linear.role == "o" else 0.0


ADAPTION_PROMPT = MethodSpec(
    name="adaption_prompt",
    title="adaption prompt, LLaMA-Adapter",
    target="peft.AdaptionPromptConfig",
    parameters=(Integer(name="adapter_len", lower=1, upper=64, default=10, log=True),),
    given={"target_modules": "attention", "adapter_layers": "layers"},
    trainable=count_adaption_prompt,
    activation_floats=keep_queries,
    operations=117,
    in_model_precision=True,
    rate_factor=10.0,
    rate_source="PEFT's method comparison trains it at 5e-4 and at 5e-3, LoRA at 1e-4 to 3e-4; "
    "our choice between",
    uses_target_modules=False,
    conditions=(is_known_attention,),
    undecayed=("adaption_prompt",),
    no_merge=READ,
    no_lora=READ,
    paper="arXiv:2303.16199",
)
ENTRIES = (ADAPTION_PROMPT,)
