import torch
from torch import nn

from training_worker.checkpoints import Checkpoints


def test_the_best_is_the_earliest_of_the_lowest_and_weights_come_back_bit_for_bit() -> None:
    weight = nn.Parameter(torch.tensor([0.1, 0.2]))
    checkpoints = Checkpoints({"weight": weight})
    for step, loss in [(1, 3.0), (2, 1.0), (3, 1.0), (4, 2.0)]:
        weight.data = torch.tensor([0.1, 0.2]) * step
        checkpoints.offer(step, loss)

    assert (checkpoints.kept("best").step, checkpoints.kept("last").step) == (2, 4)
    checkpoints.load(checkpoints.best)
    assert torch.equal(weight, torch.tensor([0.1, 0.2]) * 2)
    checkpoints.load(checkpoints.last)
    assert torch.equal(weight, torch.tensor([0.1, 0.2]) * 4)
