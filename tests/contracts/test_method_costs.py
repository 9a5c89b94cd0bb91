"""Every entry's costs are those that autograd and PyTorch's dispatcher show on a small Llama.

What is compared is what one decoder layer adds: a model of two layers less one of a single layer.
A line says what was forecast and what was measured, so that an entry's numbers can be set from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any
from weakref import WeakSet

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM, LlamaConfig

from metadata.architectures import targeted
from metadata.checks import check
from metadata.errors import InvalidConfiguration
from metadata.features.model import profile_model
from metadata.methods import METHODS
from metadata.methods.spec import MethodSpec
from metadata.parameters import defaults
from metadata.records import Configuration, ModelProfile, Precision
from metadata.space import sample
from metadata.step_costs import FIXED_OPERATIONS, FP32_BYTES, step_costs
from training_worker.adapter import add_adapter, without_known_warnings
from training_worker.adaptive_rank import allocate
from training_worker.data import Batch
from training_worker.entries import resolve
from training_worker.setting import Setting
from training_worker.simulation.dropout import dropout_of

EXAMPLES, SHORT, LONG = 2, 32, 96
VOCABULARY = 64
PRECISIONS: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}

pytestmark = pytest.mark.parametrize("spec", METHODS.values(), ids=lambda spec: spec.name)
in_both_precisions = pytest.mark.parametrize("precision", PRECISIONS)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(), dropout_of("cuda"):
        torch.manual_seed(0)
        yield
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class Measured:
    """What one layer adds: bytes kept per token, bytes kept in any step, operations of a step."""

    per_token: float
    per_step: float
    operations: int


class Counter(TorchDispatchMode):
    """Counts what is dispatched, views too."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def config(layers: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=2,
        max_position_embeddings=256,
    )


def profile(layers: int) -> ModelProfile:
    return profile_model(config(layers).to_dict(), id="small-llama")


@cache
def asked_of(name: str, precision: Precision) -> Configuration:
    """Return the method at its defaults, or where these are too much here, as first sampled."""
    spec = METHODS[name]
    usual = Configuration.model_validate(
        {
            "method": {"name": spec.name, **defaults(spec.parameters)},
            "optimizer": {"name": "adamw", "learning_rate": 1e-3},
            "precision": precision,
        }
    )
    try:
        check(usual, profile(2))
    except InvalidConfiguration:
        rng = np.random.default_rng(0)
        drawn = sample(profile(2), count=20, rng=rng, methods=[spec.name], optimizers=["adamw"])
        return usual.model_copy(update={"method": drawn[0].method})
    return usual


def asked(spec: MethodSpec, precision: Precision) -> Configuration:
    return asked_of(spec.name, precision)


def batch(length: int) -> Batch:
    generator = torch.Generator().manual_seed(length)
    ids_BL = torch.randint(3, VOCABULARY, (EXAMPLES, length), generator=generator)
    mask_BL = torch.ones_like(ids_BL)
    mask_BL[0, -4:] = 0
    labels_BL = ids_BL.masked_fill(mask_BL == 0, -100)
    return Batch(ids_BL, mask_BL, labels_BL, targets=int(mask_BL.sum()), tokens=int(mask_BL.sum()))


def base(layers: int, precision: Precision) -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config(layers), dtype=PRECISIONS[precision])
    model.config.use_cache = False
    return model.requires_grad_(False)


def adapted(spec: MethodSpec, layers: int, precision: Precision) -> Any:
    setting = Setting(batches=(batch(SHORT), batch(LONG)), steps=100)
    return add_adapter(base(layers, precision), asked(spec, precision), setting).train()


def loss(model: Any, length: int) -> torch.Tensor:
    one = batch(length)
    with without_known_warnings():
        output = model(input_ids=one.input_ids_BL, attention_mask=one.attention_mask_BL)
    found: torch.Tensor = output.logits.float().logsumexp(-1).sum()
    return found


class Kept:
    """A tensor that autograd keeps, for as long as it does."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


def parts(tensor: torch.Tensor) -> list[torch.Tensor]:
    """Return what holds a tensor's numbers: of a sparse one places and values."""
    return [tensor._indices(), tensor._values()] if tensor.is_sparse else [tensor]


