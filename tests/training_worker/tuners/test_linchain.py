"""LinChain against LoRA, against MoSLoRA written anew, and against its own formula."""

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor, nn

from training_worker.tuners import LinChainConfig

RANK, INPUTS, OUTPUTS = 4, 10, 7


@pytest.fixture(autouse=True)
def _same_random_numbers() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def net(*, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(INPUTS, OUTPUTS, bias=bias), nn.Tanh(), nn.Linear(OUTPUTS, 3))


def chained(*, bias: bool = True, **values: Any) -> Any:
    values = {"r": RANK, "lora_alpha": 6, **values}
    return peft.get_peft_model(net(bias=bias), LinChainConfig(target_modules=["0"], **values))


def layer_of(model: Any) -> Any:
    return model.base_model.model[0]


def at_random(model: Any) -> Any:
    """Return the model with B off zero, so that all that is chained shows."""
    for weight in model.parameters():
        if weight.requires_grad:
            nn.init.normal_(weight, std=0.5)
    return model


def chain_in_a_loop(layer: Any, x: Tensor) -> Tensor:
    """Return what an adapter adds, as the paper writes it: one map after the other."""
    hidden = x @ layer.linchain_A["default"].T
    for number, link in enumerate(layer.linchain_links["default"]):
        hidden = hidden @ link.T
        if "default" in layer.linchain_link_biases:
            hidden = hidden + layer.linchain_link_biases["default"][number]
    return 6 / RANK * (hidden @ layer.linchain_B["default"].T)


@pytest.mark.parametrize("links", [1, 2, 3, 4])
@pytest.mark.parametrize("chain_bias", [False, True])
def test_the_collapsed_chain_is_the_loop_over_its_links(links: int, chain_bias: bool) -> None:
    model = at_random(chained(links=links, chain_bias=chain_bias))
    layer, x = layer_of(model), torch.randn(5, INPUTS)

    added = layer(x) - layer.base_layer(x)

    torch.testing.assert_close(added, chain_in_a_loop(layer, x), rtol=1e-5, atol=1e-5)


def test_its_gradients_are_those_of_the_loop() -> None:
    model, x = at_random(chained(links=3, chain_bias=True)), torch.randn(5, INPUTS)
    layer = layer_of(model)
    weights = [w for w in model.parameters() if w.requires_grad]

    own = torch.autograd.grad(layer(x).square().sum(), weights)
    looped = layer.base_layer(x) + chain_in_a_loop(layer, x)

    for one, other in zip(own, torch.autograd.grad(looped.square().sum(), weights), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("links", [1, 4])
def test_with_identity_links_it_is_lora_step_by_step(links: int) -> None:
    ours = chained(links=links, chain_init="identity", lora_dropout=0.3)
    config = peft.LoraConfig(r=RANK, lora_alpha=6, lora_dropout=0.3, target_modules=["0"])
    lora = peft.get_peft_model(net(), config)
    theirs = lora.base_model.model[0]
    theirs.lora_A["default"].weight.data.copy_(layer_of(ours).linchain_A["default"])
    layer_of(ours).linchain_links["default"].requires_grad_(False)  # they stay the identity
    x, wanted = torch.randn(16, INPUTS), torch.randn(16, 3)

    losses: dict[str, list[float]] = {"ours": [], "lora": []}
    for name, model in (("ours", ours), ("lora", lora)):
        torch.manual_seed(3)  # of dropout
        optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=1e-2)
        for _ in range(8):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model.train()(x), wanted)
            loss.backward()
            optimizer.step()
            losses[name].append(float(loss.detach()))

    assert losses["ours"] == losses["lora"]
    assert losses["lora"][-1] < losses["lora"][0]
    assert torch.equal(layer_of(ours).linchain_B["default"], theirs.lora_B["default"].weight)


