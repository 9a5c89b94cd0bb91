"""What knowledge says: of candidates on a task, and of the portfolio's entries.

Axes: C candidates.
"""

from dataclasses import dataclass
from typing import Any

from metadata.arrays import Floats, Integers
from metadata.records import Configuration, ModelProfile
from metadata.surrogates.spec import Described


@dataclass(frozen=True, kw_only=True)
class PortfolioEntry:
    """An entry of the greedy portfolio, as it was run on `model`.

    `mean_regret` is its own over past datasets, `list_regret` that of the best of the list so far.
    """

    configuration: Configuration
    model: ModelProfile
    mean_regret: float
    list_regret: float


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What is expected of each candidate, C; `low` and `high` are the ends of 90 % intervals.

    `failure` is the probability that training fails by itself, which `regret` has priced in;
    `forgotten` the nats per token lost on text of the base's own. `described` is what all was
    forecast from.
    """

    described: Described
    regret: Floats
    regret_low: Floats
    regret_high: Floats
    beats_default: Floats
    seconds: Floats
    seconds_low: Floats
    seconds_high: Floats
    bytes: Floats
    bytes_low: Floats
    bytes_high: Floats
    failure: Floats
    forgotten: Floats
    forgotten_low: Floats
    forgotten_high: Floats

    def take(self, rows: Integers) -> "Forecast":
        """Return the forecast of some candidates."""
        taken: dict[str, Any] = {
            name: value.take(rows) if isinstance(value, Described) else value[rows]
            for name, value in vars(self).items()
        }
        return Forecast(**taken)
