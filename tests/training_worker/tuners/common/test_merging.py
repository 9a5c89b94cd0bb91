"""Every tuner of our own merges, is taken out, switched off and copied without a trace."""

import copy

import pytest
import torch

from tests.training_worker.tuners.common.cases import (
    DTYPES,
    TARGETS,
    Case,
    adapted,
    adapter_weights,
    base,
    config,
    far,
    in_both_families,
    in_both_precisions,
    logits,
    move,
    of_every_tuner,
    without_adapters,
)

pytestmark = of_every_tuner


@in_both_precisions
@in_both_families
def test_merged_it_says_the_same_and_unmerged_nothing_has_changed(
    case: Case, family: str, precision: str
) -> None:
    model = move(adapted(case, family, precision))
    said, own = logits(model), copy.deepcopy(without_adapters(model))
    close = {"fp32": 1e-5, "bf16": 2e-2}[precision]

    for safe in (False, True) * 5:
        model.merge_adapter(safe_merge=safe)
        assert far(logits(model), said) <= close
        model.unmerge_adapter()

    assert torch.equal(logits(model), said)
    after = without_adapters(model)
    assert after.keys() == own.keys()
    assert all(torch.equal(after[name], weight) for name, weight in own.items())


@in_both_precisions
@in_both_families
def test_merged_and_unloaded_it_is_a_plain_model(case: Case, family: str, precision: str) -> None:
    model = move(adapted(case, family, precision))
    said, prefix = logits(model), model.prefix

    plain = model.merge_and_unload(safe_merge=True)

    assert far(logits(plain), said) <= {"fp32": 1e-5, "bf16": 2e-2}[precision]
    assert not any(prefix in name for name, _ in plain.named_modules())
    assert {weight.dtype for weight in plain.parameters()} == {DTYPES[precision]}
    keys, own = set(plain.state_dict()), set(base(family).state_dict())
    new = {
        f"{name}.bias"
        for name, module in base(family).named_modules()
        if name.endswith(tuple(TARGETS[family])) and module.bias is None
    }
    assert keys == own | (new if case.adds_biases else set())


def test_unloaded_it_is_the_untouched_base(case: Case) -> None:
    model = move(adapted(case, "llama"))
    model.merge_adapter()

    with model.disable_adapter():
        pass
    model.unmerge_adapter()
    plain = model.unload()

    own = base("llama").state_dict()
    assert plain.state_dict().keys() == own.keys()
    assert all(torch.equal(plain.state_dict()[name], weight) for name, weight in own.items())


def test_a_safe_merge_refuses_numbers_that_are_not_finite(case: Case) -> None:
    model = move(adapted(case, "llama"))
    said = logits(base("llama"))
    for weight in adapter_weights(model).values():
        weight.data.view(-1)[0] = torch.inf

    with pytest.raises(ValueError, match="NaNs detected in the merged weights"):
        model.merge_adapter(safe_merge=True)

    assert torch.equal(logits(model.unload()), said)


@in_both_precisions
@in_both_families
def test_switched_off_it_is_the_base_bit_for_bit(case: Case, family: str, precision: str) -> None:
    model = move(adapted(case, family, precision))
    moved = logits(model)

    with model.disable_adapter():
        assert torch.equal(logits(model), logits(base(family, precision)))
    assert torch.equal(logits(model), moved)
    model.merge_adapter()
    with model.disable_adapter():
        assert torch.equal(logits(model), logits(base(family, precision)))


def test_two_at_once_merge_to_what_they_say_together(case: Case) -> None:
    model = move(adapted(case, "llama"))
    model.add_adapter("second", config(case, "llama", target_modules=["q_proj", "o_proj"]))
    move(model, "second", seed=4)
    one = logits(model)
    model.base_model.set_adapter(["default", "second"])
    together = logits(model)

    model.merge_adapter(["default"])
    with pytest.warns(UserWarning, match="additionally merging"):
        model.merge_adapter(["second"])

    assert far(together, one) > 1e-4
    assert far(logits(model), together) <= 1e-5
    model.unmerge_adapter()
    assert torch.equal(logits(model), together)


def test_a_copy_is_its_own(case: Case) -> None:
    model = move(adapted(case, "llama"))
    said = logits(model)
    model.merge_adapter()

    twin = copy.deepcopy(model)
    twin.unmerge_adapter()
    move(twin, spread=1.0)

    assert far(logits(model), said) <= 1e-5
    model.unmerge_adapter()
    assert torch.equal(logits(model), said)
    assert far(logits(twin), said) > 1e-4
