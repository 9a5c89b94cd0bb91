"""What must hold of every tuner of our own, on small models with random weights.

Each test stands for a check that any PEFT method must pass: it starts at the base, it moves
nothing else, it merges, it comes back from disk under any name, it lives beside other adapters.
"""

import copy
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedConfig
from transformers.pytorch_utils import Conv1D

from training_worker.tuners import (
    BitFitConfig,
    BOnlyConfig,
    LinChainConfig,
    PropulsionConfig,
    SsfConfig,
)

# d_in and d_out differ, and keys and values are grouped; GPT-2's maps are transposed
LLAMA = LlamaConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    bos_token_id=0,
    eos_token_id=1,
    pad_token_id=2,
)
GPT2 = GPT2Config(
    vocab_size=64,
    n_embd=32,
    n_layer=2,
    n_head=4,
    n_positions=32,
    bos_token_id=0,
    eos_token_id=1,
    resid_pdrop=0,
    embd_pdrop=0,
    attn_pdrop=0,
)
CONFIGS: dict[str, PreTrainedConfig] = {"llama": LLAMA, "gpt2": GPT2}
TARGETS = {"llama": ["q_proj", "v_proj", "down_proj"], "gpt2": ["c_attn", "c_fc"]}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
IDS_BL = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5, 8, 9, 7, 9, 3]])


@dataclass(frozen=True, kw_only=True)
class Case:
    """A tuner with values, and what is known of it beforehand."""

    id: str
    config: type
    values: dict[str, Any] = field(default_factory=dict)
    count: Callable[[int, int, bool], int]  # (d_in, d_out, has a bias) -> trained numbers
    still: tuple[str, ...] = ()  # weights without a gradient at the first step
    adds_biases: bool = False  # by a merge, to maps that have none


RANK, LINKS = 4, 3
CASES = (
    Case(
        id="linchain",
        config=LinChainConfig,
        values={"r": RANK, "links": LINKS},
        count=lambda d_in, d_out, bias: RANK * (d_in + d_out) + LINKS * RANK**2,
        still=("linchain_A", "linchain_links"),
    ),
    Case(
        id="linchain-with-biases",
        config=LinChainConfig,
        values={"r": RANK, "links": LINKS, "chain_bias": True, "chain_init": "orthogonal"},
        count=lambda d_in, d_out, bias: RANK * (d_in + d_out) + LINKS * (RANK**2 + RANK),
        still=("linchain_A", "linchain_links", "linchain_link_biases"),
        adds_biases=True,
    ),
    Case(
        id="propulsion",
        config=PropulsionConfig,
        values={"degree": 3},
        count=lambda d_in, d_out, bias: d_out,
    ),
    Case(
        id="propulsion-with-biases",
        config=PropulsionConfig,
        values={"degree": 2, "train_biases": True},
        count=lambda d_in, d_out, bias: d_out * (1 + bias),
    ),
    Case(
        id="ssf",
        config=SsfConfig,
        count=lambda d_in, d_out, bias: 2 * d_out,
        adds_biases=True,
    ),
    Case(
        id="b_only_lora",
        config=BOnlyConfig,
        values={"r": RANK},
        count=lambda d_in, d_out, bias: RANK * d_out,
    ),
    Case(
        id="bitfit",
        config=BitFitConfig,
        count=lambda d_in, d_out, bias: d_out,
        adds_biases=True,
    ),
)

pytestmark = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
in_both_families = pytest.mark.parametrize("family", CONFIGS)
in_both_precisions = pytest.mark.parametrize("precision", DTYPES)


@pytest.fixture(autouse=True)
def _quiet_and_repeatable() -> Iterator[None]:
    with torch.random.fork_rng(), warnings.catch_warnings():
        # PEFT asks transformers by a name that is on its way out
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
        torch.manual_seed(0)
        yield


def base(family: str, precision: str = "fp32") -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(CONFIGS[family], dtype=DTYPES[precision])
        for module in model.modules():  # random, so that a bias that is forgotten shows
            if isinstance(module, nn.Linear | Conv1D) and module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
    return model.eval()


def config(case: Case, family: str, **changes: Any) -> Any:
    values = {"target_modules": TARGETS[family], "task_type": "CAUSAL_LM", **case.values, **changes}
    return case.config(**values)


def adapted(case: Case, family: str, precision: str = "fp32", **changes: Any) -> Any:
    return get_peft_model(base(family, precision), config(case, family, **changes)).eval()


