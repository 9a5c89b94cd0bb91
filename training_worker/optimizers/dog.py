"""DoG and L-DoG with the average of their steps, without which they are not to be used.

DoG measures each group of weights as one vector, L-DoG each tensor. The average is that of
Shamir and Zhang (2013), with polynomial decay.

Paper: Ivgi, Hinder, Carmon (arXiv:2302.12022); the code is theirs.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dog
import torch
from torch import nn

from training_worker.optimizers.averaging import restored
from training_worker.optimizers.groups import Groups


class _Averaged:
    """What both add to their library's class: the average of the weights after each step."""

    param_groups: Groups
    step: Callable[..., Any]

    def __init__(self, groups: Groups, **values: Any) -> None:
        super().__init__(groups, **values)  # type: ignore[call-arg]  # the library's class
        self._averager = dog.PolynomialDecayAverager(nn.ParameterList(self._weights()))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Have the weights be the average inside the block, and as they were after it."""
        weights = self._weights()
        with restored(weights):
            with torch.no_grad():
                for weight, mean in zip(weights, self._averager.averaged_model, strict=True):
                    weight.copy_(mean)
            yield

    def state_dict(self) -> dict[str, Any]:
        """Return the library's state, and the average beside it."""
        of_library: dict[str, Any] = super().state_dict()  # type: ignore[misc]  # as above
        return {**of_library, "averager": self._averager.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` gave."""
        super().load_state_dict(state_dict)  # type: ignore[misc]  # as above
        self._averager.load_state_dict(state_dict["averager"])

    def _weights(self) -> list[nn.Parameter]:
        return [weight for group in self.param_groups for weight in group["params"]]

    def _fill(self) -> None:
        """Give weights that no loss reached a gradient of 0: the library reads every one."""
        for weight in self._weights():
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)


class AveragedDoG(_Averaged, dog.DoG):  # type: ignore[misc]  # untyped
    """DoG, and the average of its steps."""

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take a step and move the average."""
        self._fill()
        loss: float | None = super().step(closure)
        self._averager.step()
        return loss


class AveragedLDoG(_Averaged, dog.LDoG):  # type: ignore[misc]  # untyped
    """L-DoG, and the average of its steps."""

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take a step and move the average."""
        self._fill()
        loss: float | None = super().step(closure)
        self._averager.step()
        return loss