class MoSLoRA(nn.Module):
    """A mixer between the factors, arXiv:2406.11909, written from the paper's formula."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Linear(INPUTS, RANK, bias=False)
        self.mixer = nn.Linear(RANK, RANK, bias=False)
        self.up = nn.Linear(RANK, OUTPUTS, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.up(self.mixer(self.down(x))) * 6 / RANK
        return self.base(x) + added


def test_with_one_link_it_is_moslora() -> None:
    ours, other = chained(links=1), net()
    mixed = MoSLoRA(other[0])
    layer = layer_of(ours)
    mixed.down.weight.data.copy_(layer.linchain_A["default"])
    mixed.mixer.weight.data.copy_(layer.linchain_links["default"][0])
    mixed.up.weight.data.zero_()
    other[0], x = mixed, torch.randn(16, INPUTS)
    pairs = [(ours, layer.linchain_B["default"]), (other.requires_grad_(True), mixed.up.weight)]
    mixed.base.requires_grad_(False)
    other[2].requires_grad_(False)

    for model, _ in pairs:
        optimizer = torch.optim.SGD([w for w in model.parameters() if w.requires_grad], lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()

    torch.testing.assert_close(pairs[0][1], pairs[1][1])
    torch.testing.assert_close(layer.linchain_links["default"][0], mixed.mixer.weight)
    torch.testing.assert_close(ours(x), other(x))


def test_its_update_has_at_most_the_rank() -> None:
    delta = layer_of(at_random(chained(links=3))).get_delta_weight("default")

    assert delta.shape == (OUTPUTS, INPUTS)
    assert torch.linalg.matrix_rank(delta) == RANK


@pytest.mark.parametrize("bias", [False, True])
def test_links_with_biases_merge_into_weight_and_bias(bias: bool) -> None:
    model, x = at_random(chained(bias=bias, links=3, chain_bias=True)), torch.randn(5, INPUTS)
    layer = layer_of(model)
    own = layer.base_layer.weight.detach().clone(), layer.base_layer(torch.zeros(1, INPUTS))
    update = layer.get_delta_weight("default")
    at_zero = chain_in_a_loop(layer, torch.zeros(1, INPUTS))
    said = model(x)

    plain = model.merge_and_unload()

    torch.testing.assert_close(plain[0].weight, own[0] + update)
    torch.testing.assert_close(plain[0].bias, (own[1] + at_zero)[0])
    torch.testing.assert_close(plain(x), said)


def test_plain_peft_says_the_same_with_its_lora_factors(tmp_path: Path) -> None:
    model, x = at_random(chained(links=3)), torch.randn(5, INPUTS)
    a, b, scaling = layer_of(model).lora_factors("default")
    config = peft.LoraConfig(r=RANK, lora_alpha=RANK * scaling, target_modules=["0"])
    lora = peft.get_peft_model(net(), config)

    lora.base_model.model[0].lora_A["default"].weight.data.copy_(a)
    lora.base_model.model[0].lora_B["default"].weight.data.copy_(b)
    lora.save_pretrained(tmp_path)

    loaded = peft.PeftModel.from_pretrained(net(), tmp_path)
    torch.testing.assert_close(loaded(x), model(x))


def test_links_with_biases_are_no_plain_lora() -> None:
    with pytest.raises(ValueError, match="no plain LoRA adapter"):
        layer_of(chained(chain_bias=True)).lora_factors("default")


def test_kaiming_links_shrink_the_signal_and_the_other_starts_keep_it() -> None:
    x, kept = torch.randn(200, 64), {}
    for start in ("kaiming", "orthogonal", "identity"):
        config = LinChainConfig(r=16, links=3, chain_init=start, target_modules=["0"])
        model = peft.get_peft_model(nn.Sequential(nn.Linear(64, 8)), config)
        hidden = x @ layer_of(model).linchain_A["default"].T
        a, _, _ = layer_of(model).lora_factors("default")
        kept[start] = float((x @ a.T).norm().detach() / hidden.norm().detach())

    assert kept["orthogonal"] == pytest.approx(1, abs=1e-4)
    assert kept["identity"] == 1
    assert 0.1 < kept["kaiming"] < 0.35  # about 0.58 a link


@pytest.mark.parametrize(
    "values",
    [{"links": 0}, {"links": 1.5}, {"r": 0}, {"chain_init": "zeros"}, {"lora_dropout": 1.0}],
    ids=str,
)
def test_values_that_make_no_chain_are_refused(values: dict[str, Any]) -> None:
    (name,) = values

    with pytest.raises(ValueError, match=name):
        LinChainConfig(target_modules=["0"], **values)
