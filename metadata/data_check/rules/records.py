"""Rules about a record: its keys, the types of its values, texts that are empty."""

from collections.abc import Iterator
from typing import Any

from metadata.data_check import forms
from metadata.data_check.forms import (
    CHAT,
    MESSAGE_KEYS,
    MISSING,
    PREFERENCE,
    PREFERENCE_CHAT,
    Form,
    Place,
)
from metadata.data_check.lines import Line
from metadata.data_check.problems import Seen, excerpt, shown
from metadata.data_check.rules.spec import LineRule
from metadata.errors import InvalidDataset
from metadata.examples import RENAMED, SHAPES

INPUT_KEYS = ("messages", "tools", "parallel_tool_calls")  # OpenAI's


def _form(line: Line) -> Form:
    assert line.form is not None
    return line.form


def _no_form(line: Line) -> Iterator[Seen]:
    if line.form is None:
        renamed = [f'"{old}" may be "{new}"' for old, new in RENAMED.items() if old in line.record]
        yield Seen("; ".join([excerpt(line.record), *renamed]))


def _missing(line: Line) -> Iterator[Seen]:
    form, record = _form(line), line.record
    yield from (Seen(f'no "{key}"') for key in form.keys if key not in record)
    given = record.get("input")
    if form is PREFERENCE_CHAT and isinstance(given, dict) and "messages" not in given:
        yield Seen('no "input.messages"')
    for message in forms.messages(record, form):
        if isinstance(message.value, dict):
            missing = (key for key in MESSAGE_KEYS if key not in message.value)
            yield from (Seen(f'no "{message.path}.{key}"') for key in missing)


def _unknown(line: Line) -> Iterator[Seen]:
    form, record = _form(line), line.record
    yield from (Seen(f'"{shown(key)}"') for key in record if key not in form.keys)
    given = record.get("input")
    if form is PREFERENCE_CHAT and isinstance(given, dict):
        yield from (Seen(f'"input.{shown(key)}"') for key in given if key not in INPUT_KEYS)
    for message in forms.messages(record, form):
        if isinstance(message.value, dict):
            unknown = (key for key in message.value if key not in MESSAGE_KEYS)
            yield from (Seen(f'"{message.path}.{shown(key)}"') for key in unknown)


def _types(line: Line) -> Iterator[Seen]:
    form, record = _form(line), line.record
    if form is PREFERENCE_CHAT and not isinstance(record.get("input", {}), dict):
        yield Seen(f'"input" is {excerpt(record["input"])}, not an object')
    for place in forms.lists(record, form):
        yield from _list_types(place)
    for message in forms.messages(record, form):
        if not isinstance(message.value, dict):
            yield Seen(f'"{message.path}" is {excerpt(message.value)}, not an object')
    for place in forms.texts(record, form):
        if not isinstance(place.value, str):
            yield Seen(f'"{place.path}" is {excerpt(place.value)}, not text')


def _list_types(place: Place) -> Iterator[Seen]:
    if place.value is MISSING:
        return
    if not isinstance(place.value, list):
        yield Seen(f'"{place.path}" is {excerpt(place.value)}, not a list')
    elif place.is_answer and len(place.value) != 1:
        yield Seen(f'"{place.path}" is {excerpt(place.value)}, not a list of one message')


def _no_messages(line: Line) -> Iterator[Seen]:
    for place in forms.lists(line.record, _form(line)):
        if place.value == [] and not place.is_answer:
            yield Seen(f'"{place.path}" is []')


def _tools(line: Line) -> Iterator[Seen]:
    given: Any = line.record.get("input")
    if isinstance(given, dict) and given.get("tools"):
        yield Seen(f'"input.tools" is {excerpt(given["tools"])}')


def _empty(line: Line, *, is_answer: bool) -> Iterator[Seen]:
    for place in forms.texts(line.record, _form(line)):
        is_blank = isinstance(place.value, str) and not place.value.strip()
        if is_blank and place.is_answer is is_answer:
            yield Seen(f'"{place.path}" is {excerpt(place.value)}')


def _same(line: Line) -> Iterator[Seen]:
    answers = [p.value for p in forms.texts(line.record, _form(line)) if p.is_answer]
    if len(answers) == 2 and answers[0] == answers[1] and isinstance(answers[0], str):
        yield Seen(excerpt(answers[0]))


def _refused(line: Line) -> Iterator[Seen]:
    if isinstance(line.example, InvalidDataset):
        yield Seen(str(line.example).partition(": ")[2])


RECORD_RULES = (
    LineRule(
        name="unknown-form",
        severity="error",
        needs="record",
        must=f"An example is one of {SHAPES}.",
        fix="Rename the keys.",
        find=_no_form,
    ),
    LineRule(
        name="missing-key",
        severity="error",
        needs="form",
        must="An example has all keys of its form, and a message a role and a content.",
        fix="Add the key, or remove the line.",
        find=_missing,
    ),
    LineRule(
        name="unknown-key",
        severity="warning",
        needs="form",
        must="A key that is not of the form is not read; a weight or a tool has no effect.",
        fix="Remove the key, or do without what it should do.",
        find=_unknown,
    ),
    LineRule(
        name="wrong-type",
        severity="error",
        needs="form",
        must="Texts are texts, messages are lists of objects, an output is a list of one message.",
        fix="Write the value as the form has it; a list of content parts becomes one text.",
        find=_types,
    ),
    LineRule(
        name="no-messages",
        severity="error",
        needs="form",
        must="A chat has messages.",
        fix="Add a user and an assistant turn, or remove the line.",
        find=_no_messages,
        forms=(CHAT, PREFERENCE_CHAT),
    ),
    LineRule(
        name="tools",
        severity="error",
        needs="form",
        must="Tools of preferences are not trained here.",
        fix="Leave the tools out, or the line.",
        find=_tools,
        forms=(PREFERENCE_CHAT,),
    ),
    LineRule(
        name="empty-answer",
        severity="error",
        needs="form",
        must="What is learnt is not empty: a completion, a text, the last assistant turn.",
        fix="Fill it or remove the line.",
        find=lambda line: _empty(line, is_answer=True),
    ),
    LineRule(
        name="empty-prompt",
        severity="warning",
        needs="form",
        must="A prompt, or a turn before the last, says something.",
        fix="Fill it; for text without a prompt use the form text.",
        find=lambda line: _empty(line, is_answer=False),
    ),
    LineRule(
        name="same-completions",
        severity="error",
        needs="form",
        must="The two completions of a preference differ.",
        fix="Change one or remove the line.",
        find=_same,
        forms=(PREFERENCE, PREFERENCE_CHAT),
    ),
)
REFUSAL_RULES = (
    LineRule(
        name="refused",
        severity="error",
        needs="refusal",
        must="Training can read the line.",
        fix="Do as the message says.",
        find=_refused,
    ),
)
