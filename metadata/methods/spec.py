"""What an entry of the method table says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from metadata.architectures import Linear
from metadata.parameters import Parameter, Values
from metadata.records import ModelProfile, Scalar

Count = Callable[[Values, tuple[Linear, ...], ModelProfile], int]
Serving = Literal["peft", "merged", "vllm"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Why a method cannot have its values on a model."""

    parameter: str  # a value of the method, or `name` where none would do
    rule: str
    next_step: str


Condition = Callable[[Values, tuple[Linear, ...], ModelProfile], Fault | None]


def share_nothing(values: Values, linear: Linear) -> float:
    """Keep no input that another linear could share."""
    del values, linear
    return 0.0


def nothing(values: Values) -> float:
    """Add nothing to the frozen model's."""
    del values
    return 0.0


def one_copy(values: Values) -> float:
    """Keep the base's weights in fp32."""
    del values
    return 1.0


def beside_the_base(values: Values) -> float:
    """Multiply by an update as large as the base's weights."""
    del values
    return 6.0


def in_place_of_the_base(values: Values) -> float:
    """Multiply by new weights, which have a gradient."""
    del values
    return 2.0


def no_tokens(values: Values) -> int:
    """Put no tokens before a text."""
    del values
    return 0


def count_nothing(values: Values, targets: tuple[Linear, ...], model: ModelProfile) -> int:
    """Count nothing."""
    del values, targets, model
    return 0


@dataclass(frozen=True, kw_only=True)
class MethodSpec:
    """One PEFT method as data and pure arithmetic.

    The same entry feeds the search space, the footprint, the catalogue and the worker. What counts
    takes values as numbers, or as columns of many configurations: it says `where`, `least` or
    `rounded_up` of `metadata.elementwise` instead of `if`, `min` or `ceil` of a value. Conditions
    take one configuration's values.

    Attributes:
        target: Dotted name of a PEFT config class, or of a function of our own
            `(model, configuration, module_names) -> model`. Only the worker resolves it.
        fixed: Arguments of `target` that are not searched.
        given: Arguments of `target` that the worker takes from the model or the data: the
            argument and the name of its source in `training_worker.givens.GIVENS`.
        injector: Dotted name of the worker's function `(model, config, setting) -> model` that
            puts the method on the model, for those that look at data or move the base first.
        penalty: Dotted name of the worker's function `(model) -> tensor` that is added to the
            loss once a step.
        trainable: (values, targeted linears of one decoder layer, model) -> trained weights.
        frozen_numbers: The same for numbers that stay as they start: projections, decompositions.
            An index of eight bytes counts as two.
        frozen_in_model_precision: Whether these are, and not in fp32.
        activation_floats: (values, linear) -> floats kept for the backward pass per token, beyond
            those of the frozen model.
        shared_floats: (values, linear) -> those of them that are the linear's input as it is;
            linears of one input share it where the adapter computes in the model's precision.
        model_floats: (values, linear) -> the same in the model's precision, beside them.
        step_floats: (values, targeted linears, model) -> floats that all layers keep for the
            backward pass whatever the batch: weights built anew in each pass.
        step_indices: The same for indices of eight bytes.
        moment_floats: The same for what is held only while one of them is built.
        cast_weights: (values) -> copies in fp32 of the targeted weights that are kept so too,
            where the base is in another precision.
        token_flops: (values) -> FLOPs of a token per targeted weight beyond the frozen model's: 2
            where a new weight takes the old one's place, for its gradient; 6 where an update is
            multiplied beside it.
        step_flops: (values, targeted linears, model) -> FLOPs that build such weights in a pass.
        factor_products: How often each token is multiplied by the trained weights.
        state_copies: fp32 copies of the trained weights that the method holds beside the
            optimizer's.
        operations: Operations a step adds per targeted linear, or per layer for a method without,
            forward and backward, views too.
        weight_passes: Times a pass reads or writes all targeted weights in fp32 to rebuild them.
        rebuilds_embeddings: Whether each pass builds the table of embeddings anew.
        in_model_precision: Whether the adapter computes in the model's precision, not in fp32.
        trains_base: Whether weights of the model itself are trained, in the model's precision.
        rate_factor: Multiple of the width rule's LoRA rate at which the method usually works.
        rate_source: Where that multiple comes from.
        conditions: What must hold of the values on a model.
        packs: Whether several texts can stand in one row; not where tokens are put before a text.
        checkpoints: Whether layers can be run again in the backward pass; not where a cache is
            handed to them.
        virtual_tokens: (values) -> learnt positions before each text, which take up context.
        runs_virtual_tokens: Whether these go through the layers as other tokens do.
        needs_gradients: Whether its steps act on the gradients themselves, so that only optimizers
            that have some go with it.
        starts_at_base: Whether the output before the first step is the frozen model's.
        undecayed: Parts of the names of weights that rest elsewhere than at 0, so that weight
            decay would harm them.
        no_merge: Why the result cannot become plain weights of the model; empty where it can.
        no_lora: Why the result cannot be saved as a plain LoRA adapter, which vLLM and others
            load; empty where it can, exactly.
        quantizations: Kinds of quantised base that the method can be put on.
    """

    name: str
    title: str
    target: str
    parameters: tuple[Parameter, ...] = ()
    fixed: Mapping[str, Scalar] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    injector: str = ""
    penalty: str = ""
    trainable: Count
    frozen_numbers: Count = count_nothing
    frozen_in_model_precision: bool = False
    activation_floats: Callable[[Values, Linear], float]
    shared_floats: Callable[[Values, Linear], float] = share_nothing
    model_floats: Callable[[Values, Linear], float] = share_nothing
    step_floats: Count = count_nothing
    step_indices: Count = count_nothing
    moment_floats: Count = count_nothing
    cast_weights: Callable[[Values], float] = nothing
    token_flops: Callable[[Values], float] = nothing
    step_flops: Count = count_nothing
    factor_products: float = 1.0
    state_copies: float = 0.0
    operations: int = 0
    weight_passes: float = 0.0
    rebuilds_embeddings: bool = False
    in_model_precision: bool = False
    trains_base: bool = False
    rate_factor: float
    rate_source: str
    uses_target_modules: bool = True
    conditions: tuple[Condition, ...] = ()
    packs: bool = True
    checkpoints: bool = True
    needs_gradients: bool = False
    virtual_tokens: Callable[[Values], int] = no_tokens
    runs_virtual_tokens: bool = True
    starts_at_base: bool = True
    undecayed: tuple[str, ...] = ()
    no_merge: str = ""
    no_lora: str = "its update is not a product of two low-rank factors"
    quantizations: tuple[Literal["int8", "nf4"], ...] = ()
    paper: str

    @property
    def merges(self) -> bool:
        """Say whether the result can become plain weights of the model."""
        return not self.no_merge

    @property
    def served_by(self) -> tuple[Serving, ...]:
        """Return what can load the result: PEFT, anything after merging, vLLM as an adapter."""
        can: dict[Serving, bool] = {
            "peft": not self.trains_base,
            "merged": self.merges,
            "vllm": not self.no_lora,
        }
        return tuple(name for name, holds in can.items() if holds)
