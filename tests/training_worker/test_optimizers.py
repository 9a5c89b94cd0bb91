"""Optimizers in whole runs on a tiny model, and against the libraries they come from."""

from collections.abc import Iterator
from contextlib import contextmanager

import peft
import pytest
import torch
from peft.optimizers import create_lorafa_optimizer
from torch import nn
from transformers import AutoModelForCausalLM

from metadata.optimizers import OPTIMIZERS
from metadata.optimizers.spec import OptimizerSpec
from metadata.parameters import defaults
from metadata.records import Choice, Configuration, OptimizerChoice
from training_worker.adapter import add_adapter, load_adapter, trainable
from training_worker.data import encode_splits
from training_worker.loop import Learner, plan_steps, rehearse
from training_worker.optimizer import build_optimizer, freeze
from training_worker.optimizers.averaging import Averages, to_be_kept
from training_worker.optimizers.dog import AveragedDoG
from training_worker.run import run
from training_worker.scoring import score

GRADIENT = [spec for spec in OPTIMIZERS.values() if spec.kind == "gradient"]
ON_A_CPU = [spec for spec in GRADIENT if not spec.needs_cuda]
AVERAGING = ["schedule_free_adamw", "dog", "ldog"]


def asked(spec: OptimizerSpec, **changes: object) -> dict[str, object]:
    rate = {"learning_rate": 1e-2 * spec.rate_factor} if spec.has_learning_rate else {}
    schedule = spec.schedules[0] if spec.schedules else "linear"
    return {
        "optimizer": {"name": spec.name, **rate, **defaults(spec.parameters), **changes},
        "schedule": {"name": schedule, "warmup_fraction": 0.1},
    }


def lora_model(folder: str, configuration: Configuration) -> nn.Module:
    model = AutoModelForCausalLM.from_pretrained(folder).requires_grad_(False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = add_adapter(model, configuration)
    freeze(model, configuration)
    return model


def pair(*, at: float = 0.1) -> dict[str, nn.Parameter]:
    rng = torch.Generator().manual_seed(0)
    shapes = {"q.lora_A.default.weight": (4, 24), "q.lora_B.default.weight": (32, 4)}
    return {n: nn.Parameter(at * torch.randn(s, generator=rng)) for n, s in shapes.items()}


def descend(optimizer: torch.optim.Optimizer, weights: dict[str, nn.Parameter], steps: int) -> None:
    """Take steps down a quadratic whose slopes are all different."""
    for _ in range(steps):
        for weight in weights.values():
            weight.grad = torch.linspace(0.5, 1.5, weight.numel()).view_as(weight) * weight.detach()
        optimizer.step()


def configuration(name: str, **values: object) -> Configuration:
    chosen = {"name": name} | defaults(OPTIMIZERS[name].parameters) | values
    return Configuration(
        method=Choice(name="lora"), optimizer=OptimizerChoice.model_validate(chosen)
    )


@pytest.mark.parametrize("spec", ON_A_CPU, ids=lambda spec: spec.name)
def test_every_optimizer_trains_and_saves_what_was_scored(
    spec, make_request, tiny_llama, tokenizer, tmp_path
) -> None:
    request = make_request(**asked(spec), epochs=4, keep="last", output_folder=tmp_path / "kept")
    test = encode_splits(request, tokenizer, max_length_tokens=64).test

    result = run(request)

    assert result.state == "succeeded", result.reason
    base = AutoModelForCausalLM.from_pretrained(tiny_llama)
    assert score(base, test, tokenizer, batch_size=8).loss == result.scores.base_loss
    kept = load_adapter(base, tmp_path / "kept")
    loss = score(kept, test, tokenizer, batch_size=8).loss
    assert loss == pytest.approx(result.scores.last_loss, rel=1e-6)
    assert loss != result.scores.base_loss
    assert loss < result.scores.base_loss + 0.01


@pytest.mark.parametrize("spec", ON_A_CPU, ids=lambda spec: spec.name)
def test_the_same_seed_gives_the_same_curve_bit_for_bit(spec, make_request) -> None:
    first, again = (run(make_request(**asked(spec), epochs=1)) for _ in range(2))

    assert first.state == "succeeded", first.reason
    assert first.curve == again.curve


@pytest.mark.parametrize("spec", ON_A_CPU, ids=lambda spec: spec.name)
def test_a_rehearsal_leaves_the_weights_bit_for_bit(spec, make_request, tiny_llama, tokenizer):
    request = make_request(**asked(spec), batch_size=8)
    examples = encode_splits(request, tokenizer, max_length_tokens=64).train
    model = lora_model(tiny_llama, request.configuration)
    held = freeze(model, request.configuration)
    learner = Learner(model, trainable(model), "completion", 1, held=held)
    plan = plan_steps(examples, request.configuration, micro_batch_size=4)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}

    rehearse(learner, plan, request.configuration)

    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())


