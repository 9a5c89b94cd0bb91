"""From what was typed into the form to a request, and from an error back to its field."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import ValidationError

from metadata.errors import InvalidRequest, PeftwiseError
from metadata.features.device import THIS_MACHINE
from service.pages.contexts import AskForm, Problem
from service.recommender.schemas import (
    BaseModelChoice,
    Budget,
    DatasetChoice,
    Hardware,
    RecommendationRequest,
)
from service.validation import describe_errors

Form = TypeVar("Form", bound=AskForm)
PAGE_COUNT = 5  # configurations that the page shows
PASTED_NAME = "pasted-examples.jsonl"
TINY_MODEL = "peftwise-tiny"
_LONGEST = 64 * 1024
_NAMES = {
    "count": "How many",
    "train_minutes": "Minutes",
    "memory_gib": "Memory, GiB",
    "usd": "US dollars",
    "usd_per_hour": "Price per hour",
}
_FIELDS = {
    "base_model.id": "model",
    "hardware.device": "device",
    "hardware.count": "count",
    "hardware.usd_per_hour": "usd_per_hour",
    "budget.train_minutes": "train_minutes",
    "budget.memory_gib": "memory_gib",
    "budget.usd": "usd",
    "objective": "objective",
    "serve_with": "serve_with",
}


def read_form(fields: Mapping[str, str]) -> AskForm:
    """Return the form as it was typed; what it does not know is left out."""
    known = {name: fields[name][:_LONGEST] for name in AskForm.names() if name in fields}
    stripped = {k: v if k == "examples" else v.strip() for k, v in known.items()}
    return AskForm(**stripped)


def with_sample(form: Form, sample: str) -> Form:
    """Fill in examples, and what is still empty beside them."""
    return replace(
        form,
        examples=sample,
        file_id="",
        file_name="",
        model=form.model or TINY_MODEL,
        device=form.device or THIS_MACHINE,
    )


def request_of(form: AskForm) -> RecommendationRequest:
    """Return the request that a form stands for, its data uploaded before.

    Raises:
        InvalidRequest: A field is empty or no number; `param` names it.
    """
    if not form.file_id:
        raise InvalidRequest(
            "An answer needs your examples: choose a file, or paste some.", param="file"
        )
    for name, words in (("model", "base model"), ("device", "device")):
        if not getattr(form, name):
            raise InvalidRequest(f"The {words} is empty. Name one; the list helps.", param=name)
    try:
        return RecommendationRequest(
            base_model=BaseModelChoice(id=form.model),
            dataset=DatasetChoice(file_id=form.file_id),
            hardware=Hardware(
                device=form.device,
                count=_count(form),
                usd_per_hour=_number(form, "usd_per_hour"),
            ),
            budget=Budget(
                train_minutes=_number(form, "train_minutes"),
                memory_gib=_number(form, "memory_gib"),
                usd=_number(form, "usd"),
            ),
            objective=form.objective,  # type: ignore[arg-type]  # pydantic checks it
            serve_with=form.serve_with or None,  # type: ignore[arg-type]  # and this one
            count=PAGE_COUNT,
        )
    except ValidationError as error:
        raise _refusal(error) from None


def problem_of(error: PeftwiseError) -> Problem:
    """Return an error as the page shows it, at its field where it has one."""
    param = error.param or ""
    field = _FIELDS.get(param, param)
    if param.startswith("dataset") or not field:
        field = "file"
    return Problem(message=str(error), field=field)


def _number(form: AskForm, name: str) -> float | None:
    """Read a number; NaN and its like are left to the request's own rules."""
    text = getattr(form, name).replace(",", ".")
    try:
        return float(text) if text else None
    except ValueError:
        raise InvalidRequest(
            f"{_NAMES[name]} must be a number, got {text[:40]!r}. Leave it empty for no limit.",
            param=name,
        ) from None


def _count(form: AskForm) -> int:
    if not form.count.isascii() or not form.count.isdigit() or len(form.count) > 4:
        raise InvalidRequest(
            f"How many devices must be a whole number, got {form.count[:40]!r}. "
            "Write 1 for one device.",
            param="count",
        )
    return int(form.count)


def _refusal(error: ValidationError) -> InvalidRequest:
    """Name the field that the form has; the place in an error begins with the record's field."""
    message, _ = describe_errors([_named(found) for found in error.errors()])
    first = error.errors()[0]["loc"]
    names = [str(part) for part in first if part in _NAMES or part in set(_FIELDS.values())]
    message = message.partition(" Mend the request")[0]
    field = names[-1] if names else {"id": "model"}.get(str(first[-1]) if first else "", "")
    return InvalidRequest(message, param=field or None)


def _named(found: Any) -> dict[str, Any]:
    place = tuple(_NAMES.get(str(part), part) for part in found["loc"])
    return {**found, "loc": ("form", *place)}
