"""SSF on all that its authors put it on, and the count they print."""

import copy
from typing import Any

import pytest
import torch
from peft import get_peft_model
from torch import nn
from transformers import ViTConfig, ViTModel

from training_worker.tuners import SsfConfig

# PEFT asks transformers by a name that is on its way out
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")


@pytest.fixture(autouse=True)
def _same_random_numbers() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


class Patches(nn.Module):
    """A convolution, a norm and a map without a bias, as in a vision transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 6, kernel_size=2, stride=2)
        self.norm = nn.LayerNorm(6)
        self.map = nn.Linear(6, 4, bias=False)
        nn.init.normal_(self.norm.weight, mean=1, std=0.3)
        nn.init.normal_(self.norm.bias)

    def forward(self, image_BCHW: torch.Tensor) -> torch.Tensor:
        patches = self.patch(image_BCHW).flatten(2).transpose(1, 2)
        mapped: torch.Tensor = self.map(self.norm(patches))
        return mapped


def on_patches() -> Any:
    model = get_peft_model(Patches(), SsfConfig(target_modules=["patch", "norm", "map"]))
    for name, weight in model.named_parameters():
        if "ssf_" in name:
            weight.data += 0.3 * torch.randn(weight.shape)
    return model


def test_a_convolution_a_norm_and_a_map_are_scaled_and_shifted_by_output() -> None:
    model, image_BCHW = on_patches(), torch.randn(2, 3, 4, 4)
    own = model.base_model.model

    for module, x, axis in (
        (own.patch, image_BCHW, 1),
        (own.norm, torch.randn(5, 6), 1),
        (own.map, torch.randn(5, 6), 1),
    ):
        shape = [1 if one != axis else -1 for one in range(x.dim())]
        scale, shift = (
            held["default"].view(shape) for held in (module.ssf_scale, module.ssf_shift)
        )
        assert torch.equal(module(x), module.base_layer(x) * scale + shift)


def test_all_of_them_merge_and_a_map_without_bias_is_given_one() -> None:
    model, image_BCHW = on_patches(), torch.randn(2, 3, 4, 4)
    said = model(image_BCHW)

    plain = copy.deepcopy(model).merge_and_unload(safe_merge=True)

    assert isinstance(plain.patch, nn.Conv2d)
    assert isinstance(plain.norm, nn.LayerNorm)
    torch.testing.assert_close(plain(image_BCHW), said)
    torch.testing.assert_close(plain.map.bias, model.base_model.model.map.ssf_shift["default"])
    assert model.base_model.model.map.base_layer.bias is None


def test_vit_base_trains_the_numbers_that_the_authors_print() -> None:
    with torch.device("meta"):
        vit = ViTModel(ViTConfig(), add_pooling_layer=False)
    targets = [
        name
        for name, module in vit.named_modules()
        if isinstance(module, nn.Linear | nn.LayerNorm | nn.Conv2d)
    ]

    model = get_peft_model(vit, SsfConfig(target_modules=targets))

    assert sum(w.numel() for w in model.parameters() if w.requires_grad) == 205_824
