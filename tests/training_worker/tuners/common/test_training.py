"""Every tuner of our own starts at the base, trains its own numbers only, and learns.

What it cannot be put on is refused.
"""

from contextlib import nullcontext

import pytest
import torch
from peft import get_peft_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from tests.training_worker.tuners.common.cases import (
    IDS_BL,
    TARGETS,
    Case,
    adapted,
    adapter_weights,
    base,
    far,
    in_both_families,
    in_both_precisions,
    logits,
    move,
    of_every_tuner,
    without_adapters,
)
from training_worker.tuners import BOnlyConfig

pytestmark = of_every_tuner


@in_both_precisions
@in_both_families
def test_it_starts_at_the_base_exactly(case: Case, family: str, precision: str) -> None:
    assert torch.equal(logits(adapted(case, family, precision)), logits(base(family, precision)))


@in_both_families
def test_without_that_start_and_once_moved_it_says_another_thing(case: Case, family: str) -> None:
    said = logits(base(family))

    assert far(logits(adapted(case, family, init_weights=False)), said) > 1e-5
    assert far(logits(move(adapted(case, family))), said) > 1e-4


@in_both_families
def test_it_trains_as_many_numbers_as_its_formula_says(case: Case, family: str) -> None:
    targets = [
        module
        for name, module in base(family).named_modules()
        if name.endswith(tuple(TARGETS[family]))
    ]

    counted = sum(w.numel() for w in adapted(case, family).parameters() if w.requires_grad)

    shapes = [
        (*(m.weight.shape if isinstance(m, Conv1D) else m.weight.T.shape), m.bias is not None)
        for m in targets
    ]
    assert counted == sum(case.count(*shape) for shape in shapes)


@in_both_families
def test_only_the_adapter_has_gradients_and_moves(case: Case, family: str) -> None:
    model = adapted(case, family)
    before = {name: weight.clone() for name, weight in without_adapters(model).items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)

    for _ in range(5):
        optimizer.zero_grad()
        model(input_ids=IDS_BL, labels=IDS_BL).loss.backward()
        assert {n for n, w in model.named_parameters() if w.grad is not None} == set(
            adapter_weights(model)
        )
        optimizer.step()

    after = without_adapters(model)
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


@in_both_families
def test_the_first_gradient_is_zero_where_it_must_be_and_nowhere_else(
    case: Case, family: str
) -> None:
    model = adapted(case, family)

    model(input_ids=IDS_BL, labels=IDS_BL).loss.backward()

    for name, weight in adapter_weights(model).items():
        is_still = any(f"{part}." in name for part in case.still)
        assert bool(weight.grad.count_nonzero() == 0) is is_still, name


@pytest.mark.parametrize("autocast", [False, True])
def test_it_works_in_fp32_on_a_base_in_bf16(case: Case, autocast: bool) -> None:
    model = move(adapted(case, "llama", "bf16"))
    with torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext():
        output = model(input_ids=IDS_BL, labels=IDS_BL)
    output.loss.backward()

    assert output.logits.dtype == torch.bfloat16
    assert {weight.dtype for weight in adapter_weights(model).values()} == {torch.float32}
    assert all(w.grad.isfinite().all() for w in adapter_weights(model).values())


def test_under_autocast_an_fp32_model_says_nearly_the_same(case: Case) -> None:
    model = move(adapted(case, "llama"))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = logits(model)

    assert far(rounded, logits(model)) < 2e-2


def test_the_same_seed_draws_the_same_adapter(case: Case) -> None:
    drawn = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        drawn.append(adapted(case, "llama", init_weights=False))

    assert torch.equal(logits(drawn[0]), logits(drawn[1]))
    assert not torch.equal(logits(drawn[0]), logits(drawn[2]))


def test_checkpointed_gradients_are_the_same(case: Case) -> None:
    gradients = []
    for checkpointed in (False, True):
        torch.manual_seed(0)
        model = move(adapted(case, "llama")).train()
        if checkpointed:
            model.enable_input_require_grads()
            model.activation_checkpointing_enable({"use_reentrant": False})
        model(input_ids=IDS_BL, labels=IDS_BL).loss.backward()
        gradients.append([w.grad for w in adapter_weights(model).values()])

    assert len(gradients[0]) == len(gradients[1])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again)


def small_net() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 5))


def test_it_learns_what_another_adapter_of_its_kind_does(case: Case) -> None:
    examples = torch.randn(32, 6, generator=torch.Generator().manual_seed(7))
    both = [
        get_peft_model(small_net(), case.config(target_modules=["0", "2"], **case.values))
        for _ in range(2)
    ]
    teacher, student = both
    if case.config is BOnlyConfig:  # whose A is drawn once: another cannot be reached
        for own, theirs in zip(student.buffers(), teacher.buffers(), strict=True):
            own.copy_(theirs)
    wanted = move(teacher, spread=0.3)(examples).detach()
    optimizer = torch.optim.Adam(student.parameters(), lr=2e-2)

    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(student(examples), wanted)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))

    assert losses[-1] < 0.1 * losses[0]


def test_a_quantised_base_is_refused(case: Case) -> None:
    net = small_net()
    net[0].weight = nn.Parameter(net[0].weight.to(torch.int8), requires_grad=False)

    with pytest.raises(ValueError, match="quantised"):
        get_peft_model(net, case.config(target_modules=["0"], **case.values))


def test_what_it_cannot_be_put_on_is_refused(case: Case) -> None:
    net = nn.Sequential(nn.GRU(4, 4), nn.Linear(4, 4))

    with pytest.raises(ValueError, match="not supported"):
        get_peft_model(net, case.config(target_modules=["0"], **case.values))