def test_adamw_on_a_cpu_is_torchs_plain_form_bit_for_bit() -> None:
    ours, plain = pair(), pair()

    descend(build_optimizer(ours, configuration("adamw", learning_rate=1e-2)), ours, 5)
    descend(torch.optim.AdamW(plain.values(), lr=1e-2, weight_decay=0.0), plain, 5)

    assert all(torch.equal(ours[name], plain[name]) for name in plain)


@pytest.mark.parametrize("name", AVERAGING)
def test_an_average_is_in_place_only_inside_the_block(name) -> None:
    weights = pair()
    rate = {"learning_rate": 0.1} if OPTIMIZERS[name].has_learning_rate else {}
    optimizer = build_optimizer(weights, configuration(name, **rate))
    assert isinstance(optimizer, Averages)
    descend(optimizer, weights, 20)
    trained = {one: weight.detach().clone() for one, weight in weights.items()}

    with to_be_kept(optimizer):
        averaged = {one: weight.detach().clone() for one, weight in weights.items()}

    assert all(torch.equal(weights[one], trained[one]) for one in weights)
    assert not any(torch.equal(averaged[one], trained[one]) for one in weights)


@pytest.mark.parametrize("name", AVERAGING)
def test_looking_at_the_average_changes_nothing_of_what_comes_after(name) -> None:
    rate = {"learning_rate": 0.1} if OPTIMIZERS[name].has_learning_rate else {}
    seen, unseen = pair(), pair()
    watched = build_optimizer(seen, configuration(name, **rate))
    for _ in range(6):
        descend(watched, seen, 1)
        with to_be_kept(watched):
            pass

    descend(build_optimizer(unseen, configuration(name, **rate)), unseen, 6)

    assert all(torch.equal(seen[one], unseen[one]) for one in seen)


def test_dogs_average_is_that_of_the_polynomial_decay() -> None:
    weights = pair()
    optimizer = build_optimizer(weights, configuration("dog"))
    expected = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for step in range(1, 31):
        descend(optimizer, weights, 1)
        share = 9 / (step + 8)  # (1 + gamma) / (t + gamma), gamma 8
        for name, weight in weights.items():
            expected[name] = (1 - share) * expected[name] + share * weight.detach()

    with to_be_kept(optimizer):
        for name, weight in weights.items():
            torch.testing.assert_close(weight.detach(), expected[name])


def test_schedule_frees_average_is_the_mean_of_its_gradient_steps() -> None:
    """At a constant rate all of z_1 ... z_t weigh the same (arXiv:2405.15682, equation 3)."""
    weights = pair()
    optimizer = build_optimizer(weights, configuration("schedule_free_adamw", learning_rate=0.1))
    passed: list[torch.Tensor] = []
    first = next(iter(weights.values()))
    for _ in range(12):
        descend(optimizer, weights, 1)
        passed.append(optimizer.state[first]["z"].clone())

    with to_be_kept(optimizer):
        mean = torch.stack(passed).mean(dim=0)
        torch.testing.assert_close(first.detach(), mean, rtol=1e-4, atol=1e-5)


def test_what_averages_is_judged_and_kept_at_its_average(make_request, monkeypatch) -> None:
    looked: list[str] = []
    averaged = AveragedDoG.averaged

    @contextmanager
    def watched(optimizer: AveragedDoG) -> Iterator[None]:
        looked.append("at the average")
        with averaged(optimizer):
            yield

    monkeypatch.setattr(AveragedDoG, "averaged", watched)

    result = run(make_request(**asked(OPTIMIZERS["dog"])))

    validated = [p for p in result.curve if p.name == "loss" and p.split == "validation"]
    assert len(looked) == len(validated) - 1  # all but the untrained base's


def test_lora_plus_is_pefts(tiny_llama, make_request) -> None:
    asked_for = configuration(
        "lora_plus", learning_rate=1e-2, weight_decay=0.05, loraplus_lr_ratio=8.0
    )
    whole = make_request().configuration.model_copy(update={"optimizer": asked_for.optimizer})
    ours, theirs = lora_model(tiny_llama, whole), lora_model(tiny_llama, whole)
    own = build_optimizer(trainable(ours), whole)
    pefts = peft.optimizers.create_loraplus_optimizer(
        theirs, torch.optim.AdamW, lr=1e-2, loraplus_lr_ratio=8.0, loraplus_weight_decay=0.05
    )
    steps(ours, own)
    steps(theirs, pefts)

    others = dict(theirs.named_parameters())
    for name, weight in trainable(ours).items():
        torch.testing.assert_close(weight, others[name], rtol=0, atol=0)


