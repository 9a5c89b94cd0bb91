"""Rules about one example: how long it is, and whether it stood before."""

from collections.abc import Iterator

from metadata.data_check.problems import Seen, excerpt
from metadata.data_check.rules.spec import ExampleRule, Met
from metadata.examples import Preference

LONG_ANSWER_TOKENS = 8192  # where no model says how much it can read


def _over_context(met: Met) -> Iterator[Seen]:
    context = met.options.context_tokens
    if context is not None and met.tokens > context:
        yield Seen(f"{_about(met)}{met.tokens:,} tokens, the model reads {context:,}")


def _long_answer(met: Met) -> Iterator[Seen]:
    most = met.options.context_tokens or LONG_ANSWER_TOKENS
    if met.answer_tokens > most:
        yield Seen(f"{_about(met)}{met.answer_tokens:,} tokens, of {most:,}")


def _duplicate(met: Met) -> Iterator[Seen]:
    if met.sighting.same_example is not None:
        yield Seen(f"the example of line {met.sighting.same_example} again")


def _conflict(met: Met) -> Iterator[Seen]:
    first = met.sighting.same_prompt
    if first is None or met.sighting.same_example is not None:
        return
    what = "the preference of" if isinstance(met.example, Preference) else "the prompt of"
    how = "the other way round" if isinstance(met.example, Preference) else "answered otherwise"
    yield Seen(f"{what} line {first}, {how}: {excerpt(met.example.completion)}")


def _leakage(met: Met) -> Iterator[Seen]:
    if met.sighting.in_validation is not None:
        yield Seen(f"the prompt of line {met.sighting.in_validation} of the validation file")


def _about(met: Met) -> str:
    return "about " if met.options.counter.is_estimate else ""


EXAMPLE_RULES = (
    ExampleRule(
        name="over-context",
        severity="warning",
        must="An example is no longer than what the model reads; the start of the prompt is cut.",
        fix="Shorten or split the example, or choose a model with a longer context.",
        find=_over_context,
    ),
    ExampleRule(
        name="long-answer",
        severity="warning",
        must="An answer by itself is no longer than what the model reads (8,192 tokens where no "
        "model is named); its end is cut.",
        fix="Shorten or split the answer.",
        find=_long_answer,
    ),
    ExampleRule(
        name="duplicate",
        severity="warning",
        must="An example stands once.",
        fix="Remove the line; --fix does.",
        find=_duplicate,
        repair="drop",
    ),
    ExampleRule(
        name="conflicting-answers",
        severity="warning",
        must="A prompt has one answer, and a preference one direction.",
        fix="Keep the better line, unless several answers are meant.",
        find=_conflict,
    ),
    ExampleRule(
        name="leakage",
        severity="error",
        must="No prompt is both trained on and validated on: the score would flatter.",
        fix="Remove the line here or there.",
        find=_leakage,
    ),
)
