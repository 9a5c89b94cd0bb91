"""Updates that are sparse, or circulant, in a basis of waves or wavelets."""

from metadata.architectures import Linear
from metadata.methods.conditions import divides_widths, plain_linears
from metadata.methods.spec import Fault, MethodSpec, beside_the_base
from metadata.parameters import Categorical, Float, Integer, Values, number, whole
from metadata.records import ModelProfile

Targets = tuple[Linear, ...]


def has_as_many_entries(values: Values, targets: Targets, model: ModelProfile) -> Fault | None:
    """n_frequency is at most the number of weights of the smallest linear it is used on."""
    smallest = min(targets, key=_weights, default=None)
    if smallest is None or number(values, "n_frequency") <= _weights(smallest):
        return None
    return Fault(
        parameter="n_frequency",
        rule=f"n_frequency is at most the {_weights(smallest)} weights of the smallest linear it "
        f"is used on ({smallest.name} of {model.id})",
        next_step="Lower n_frequency or target other modules.",
    )


def count_frequencies(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count one coefficient per frequency and linear."""
    return model.layers * whole(values, "n_frequency") * len(targets)


def count_c3a(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count one row of each circulant block."""
    return model.layers * sum(_weights(t) // whole(values, "block_size") for t in targets)


def keep_input(values: Values, linear: Linear) -> float:
    """Keep the input in fp32, which the update multiplies."""
    del values
    return linear.d_in


def rebuild_update(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Keep the whole update."""
    del values
    return model.layers * sum(map(_weights, targets))


def rebuild_in_two_passes(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Keep the whole update, and its transform along one axis."""
    return 2 * rebuild_update(values, targets, model)


def _weights(linear: Linear) -> int:
    return linear.d_in * linear.d_out


FOURIERFT = MethodSpec(
    name="fourierft",
    title="FourierFT, discrete Fourier transform of the update",
    target="peft.FourierFTConfig",
    parameters=(
        Integer(name="n_frequency", lower=100, upper=20_000, default=1000, log=True),
        Float(name="scaling", lower=10.0, upper=1000.0, default=300.0, log=True),
    ),
    # PEFT's usual random start is far from the base where the model is small.
    fixed={"init_weights": True},
    trainable=count_frequencies,
    activation_floats=keep_input,
    shared_floats=keep_input,
    step_floats=rebuild_update,
    token_flops=beside_the_base,
    factor_products=0.0,
    operations=30,
    weight_passes=22.0,
    rate_factor=10.0,
    rate_source="arXiv:2405.03003 trains LLaMA at 3e-3, LoRA at 3e-4",
    conditions=(has_as_many_entries,),
    paper="arXiv:2405.03003",
)
WAVEFT = MethodSpec(
    name="waveft",
    title="WaveFT, wavelet transform of the update",
    target="peft.WaveFTConfig",
    parameters=(
        Integer(name="n_frequency", lower=100, upper=20_000, default=2000, log=True),
        Float(name="scaling", lower=1.0, upper=100.0, default=25.0, log=True),
    ),
    trainable=count_frequencies,
    activation_floats=keep_input,
    shared_floats=keep_input,
    step_floats=rebuild_in_two_passes,
    token_flops=beside_the_base,
    factor_products=0.0,
    operations=103,
    weight_passes=27.0,
    rate_factor=1.0,
    rate_source="PEFT's method comparison trains it at LoRA's rate",
    conditions=(has_as_many_entries,),
    paper="arXiv:2505.12532",
)
C3A = MethodSpec(
    name="c3a",
    title="C3A, block circular convolution",
    target="peft.C3AConfig",
    parameters=(Categorical(name="block_size", choices=(128, 16, 32, 64, 256, 512)),),
    # PEFT's usual start is a little off the base, by random numbers over the input width.
    fixed={"init_weights": True},
    trainable=count_c3a,
    activation_floats=keep_input,
    shared_floats=keep_input,
    operations=63,
    rate_factor=1000.0,
    rate_source="PEFT's method comparison trains it at 0.3, LoRA at 1e-4 to 3e-4: its update is "
    "divided by the input width",
    conditions=(divides_widths("block_size"), plain_linears),
    paper="arXiv:2407.19342",
)
ENTRIES = (FOURIERFT, WAVEFT, C3A)