def adapter_weights(model: Any, adapter: str = "default") -> dict[str, nn.Parameter]:
    return {n: w for n, w in model.named_parameters() if n.endswith(f".{adapter}")}


def move(model: Any, adapter: str = "default", *, spread: float = 0.1, seed: int = 3) -> Any:
    """Add noise to an adapter, from a seed of its own."""
    generator = torch.Generator().manual_seed(seed)
    for weight in adapter_weights(model, adapter).values():
        weight.data += spread * torch.randn(weight.shape, generator=generator)
    return model


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        said: torch.Tensor = model(input_ids=IDS_BL).logits
    return said


def far(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest difference, relative to the largest number."""
    return float((one.float() - other.float()).abs().max() / other.float().abs().max())


def without_adapters(model: Any) -> dict[str, torch.Tensor]:
    """Return the base's weights by their names in the base."""
    return {
        name.replace(".base_layer", "").removeprefix("base_model.model."): weight.detach()
        for name, weight in model.named_parameters()
        if model.prefix not in name
    }


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


@pytest.mark.parametrize("low_cpu_mem_usage", [False, True])
@pytest.mark.parametrize("name", ["default", "another"])
@in_both_precisions
@in_both_families
def test_saved_and_loaded_under_any_name_it_says_the_same(
    case: Case, family: str, precision: str, name: str, low_cpu_mem_usage: bool, tmp_path: Path
) -> None:
    model = move(adapted(case, family, precision))
    said = logits(model)

    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(
        base(family, precision), tmp_path, adapter_name=name, low_cpu_mem_usage=low_cpu_mem_usage
    )

    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert not any("default" in key for key in saved)
    assert len(saved) >= len(adapter_weights(model))
    # unaligned in the file, numbers may be added up in another order
    close = 1e-6 if low_cpu_mem_usage else 0.0
    assert far(logits(loaded), said) <= close


@pytest.fixture(scope="module")
def of_a_fresh_process(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what every adapter says here, and what one fresh process says that loaded it."""
    folder = tmp_path_factory.mktemp("fresh")
    said = {}
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        for family in CONFIGS:
            base(family).save_pretrained(folder / family / "base")
            for case in CASES:
                model = move(adapted(case, family))
                model.save_pretrained(folder / family / case.id)
                said[f"{family}/{case.id}"] = logits(model)
    torch.save(IDS_BL, folder / "ids.pt")
    script = Path(__file__).with_name("load_adapters.py")
    subprocess.run([sys.executable, str(script), str(folder)], check=True)
    again = torch.load(folder / "logits.pt")
    return {name: (one, again[name]) for name, one in said.items()}


@in_both_families
def test_a_fresh_process_that_loads_it_says_the_same(
    case: Case, family: str, of_a_fresh_process: dict[str, Any]
) -> None:
    said, again = of_a_fresh_process[f"{family}/{case.id}"]

    assert far(again, said) <= 1e-6


@in_both_families
def test_adapters_live_beside_each_other(case: Case, family: str) -> None:
    model = move(adapted(case, family))
    first = logits(model)

    model.add_adapter("second", config(case, family))
    assert torch.equal(logits(model), first), "adding an adapter changed the output"
    move(model, "second", seed=4)
    assert torch.equal(logits(model), first)
    assert not any(w.requires_grad for w in adapter_weights(model, "second").values())
    model.set_adapter("second")
    second = logits(model)
    assert far(second, first) > 1e-4
    assert not any(w.requires_grad for w in adapter_weights(model).values())
    assert all(w.requires_grad for w in adapter_weights(model, "second").values())
    model.set_adapter("default")
    assert torch.equal(logits(model), first)

    model.set_adapter("second")
    model.delete_adapter("default")
    assert torch.equal(logits(model), second)
    assert not adapter_weights(model)


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


def test_an_adapter_named_like_a_module_is_refused(case: Case) -> None:
    model = adapted(case, "llama")

    with pytest.raises(ValueError, match="named like a module"):
        model.add_adapter("q_proj", config(case, "llama"))
    with pytest.raises(ValueError, match="named like a module"):
        get_peft_model(base("llama"), config(case, "llama"), adapter_name="mlp")


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


def test_its_name_is_ours_in_what_is_saved(case: Case, tmp_path: Path) -> None:
    adapted(case, "llama").save_pretrained(tmp_path)

    kind = peft.PeftConfig.from_pretrained(tmp_path).peft_type

    assert kind.value == f"PEFTWISE_{case.config.method.upper()}"
