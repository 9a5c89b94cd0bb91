"""Training of rows of the table of embeddings."""

from metadata.architectures import Linear
from metadata.methods.spec import Fault, MethodSpec
from metadata.parameters import Integer, Values, number, whole
from metadata.records import ModelProfile

Targets = tuple[Linear, ...]


def are_in_the_vocabulary(values: Values, targets: Targets, model: ModelProfile) -> Fault | None:
    """Tokens are at most as many as the vocabulary has."""
    del targets
    if number(values, "tokens") <= model.vocabulary:
        return None
    return Fault(
        parameter="tokens",
        rule=f"tokens are at most the {model.vocabulary} of the vocabulary of {model.id}",
        next_step="Lower tokens.",
    )


def count_tokens(values: Values, targets: Targets, model: ModelProfile) -> int:
    """Count one row per token, once also where the head shares the table."""
    del targets
    return whole(values, "tokens") * model.hidden_size


def keep_nothing(values: Values, linear: Linear) -> float:
    """Keep nothing: the gradient of a row needs no activation."""
    del values, linear
    return 0.0


TRAINABLE_TOKENS = MethodSpec(
    name="trainable_tokens",
    title="training of the commonest tokens' embeddings",
    target="peft.TrainableTokensConfig",
    parameters=(Integer(name="tokens", lower=8, upper=4096, default=64, log=True),),
    given={"target_modules": "embedding", "token_indices": "frequent_tokens"},
    trainable=count_tokens,
    frozen_numbers=count_tokens,
    activation_floats=keep_nothing,
    rebuilds_embeddings=True,
    in_model_precision=True,
    rate_factor=5.0,
    rate_source="our choice: prompt tuning's, which trains vectors of the same kind",
    uses_target_modules=False,
    conditions=(are_in_the_vocabulary,),
    undecayed=("trainable_tokens_delta",),
    no_lora="it changes rows of the embeddings",
    paper="",
)
ENTRIES = (TRAINABLE_TOKENS,)