def test_riemannian_adamw_is_pefts(tiny_llama, make_request) -> None:
    asked_for = configuration("riemannian_adamw", learning_rate=1e-2, weight_decay=0.05, reg=0.1)
    whole = make_request().configuration.model_copy(update={"optimizer": asked_for.optimizer})
    ours, theirs = lora_model(tiny_llama, whole), lora_model(tiny_llama, whole)
    steps(ours, build_optimizer(trainable(ours), whole))
    pefts = peft.optimizers.create_riemannian_optimizer(
        theirs, torch.optim.AdamW, lr=1e-2, reg=0.1, weight_decay=0.05
    )
    steps(theirs, pefts)

    others = dict(theirs.named_parameters())
    for name, weight in trainable(ours).items():
        torch.testing.assert_close(weight, others[name], rtol=0, atol=0)


def steps(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    ids_BL = torch.arange(24).view(2, 12)
    for _ in range(3):
        model(input_ids=ids_BL, labels=ids_BL).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def test_muon_is_torchs_on_matrices_and_adamw_on_the_rest() -> None:
    names = {"layers.0.lora_A.weight": (4, 24), "layers.0.lora_B.weight": (32, 4)}
    others = {"gain": (8,), "embed_tokens.weight": (16, 8)}
    rng = torch.Generator().manual_seed(0)
    start = {n: torch.randn(s, generator=rng) for n, s in (names | others).items()}
    ours = {name: nn.Parameter(value.clone()) for name, value in start.items()}
    theirs = {name: nn.Parameter(value.clone()) for name, value in start.items()}
    asked_for = configuration("muon", learning_rate=1e-2, weight_decay=0.05)

    descend(build_optimizer(ours, asked_for), ours, 3)
    muon = torch.optim.Muon(
        [theirs[name] for name in names],
        lr=1e-2,
        weight_decay=0.05,
        adjust_lr_fn="match_rms_adamw",
    )
    adamw = torch.optim.AdamW(
        [theirs[name] for name in others], lr=1e-2, weight_decay=0.05, betas=(0.9, 0.95), eps=1e-10
    )
    descend(muon, {name: theirs[name] for name in names}, 3)
    descend(adamw, {name: theirs[name] for name in others}, 3)

    for name, weight in ours.items():
        # Newton-Schulz runs in bfloat16, of 8 bits.
        tolerance = 1e-3 if name in names else 1e-6
        torch.testing.assert_close(weight, theirs[name], rtol=0, atol=tolerance)


def test_lora_fa_trains_b_alone(make_request, tmp_path) -> None:
    plain = run(make_request(optimizer={"name": "adamw", "learning_rate": 1e-2, "weight_decay": 0}))

    result = run(
        make_request(**asked(OPTIMIZERS["lora_fa"]), keep="last", output_folder=tmp_path / "kept")
    )

    assert 0 < result.costs.trainable_parameters < plain.costs.trainable_parameters
    assert result.costs.peak_tensor_bytes < plain.costs.peak_tensor_bytes
    assert result.scores.last_loss < result.scores.base_loss


@pytest.mark.parametrize("method", ["lora", "rslora"])
def test_lora_fa_is_pefts(tiny_llama, method) -> None:
    chosen = {"name": method, "r": 4, "lora_alpha": 8, "lora_dropout": 0.0}
    asked_for = Configuration.model_validate({"method": chosen, **asked(OPTIMIZERS["lora_fa"])})
    ours, theirs = (lora_model(tiny_llama, asked_for) for _ in range(2))
    held = {name: weight for name, weight in ours.named_parameters() if "lora_A" in name}
    rate = asked_for.optimizer.learning_rate
    pefts = create_lorafa_optimizer(theirs, r=4, lora_alpha=8, lr=rate)
    own = build_optimizer(trainable(ours), asked_for, held)

    for model, optimizer in ((ours, own), (theirs, pefts)):
        descend(optimizer, trainable(model), 4)

    for (name, one), (_, other) in zip(
        trainable(ours).items(), trainable(theirs).items(), strict=True
    ):
        assert torch.equal(one, other), name


@pytest.mark.parametrize("name", ["dadapt_adamw", "prodigy"])
def test_the_distance_that_is_found_never_falls(name) -> None:
    weights = pair(at=3.0)
    optimizer = build_optimizer(weights, configuration(name))
    found = []
    for _ in range(150):
        descend(optimizer, weights, 1)
        found.append(optimizer.param_groups[0]["d"])

    assert found == sorted(found)
    assert found[-1] > 100 * found[0]


def test_what_needs_a_gpu_is_refused_on_a_cpu(make_request) -> None:
    result = run(make_request(**asked(OPTIMIZERS["adamw_8bit"])))

    assert result.state == "failed"
    assert "adamw_8bit needs a CUDA GPU and bitsandbytes" in result.reason
