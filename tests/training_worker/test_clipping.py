import pytest
import torch
from torch import nn

from training_worker.clipping import CLIPPINGS, clip
from training_worker.run import run


def weights_with_gradients(**gradients: list[float]) -> dict[str, nn.Parameter]:
    weights = {name: nn.Parameter(torch.zeros(len(one))) for name, one in gradients.items()}
    for name, weight in weights.items():
        weight.grad = torch.tensor(gradients[name])
    return weights


@pytest.mark.parametrize(
    ("clipping", "large", "small"),
    [
        ("global", [3 / 13, 4 / 13], [12 / 13]),  # 5 and 12 together are 13
        ("component", [0.6, 0.8], [1.0]),
        ("none", [3.0, 4.0], [12.0]),
    ],
)
def test_each_clipping_bounds_what_it_says(clipping, large, small) -> None:
    weights = weights_with_gradients(large=[3.0, 4.0], small=[12.0])

    clip(weights, clipping)

    torch.testing.assert_close(weights["large"].grad, torch.tensor(large))
    torch.testing.assert_close(weights["small"].grad, torch.tensor(small))


@pytest.mark.parametrize("clipping", CLIPPINGS)
def test_gradients_under_the_bound_are_left_alone(clipping) -> None:
    weights = weights_with_gradients(one=[0.3, 0.4], other=[0.5]) | {
        "without": nn.Parameter(torch.ones(2))
    }

    clip(weights, clipping)

    assert torch.equal(weights["one"].grad, torch.tensor([0.3, 0.4]))
    assert torch.equal(weights["other"].grad, torch.tensor([0.5]))
    assert weights["without"].grad is None


def test_a_run_clips_as_its_configuration_says(make_request) -> None:
    # Adam's step has one size whatever the gradients'; DoG's has not.
    results = {
        clipping: run(
            make_request(
                "full",
                gradient_clipping=clipping,
                optimizer={"name": "ldog"},
                schedule={"name": "constant"},
            )
        )
        for clipping in CLIPPINGS
    }

    assert all(result.state == "succeeded" for result in results.values())
    assert len({result.scores.last_loss for result in results.values()}) == 3
