"""An estimate as a person likes to read it in a terminal."""

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from metadata.simulated import KINDS, Peak, Phase
from service import terminal, wording
from service.estimates.exact import Exact
from service.estimates.knobs import plainly
from service.estimates.schemas import EstimateAnswer
from service.recommender.schemas import Interval

_FITS = {True: ("It fits.", "bold green"), False: ("It does not fit.", "bold red")}
_CHOSEN_BY = {
    "caller": "given",
    "recommendation": "of the recommendation",
    "recommender": "the recommender's first",
}


def estimate_view(answer: EstimateAnswer, exact: Exact | None) -> RenderableType:
    """Return an estimate: the verdict, the figures, the memory by phase and the advice."""
    return Group(
        Text(),
        Text.assemble(_FITS[answer.fits], " ", wording.sentence(answer.configuration), "."),
        Text(),
        terminal.pairs_view(_plain(_figures(answer))),
        Text(),
        Text("Memory over one step", "bold"),
        _table(answer.phases),
        Text("What takes the room, and what frees it", "bold"),
        *(_line(line) for line in answer.advice),
        *(_line(line, "yellow") for line in answer.notes),
        *([] if exact is None else _exact(exact)),
    )


def _figures(answer: EstimateAnswer) -> dict[str, str]:
    chosen_by = _CHOSEN_BY[answer.chosen_by]
    named = f", {answer.recommendation_id} rank {answer.rank}" if answer.recommendation_id else ""
    return {
        "Configuration": f"{chosen_by}{named}",
        "Time": _span(answer.train_seconds, wording.duration),
        "Peak memory": f"{_span(answer.peak_memory_bytes, wording.size)} of "
        f"{wording.size(answer.memory_bytes)}",
        "Cost": "" if answer.cost_usd is None else wording.money(answer.cost_usd),
        "Micro-batch": f"{answer.micro_batch_size}, {answer.accumulation_steps} a step",
        "Checkpointing": "on" if answer.gradient_checkpointing else "off",
        "Steps": f"{answer.steps:,}, {wording.quantity(answer.tokens)} tokens, "
        f"longest batch {answer.length_tokens:,}",
        "Trained weights": wording.quantity(answer.trainable_parameters),
    }


def _plain(pairs: Mapping[str, str]) -> dict[str, str]:
    return {name: plainly(value) for name, value in pairs.items()}


def _span(interval: Interval, words: wording.Words) -> str:
    low, high = words(interval.low), words(interval.high)
    return f"{words(interval.expected)} ({low} to {high})"


def _table(phases: Mapping[Phase, Peak]) -> RenderableType:
    table = terminal.make_table("Phase", right=("Peak", *(kind.capitalize() for kind in KINDS)))
    for phase, peak in phases.items():
        parts = (wording.size(peak.bytes_of[kind]) for kind in KINDS)
        table.add_row(phase.capitalize(), wording.size(peak.peak_bytes), *parts)
    return table


def _exact(exact: Exact) -> list[RenderableType]:
    """Return the simulated step beside the formula's, the loss of both on every token."""
    pairs = {
        "Peak": f"{wording.size(exact.peak_tensor_bytes)}, in the phase {exact.peak_phase}; "
        f"the formula says {wording.size(exact.formula_peak_bytes)}",
        "Operations": f"{exact.operations:,}; the formula says {exact.formula_operations:,}",
        "FLOPs": f"{exact.flops:.3g}",
        "Bytes moved": wording.size(exact.bytes_moved),
        "Trained weights": f"{exact.trainable:,}",
    }
    return [
        Text(),
        Text("One step simulated, its loss on every token", "bold"),
        terminal.pairs_view(_plain(pairs)),
        _table(exact.peaks),
        *(_line(note, "yellow") for note in exact.notes),
    ]


def _line(line: str, style: str = "") -> RenderableType:
    return Padding(terminal.plain(line, style), (0, 0, 0, 2))
