import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from metadata.architectures import FAMILIES
from metadata.errors import InvalidRequest
from metadata.features.model import known_models, profile_model
from metadata.features.model_config import config_of

ONE_OF_EACH = {model.family: model for model in known_models()}


@pytest.mark.parametrize("model", ONE_OF_EACH.values(), ids=ONE_OF_EACH)
def test_a_config_made_of_sizes_builds_a_model_of_as_many_weights(model) -> None:
    with torch.device("meta"):
        built = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config_of(model)))

    assert sum(weight.numel() for weight in built.parameters()) == model.parameters


@pytest.mark.parametrize("model", ONE_OF_EACH.values(), ids=ONE_OF_EACH)
def test_the_sizes_of_a_config_made_of_sizes_are_these(model) -> None:
    again = profile_model(config_of(model), id=model.id)

    changed = {"bytes_per_token": again.bytes_per_token}
    assert again == model.model_copy(update=changed)


def test_every_public_model_is_of_a_family_that_can_be_built() -> None:
    assert set(ONE_OF_EACH) <= set(FAMILIES)


def test_a_family_without_a_known_layout_is_refused_by_name() -> None:
    unknown = ONE_OF_EACH["llama"].model_copy(update={"family": "mamba"})

    with pytest.raises(InvalidRequest, match="'mamba' is none"):
        config_of(unknown)
