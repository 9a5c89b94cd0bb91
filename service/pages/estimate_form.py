"""From what was typed into the form of an estimate to a request, and from an error to its field."""

from collections.abc import Mapping
from dataclasses import asdict, replace

from pydantic import ValidationError

from metadata.errors import InvalidConfiguration, InvalidRequest, PeftwiseError
from metadata.records import Configuration
from service.estimates.schemas import EstimateRequest
from service.jobs.requests import PeftChoice
from service.pages import ask_form
from service.pages.contexts import EstimateForm, Problem
from service.validation import describe_errors, read_strictly

FIELD = "configuration"
LONGEST_CHARACTERS = 64 * 1024


def read_form(fields: Mapping[str, str]) -> EstimateForm:
    """Return the form as it was typed; what it does not know is left out."""
    typed = fields.get(FIELD, "")[:LONGEST_CHARACTERS].strip()
    return EstimateForm(**asdict(ask_form.read_form(fields)), configuration=typed)


def request_of(form: EstimateForm) -> EstimateRequest:
    """Return the request that a form stands for, its data uploaded before.

    Raises:
        InvalidRequest: A field is empty, no number, or no configuration; `param` names it.
    """
    wanted = ask_form.request_of(form)
    return EstimateRequest(
        base_model=wanted.base_model,
        dataset=wanted.dataset,
        hardware=wanted.hardware,
        budget=wanted.budget,
        peft=_choice(form.configuration) if form.configuration else None,
    )


def problem_of(error: PeftwiseError) -> Problem:
    """Return an error as the page shows it, at its field where it has one."""
    problem = ask_form.problem_of(error)
    return replace(problem, field=FIELD) if isinstance(error, InvalidConfiguration) else problem


def _choice(text: str) -> PeftChoice:
    try:
        said = read_strictly(text.encode())
    except InvalidRequest as error:
        rule = str(error).removeprefix("The body ")
        raise InvalidRequest(f"The configuration {rule}", param=FIELD) from None
    try:
        return PeftChoice(configuration=Configuration.model_validate(said))
    except ValidationError as error:
        places = [{**one, "loc": ("form", FIELD, *one["loc"])} for one in error.errors()]
        rule = describe_errors(places)[0].partition(" Mend the request")[0]
        raise InvalidRequest(
            f"{rule} Mend it there, or leave the field empty for the recommender's choice.",
            param=FIELD,
        ) from None
