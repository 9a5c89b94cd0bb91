"""Put what is asked for on a model without numbers."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import fields
from functools import partial
from typing import Any

import peft
import torch
from torch import nn

from metadata.errors import InvalidConfiguration, InvalidRequest
from metadata.records import Configuration
from training_worker.adapter import add_adapter, without_known_warnings
from training_worker.data import Batch, Tokens, collate
from training_worker.setting import Setting
from training_worker.simulation.looking import Answers
from training_worker.simulation.question import Question
from training_worker.simulation.shell import Put
from training_worker.simulation.stand_ins import StandIn, stand_in_of

STEPS = 100  # of the run; what they are decides no shape
# Of an adapter_config.json, what says where it comes from rather than what it is.
SAID_OF_ITSELF = frozenset(
    {"peft_type", "task_type", "auto_mapping", "base_model_name_or_path", "peft_version"}
    | {"inference_mode", "revision", "rank_pattern"}
)
# Starts that run data through the base; what they come to has the shapes of the plain start.
RUN_DATA = frozenset({"corda", "lora_ga", "eva"})


def what_to_put(question: Question) -> Put:
    """Return the function that puts the question's method on a model."""
    if question.adapter is not None:
        return partial(_put_peft, said=question.adapter, stand_in=stand_in_of(question))
    return partial(_put_configuration, configuration=question.configuration)


def _put_configuration(model: nn.Module, *, configuration: Configuration) -> nn.Module:
    method = configuration.method
    if method.name in RUN_DATA:
        plain = {key: method.values[key] for key in ("r", "lora_alpha", "lora_dropout")}
        configuration = configuration.model_copy(
            update={"method": type(method)(name="lora", **plain)}
        )
    put: nn.Module = add_adapter(model, configuration, Setting(batches=(_texts(),), steps=STEPS))
    return put


def _texts() -> Batch:
    """Return texts of many tokens, for methods that start from those of the data."""
    with torch.device("cpu"):
        ids = tuple(range(3, 515))
        tokens = Tokens(ids, (False,) + (True,) * (len(ids) - 1))
        return collate([tokens], loss_on="all", padding_id=0, device=torch.device("cpu"))


def _put_peft(model: nn.Module, *, said: Mapping[str, Any], stand_in: StandIn) -> nn.Module:
    config = peft_config({**said, **stand_in.values})
    try:
        with without_known_warnings(), Answers() if stand_in.answers else nullcontext():
            put: nn.Module = peft.get_peft_model(model, config)
    except (ValueError, TypeError) as error:
        raise InvalidConfiguration(
            f"The adapter must fit the model's layers; PEFT refused: {error}. Change its config.",
            param="adapter",
        ) from error
    stand_in.freeze(put)
    return put


def peft_config(said: Mapping[str, Any]) -> Any:
    """Return the PEFT config that an `adapter_config.json` says, as one to train.

    Raises:
        InvalidRequest: PEFT has no such method.
    """
    kinds = {kind.value: config for kind, config in peft.PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    kind = said.get("peft_type")
    if not isinstance(kind, str) or kind not in kinds:
        raise InvalidRequest(
            f"An adapter config's peft_type must be one that this PEFT knows, got "
            f"{str(kind)[:60]!r}. Known: {', '.join(sorted(kinds))}.",
            param="adapter",
        )
    config = kinds[kind]
    known = {field.name for field in fields(config) if field.init} - SAID_OF_ITSELF
    values = {name: value for name, value in said.items() if name in known}
    try:
        return config(task_type="CAUSAL_LM", **values)
    except (ValueError, TypeError) as error:
        raise InvalidRequest(
            f"The adapter config must be one that PEFT takes; it refused: {error}. Change it.",
            param="adapter",
        ) from error
