"""Learnt vectors that multiply activations."""

from metadata.architectures import Linear
from metadata.elementwise import where
from metadata.methods.selective import NEW_BIASES
from metadata.methods.spec import MethodSpec
from metadata.parameters import Categorical, Integer, Values
from metadata.records import ModelProfile

FEEDFORWARD = frozenset({"gate", "up", "gate_up", "down"})


def count_ia3(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Count one scale per output of attention maps and per input of feed-forward maps."""
    del values
    scales = (t.d_in if t.role in FEEDFORWARD else t.d_out for t in targets)
    return model.layers * sum(scales)


def keep_ia3(values: Values, linear: Linear) -> float:
    """Keep the input that a feed-forward map scales, in fp32."""
    del values
    return linear.d_in if linear.role in FEEDFORWARD else 0.0


def keep_scaled(values: Values, linear: Linear) -> float:
    """Keep the output that is scaled of attention maps."""
    del values
    return 0.0 if linear.role in FEEDFORWARD else linear.d_out


def share_ia3(values: Values, linear: Linear) -> float:
    """Share the input that a feed-forward map scales."""
    del values
    return linear.d_in if linear.role in FEEDFORWARD else 0.0


def count_propulsion(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Count one scale per output, and where biases are trained those that there are."""
    biases = where(values["train_biases"], sum(t.d_out for t in targets if t.bias), 0)
    return model.layers * (sum(t.d_out for t in targets) + biases)


def count_ssf(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Count one scale and one shift per output."""
    del values
    return model.layers * sum(2 * linear.d_out for linear in targets)


def keep_output(values: Values, linear: Linear) -> float:
    """Keep the output that is scaled, as the base computed it."""
    del values
    return linear.d_out


IA3 = MethodSpec(
    name="ia3",
    title="IA3",
    target="peft.IA3Config",
    trainable=count_ia3,
    activation_floats=keep_ia3,
    model_floats=keep_scaled,
    shared_floats=share_ia3,
    operations=10,
    rate_factor=10.0,
    rate_source="arXiv:2205.05638 trains at 3e-3 where LoRA takes 3e-4",
    undecayed=("ia3_l",),
    quantizations=("int8", "nf4"),
    paper="arXiv:2205.05638",
)
PROPULSION = MethodSpec(
    name="propulsion",
    title="Propulsion",
    target="training_worker.tuners.propulsion.PropulsionConfig",
    parameters=(
        Integer(name="degree", lower=1, upper=55, default=15, log=True),
        Categorical(name="train_biases", choices=(False, True)),
    ),
    trainable=count_propulsion,
    activation_floats=keep_output,
    in_model_precision=True,
    operations=11,
    rate_factor=1.0,
    rate_source="its code trains at 1e-4 to 1e-3, about LoRA's rates; the degree multiplies it",
    undecayed=("propulsion_z",),
    paper="arXiv:2409.10927",
)
SSF = MethodSpec(
    name="ssf",
    title="SSF, scaling and shifting",
    target="training_worker.tuners.ssf.SsfConfig",
    trainable=count_ssf,
    activation_floats=keep_output,
    in_model_precision=True,
    operations=12,
    rate_factor=10.0,
    rate_source="its code trains at 5e-3; taken as IA3's, which scales outputs too",
    undecayed=("ssf_scale",),
    no_merge=NEW_BIASES,
    paper="arXiv:2210.08823",
)
ENTRIES = (IA3, PROPULSION, SSF)
