"""A whole run with each optimizer that needs no gradient, on both layouts of queries and keys."""

import peft
import pytest
import torch
from peft.tuners.adalora import AdaLoraModel
from transformers import AutoModelForCausalLM

from metadata.features.model import profile_model
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS
from metadata.parameters import defaults
from metadata.space import exists
from training_worker.adapter import add_adapter, trainable, without_known_warnings
from training_worker.data import encode_splits
from training_worker.run import run
from training_worker.setting import look

DERIVATIVE_FREE = [spec for spec in OPTIMIZERS.values() if spec.kind != "gradient"]
IDS = torch.arange(2, 34).view(2, 16)


def asked(spec) -> dict[str, object]:
    values = defaults(spec.parameters) | {"name": spec.name}
    if spec.kind == "population":
        values |= {"intrinsic_dimension": 40, "population": 8, "sigma": 0.5}
        return {"optimizer": values, "target_modules": "qk", "epochs": 20, "batch_size": 12}
    rate = 0.05 if spec.name == "mezo" else 3e-3
    return {"optimizer": values | {"learning_rate": rate}, "epochs": 40, "batch_size": 12}


@pytest.mark.parametrize("family", ["tiny_llama", "tiny_gpt2"])
@pytest.mark.parametrize("spec", DERIVATIVE_FREE, ids=lambda spec: spec.name)
def test_a_run_learns_and_plain_peft_loads_what_it_saves(
    spec, family, make_request, request, tmp_path
) -> None:
    base = request.getfixturevalue(family)
    folder = tmp_path / "adapter"
    taken = []

    result = run(
        make_request(base_model=base, output_folder=folder, **asked(spec)),
        on_step=taken.append,
    )

    assert result.state == "succeeded", result.reason
    train = [one.value for one in result.curve if (one.name, one.split) == ("loss", "train")]
    assert train[-1] < train[0]
    assert result.scores is not None
    assert result.scores.best_loss < result.scores.base_loss
    assert [one.step for one in taken] == list(range(1, result.costs.steps + 1))
    rates = [one for one in result.curve if one.name == "learning_rate"]
    assert bool(rates) is spec.has_learning_rate
    plain = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad(), without_known_warnings():
        before = plain(IDS).logits
        after = peft.PeftModel.from_pretrained(plain, folder)(IDS).logits
    assert float((after - before).abs().max()) > 1e-5


@pytest.mark.parametrize("spec", METHODS.values(), ids=lambda spec: spec.name)
def test_a_method_that_acts_on_gradients_says_so(spec, tiny_llama, tokenizer, make_request) -> None:
    request = make_request(spec.name)
    configuration = request.configuration
    examples = encode_splits(request, tokenizer, max_length_tokens=64).train
    setting = look(examples, configuration, padding_id=1, device=torch.device("cpu"))
    base = AutoModelForCausalLM.from_pretrained(tiny_llama).requires_grad_(False)
    if not exists(configuration, profile_model(base.config.to_dict(), id="tiny")):
        pytest.skip("its defaults are too large for the model")
    with torch.random.fork_rng():
        model = add_adapter(base, configuration, setting)

    acts = isinstance(getattr(model, "base_model", None), AdaLoraModel) or any(
        weight._backward_hooks for weight in trainable(model).values()
    )

    assert spec.needs_gradients is acts


@pytest.mark.parametrize("spec", DERIVATIVE_FREE, ids=lambda spec: spec.name)
def test_methods_that_act_on_gradients_are_refused(spec, make_request) -> None:
    result = run(make_request("adalora", **asked(spec)))

    assert result.state == "failed"
    assert "gradients" in result.reason
