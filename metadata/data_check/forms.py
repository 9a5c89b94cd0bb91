"""The forms an example may have, and the places of its texts and messages."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from metadata import preferences

MISSING: Any = object()  # in place of what is not there
MESSAGE_KEYS = ("role", "content")


@dataclass(frozen=True)
class Form:
    """One way to write an example: its keys, and which of its texts are learnt."""

    name: str
    keys: tuple[str, ...]
    answers: tuple[str, ...]
    is_preference: bool = False
    has_messages: bool = False


@dataclass(frozen=True)
class Place:
    """A value with its path, such as `messages[2].content`."""

    path: str
    value: Any
    is_answer: bool = False


CHAT = Form("chat", ("messages",), (), has_messages=True)
PAIR = Form("prompt_completion", ("prompt", "completion"), ("completion",))
TEXT = Form("text", ("text",), ("text",))
PREFERENCE = Form(
    "preference", ("prompt", "chosen", "rejected"), ("chosen", "rejected"), is_preference=True
)
PREFERENCE_CHAT = Form(
    "preference_chat",
    ("input", "preferred_output", "non_preferred_output"),
    ("preferred_output", "non_preferred_output"),
    is_preference=True,
    has_messages=True,
)
FORMS = (CHAT, PAIR, TEXT, PREFERENCE, PREFERENCE_CHAT)


def form_of(record: Mapping[str, object]) -> Form | None:
    """Return the form that a record is meant to have, in the order in which training decides."""
    if "messages" in record:
        return CHAT
    if preferences.is_preference(dict(record)):
        is_chat = any(name in record for name in PREFERENCE_CHAT.answers)
        return PREFERENCE_CHAT if is_chat else PREFERENCE
    if "prompt" in record or "completion" in record:
        return PAIR
    return TEXT if "text" in record else None


def lists(record: Mapping[str, Any], form: Form) -> Iterator[Place]:
    """Yield the places that hold lists of messages; those of answers hold one each."""
    if form is CHAT:
        yield Place("messages", record["messages"])
    elif form is PREFERENCE_CHAT:
        given = record.get("input", MISSING)
        inner = given.get("messages", MISSING) if isinstance(given, dict) else MISSING
        yield Place("input.messages", inner)
        for name in form.answers:
            yield Place(name, record.get(name, MISSING), is_answer=True)


def messages(record: Mapping[str, Any], form: Form) -> Iterator[Place]:
    """Yield every message there is, of whatever type."""
    for place in lists(record, form):
        if not isinstance(place.value, list):
            continue
        last = len(place.value) - 1
        for index, message in enumerate(place.value):
            is_answer = place.is_answer or (form is CHAT and index == last)
            yield Place(f"{place.path}[{index}]", message, is_answer)


def texts(record: Mapping[str, Any], form: Form) -> Iterator[Place]:
    """Yield the places of all that must be text and is there."""
    if not form.has_messages:
        for key in form.keys:
            if key in record:
                yield Place(key, record[key], is_answer=key in form.answers)
        return
    for path, message, is_answer in (
        (p.path, p.value, p.is_answer) for p in messages(record, form)
    ):
        if isinstance(message, dict) and "content" in message:
            role = message.get("role")
            yield Place(f"{path}.content", message["content"], is_answer and role == "assistant")


def roles(record: Mapping[str, Any], form: Form) -> list[Any]:
    """Return the role of each message of the conversation, answers of preferences apart."""
    place = next(lists(record, form), None)
    if place is None or not isinstance(place.value, list):
        return []
    return [m.get("role", MISSING) if isinstance(m, dict) else MISSING for m in place.value]
