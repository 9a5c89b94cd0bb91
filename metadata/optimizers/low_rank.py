"""Optimizers for the two factors of LoRA: A of shape (r, d_in), B of shape (d_out, r)."""

from metadata.architectures import Linear
from metadata.optimizers.adaptive import WEIGHT_DECAY
from metadata.optimizers.spec import OptimizerSpec
from metadata.parameters import Float, Values, whole
from metadata.records import ModelProfile

PLAIN_LORA = ("lora", "rslora", "lora_gaussian")
RATE_RATIO = Float(name="loraplus_lr_ratio", lower=1.0, upper=64.0, default=16.0, log=True)
DAMPING = Float(name="reg", lower=1e-6, upper=1.0, default=1e-2, log=True)


def count_b(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Count B of every targeted linear."""
    return whole(values, "r") * model.layers * sum(linear.d_out for linear in targets)


LORA_FA = OptimizerSpec(
    name="lora_fa",
    title="LoRA-FA, A frozen",
    target="training_worker.optimizers.low_rank.build_lora_fa",
    parameters=(WEIGHT_DECAY,),
    state_bytes=8.0,
    frozen=("lora_A",),
    trainable=count_b,
    rate_source="arXiv:2308.03303 searches where LoRA's are",
    methods=PLAIN_LORA,
    paper="arXiv:2308.03303",
)
LORA_PLUS = OptimizerSpec(
    name="lora_plus",
    title="LoRA+",
    target="training_worker.optimizers.low_rank.build_lora_plus",
    parameters=(WEIGHT_DECAY, RATE_RATIO),
    state_bytes=8.0,
    rate_factor=0.5,
    rate_source="A's rate; PEFT's guide: about half of LoRA's, since B's is a multiple of it",
    methods=PLAIN_LORA,
    paper="arXiv:2402.12354",
)
RIEMANNIAN_ADAMW = OptimizerSpec(
    name="riemannian_adamw",
    title="Riemannian-preconditioned AdamW",
    target="training_worker.optimizers.low_rank.build_riemannian",
    parameters=(WEIGHT_DECAY, DAMPING),
    state_bytes=8.0,
    rate_source="Adam's step has its size whatever the gradient's; our choice, not published",
    methods=PLAIN_LORA,
    paper="arXiv:2402.02347",
)
ENTRIES = (LORA_FA, LORA_PLUS, RIEMANNIAN_ADAMW)
