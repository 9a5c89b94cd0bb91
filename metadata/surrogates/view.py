"""What is believed of one kind of question: what was best among what it allows, and how surely.

Axes: T past pairs, K core configurations, L levels, D distances, Q quantiles.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metadata.arrays import Floats
from metadata.surrogates.intervals import Errors
from metadata.surrogates.leanings import Leanings
from metadata.surrogates.line import Line
from metadata.surrogates.portfolio import Scenarios, restore_scenarios, scenarios_state
from metadata.surrogates.spec import State

QUANTILES = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, kw_only=True)
class Outside(Line):
    """How far to believe what is forecast of a configuration that is not in the core.

    Attributes:
        error: Standard deviation of what it then misses of a configuration's mean regret.
    """

    error: float


@dataclass(frozen=True, kw_only=True)
class View:
    """One kind of question.

    Attributes:
        scenarios: Regret of the core in past pairs, among what is allowed.
        scale: What a unit of regret among all that was run is here, the median over pairs.
        trust: Share of what a task is expected to change that is believed, in [0, 1].
        leanings: What a task is expected to change.
        outside: How far forecasts of other configurations than the core are.
        errors: What forecasts missed of datasets left out.
        difference_Q: Quantiles of what differences of two of the core missed.
    """

    scenarios: Scenarios
    scale: float
    trust: float
    leanings: Leanings
    outside: Outside
    errors: Errors
    difference_Q: Floats

    def state(self) -> State:
        """Return all that `restore_view` needs."""
        scenarios = scenarios_state(self.scenarios)
        return State(
            values={
                **scenarios.values,
                "scale": self.scale,
                "trust": self.trust,
                "outside": vars(self.outside),
                "near": self.errors.near,
            },
            arrays={
                **scenarios.arrays,
                "level_L": self.errors.level_L,
                "low_LD": self.errors.low_LD,
                "high_LD": self.errors.high_LD,
                "difference_Q": self.difference_Q,
                **{f"leanings_{name}": value for name, value in vars(self.leanings).items()},
            },
        )


def restore_view(values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> View:
    """Return the view that a state was taken from."""
    return View(
        scenarios=restore_scenarios(State(values=values, arrays=arrays)),
        scale=values["scale"],
        trust=values["trust"],
        leanings=Leanings(
            **{
                name.removeprefix("leanings_"): array
                for name, array in arrays.items()
                if name.startswith("leanings_")
            }
        ),
        outside=Outside(**values["outside"]),
        errors=Errors(
            level_L=arrays["level_L"],
            near=values["near"],
            low_LD=arrays["low_LD"],
            high_LD=arrays["high_LD"],
        ),
        difference_Q=arrays["difference_Q"],
    )
