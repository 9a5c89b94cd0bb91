"""What a chart is: a name in the address, and a function from the runs at hand to figures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from metadata.browsing import Browser, View
from service.pages.contexts import Row
from service.pages.run_contexts import Plot, Select
from service.services import Services


@dataclass(frozen=True, kw_only=True)
class Question:
    """Which runs are drawn, and what was chosen for this chart alone, as it was typed."""

    services: Services
    browser: Browser
    view: View
    chosen: Mapping[str, str]

    def choice(self, name: str, usual: str) -> str:
        """Return what was chosen, or what is usual."""
        return self.chosen.get(name, "").strip()[:2_000] or usual


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The figures of a chart, what they stand on in numbers, and the choices for it."""

    plots: tuple[Plot, ...]
    figures: tuple[Row, ...] = ()
    selects: tuple[Select, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A way to look at many runs.

    Attributes:
        title: What the link says.
        lead: What it shows, and how to read it, in a sentence or two.
        choices: The names of what can be chosen for it.
    """

    name: str
    title: str
    lead: str
    draw: Callable[[Question], Drawn]
    choices: tuple[str, ...] = ()
