"""The tables of methods, optimizers and schedules as a person likes to read them in a terminal."""

from collections.abc import Sequence
from itertools import groupby

from rich.console import RenderableType
from rich.text import Text

from service import wording
from service.catalogue.schemas import (
    MethodAnswer,
    OptimizerAnswer,
    ParameterAnswer,
    ScheduleAnswer,
)
from service.terminal import WIDE, lines, make_table, pairs_view, plain

_NONE = wording.DASH
_LOADERS = {"peft": "PEFT", "merged": "merged", "vllm": "vLLM"}


def methods_view(methods: Sequence[MethodAnswer], *, width: int) -> RenderableType:
    """Return all methods by family; a narrow terminal has values and paper under each method."""
    is_wide = width >= WIDE
    own = ("Values", "Served by", "Paper") if is_wide else ("Served by",)
    table = make_table("Name", "Method", *own, right=("Past runs",))
    for family, members in groupby(methods, key=lambda one: one.family):
        table.add_row(Text(wording.family(family), "bold"))
        for one in members:
            table.add_row(f"  {one.name}", *_method_cells(one, is_wide=is_wide))
        table.add_section()
    return table


def method_view(one: MethodAnswer) -> RenderableType:
    """Return one method with its ranges, conditions and reasons."""
    layers = "the targeted linear maps" if one.uses_target_modules else "the model as a whole"
    start = "the frozen model's output" if one.starts_at_base else "another output than the base's"
    quantised = " or ".join(one.quantizations)
    return pairs_view(
        {
            "Name": one.name,
            "Method": wording.capitalised(one.title),
            "Family": wording.family(one.family),
            "Paper": one.paper or _NONE,
            "Values": lines(_range(parameter) for parameter in one.parameters),
            "Must hold": lines(one.conditions),
            "Works on": layers,
            "Starts at": start,
            "PEFT": "loads it as an adapter" if "peft" in one.served_by else "has no adapter",
            "Merged weights": _whether(one.no_merge),
            "vLLM": _whether(one.no_lora, yes="yes, as a plain LoRA adapter"),
            "Quantised base": quantised or "none",
            "Packed rows": "yes" if one.packs else "no",
            "Usual rate": f"{one.rate_factor:g} {wording.TIMES} the width rule for LoRA "
            f"({one.rate_source})",
            "Past runs": one.past_runs.says,
        }
    )


def optimizers_view(optimizers: Sequence[OptimizerAnswer], *, width: int) -> RenderableType:
    """Return all optimizers: their values, what they go with, what they keep for each weight."""
    own = ("Values", "Goes with", "Paper") if width >= WIDE else ()
    table = make_table("Name", "Optimizer", *own, right=("Bytes a\nweight", "Past runs"))
    for one in optimizers:
        details = (_names(one.parameters), _goes_with(one), one.paper)
        cells = _described(one.title, details, columns=len(own))
        state = f"{one.state_bytes_per_weight:.3g}"
        table.add_row(one.name, *cells, state, _count(one.past_runs.count))
    return table


def schedules_view(schedules: Sequence[ScheduleAnswer], *, width: int) -> RenderableType:
    """Return all schedules with the ranges of their values."""
    own = ("Values", "Paper") if width >= WIDE else ()
    table = make_table("Name", "Schedule", *own, right=("Past runs",))
    for one in schedules:
        details = ("\n".join(_range(parameter) for parameter in one.parameters), one.paper)
        cells = _described(one.title, details, columns=len(own))
        table.add_row(one.name, *cells, _count(one.past_runs.count))
    return table


def _method_cells(one: MethodAnswer, *, is_wide: bool) -> list[Text]:
    served = plain(", ".join(_LOADERS[form] for form in one.served_by))
    details = (_names(one.parameters), one.paper)
    cells = _described(one.title, details, columns=len(details) if is_wide else 0)
    return [*cells[:2], served, *cells[2:], Text(_count(one.past_runs.count))]


def _described(title: str, details: Sequence[str], *, columns: int) -> list[Text]:
    """Return the title and its details, under it where they have no columns of their own."""
    words = plain(wording.capitalised(title))
    if columns:
        return [words, *(lines(text.splitlines()) for text in details)]
    under = (lines(text.splitlines(), "dim") for text in details if text)
    return [Text("\n").join((words, *under))]


def _names(parameters: Sequence[ParameterAnswer]) -> str:
    return ", ".join(parameter.name for parameter in parameters)


def _range(parameter: ParameterAnswer) -> str:
    default = wording.scalar(parameter.default)
    if parameter.choices is not None:
        choices = ", ".join(wording.scalar(choice) for choice in parameter.choices)
        return f"{parameter.name}: {choices}; default {default}"
    scale = ", on a log scale" if parameter.log else ""
    ends = f"{parameter.lower:g} to {parameter.upper:g}{scale}"
    return f"{parameter.name}: {ends}; default {default}"


def _goes_with(one: OptimizerAnswer) -> str:
    parts = [
        ", ".join(one.methods or ["all methods"]),
        ", ".join(one.target_modules or []),
        f"schedule {', '.join(one.schedules)}" if one.schedules else "",
        "NVIDIA GPUs only" if one.needs_cuda else "",
    ]
    return "; ".join(part for part in parts if part)


def _whether(reason: str | None, *, yes: str = "yes") -> str:
    return yes if reason is None else f"no: {reason}"


def _count(count: int) -> str:
    return f"{count:,}" if count else "none"