def kept_bytes(model: Any, length: int) -> int:
    """Return the bytes of tensors, weights apart, that wait for the backward pass."""
    own = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers()]}
    waiting: WeakSet[Kept] = WeakSet()

    def pack(tensor: torch.Tensor) -> Kept:
        kept = Kept(tensor.detach())  # with its graph it would hold itself, for good
        waiting.add(kept)
        return kept

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept.tensor):
        end = loss(model, length)
    storages = {part.untyped_storage() for one in waiting for part in parts(one.tensor)}
    del end  # and with it the graph that holds them
    sizes = {storage.data_ptr(): storage.nbytes() for storage in storages}
    return sum(size for start, size in sizes.items() if start not in own)


def operations(model: Any, spec: MethodSpec) -> int:
    """Return what a pass dispatches, with what the method does beside it once a step."""
    with Counter() as counter:
        loss(model, SHORT).backward()
        if spec.penalty:
            resolve(spec.penalty)(model).backward()
        allocate(model, step=1)
    return counter.count


@lru_cache(maxsize=2)
def measure(name: str, precision: Precision) -> Measured:
    one, two = (adapted(METHODS[name], layers, precision) for layers in (1, 2))
    short, long = (kept_bytes(two, n) - kept_bytes(one, n) for n in (SHORT, LONG))
    per_token = (long - short) / (LONG - SHORT) / EXAMPLES
    return Measured(
        per_token=per_token,
        per_step=short - per_token * SHORT * EXAMPLES,
        operations=operations(two, METHODS[name]) - operations(one, METHODS[name]),
    )


@in_both_precisions
def test_it_keeps_per_token_what_autograd_keeps(spec: MethodSpec, precision: Precision) -> None:
    model = profile(2)
    costs, targets = step_costs(asked(spec, precision), model), targeted(model, "all-linear")

    measured = measure(spec.name, precision).per_token

    forecast = costs.kept_per_token / model.layers
    width = sum(target.d_out for target in targets)
    assert forecast == pytest.approx(measured, rel=0.2), (
        f"{spec.name}, {precision}: forecast {forecast:.0f} bytes a token and layer, measured "
        f"{measured:.0f}, off by {(measured - forecast) / FP32_BYTES / width:+.2f} floats an output"
    )


@in_both_precisions
def test_it_keeps_in_any_step_what_autograd_keeps(spec: MethodSpec, precision: Precision) -> None:
    model = profile(2)
    costs, targets = step_costs(asked(spec, precision), model), targeted(model, "all-linear")

    measured = measure(spec.name, precision).per_step

    before = EXAMPLES * costs.tokens_before * costs.kept_per_token
    forecast = (costs.kept_per_step + before) / model.layers
    weights = FP32_BYTES * sum(target.d_in * target.d_out for target in targets)
    assert forecast == pytest.approx(measured, rel=0.2, abs=0.1 * weights), (
        f"{spec.name}, {precision}: forecast {forecast / weights:.2f} times a layer's weights in "
        f"fp32, measured {measured / weights:.2f} ({measured / FP32_BYTES:.0f} floats)"
    )


@in_both_precisions
def test_it_runs_the_operations_that_are_dispatched(spec: MethodSpec, precision: Precision) -> None:
    model = profile(2)
    costs, targets = step_costs(asked(spec, precision), model), targeted(model, "all-linear")

    measured = measure(spec.name, precision).operations

    forecast = (costs.operations - FIXED_OPERATIONS) / model.layers
    assert forecast == pytest.approx(measured, rel=0.25), (
        f"{spec.name}, {precision}: forecast {forecast:.0f} operations a layer, measured "
        f"{measured}; {spec.operations} a target should be "
        f"{spec.operations + (measured - forecast) / len(targets):.0f}"
    )


def test_it_counts_the_untrained_numbers_beside_the_base(spec: MethodSpec) -> None:
    bare, model = base(2, "fp32"), adapted(spec, 2, "fp32")

    untrained = [one for one in model.parameters() if not one.requires_grad]
    beside = sum(one.nbytes for one in [*untrained, *model.buffers()])
    beside -= sum(one.nbytes for one in [*bare.parameters(), *bare.buffers()])
    beside //= FP32_BYTES  # an index of eight bytes counts as two numbers
    if spec.trains_base or beside < 0:  # weights of the base are trained themselves
        pytest.skip("this method trains weights of the base")

    model_profile = profile(2)
    targets = targeted(model_profile, "all-linear") if spec.uses_target_modules else ()
    counted = spec.frozen_numbers(asked(spec, "fp32").method.values, targets, model_profile)
    assert counted == pytest.approx(beside, rel=0.01), f"{spec.name}: {counted}, found {beside}"
