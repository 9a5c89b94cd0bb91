"""Rules about the turns of a chat: who speaks, and in which order."""

from collections.abc import Iterator

from metadata.data_check import forms
from metadata.data_check.forms import CHAT, PREFERENCE_CHAT
from metadata.data_check.lines import Line
from metadata.data_check.problems import Seen, excerpt, shown
from metadata.data_check.rules.spec import LineRule
from metadata.errors import InvalidDataset
from metadata.example_parts import ROLES, check_turn_order


def _roles(line: Line) -> list[str]:
    """Return the roles of a conversation, none where one is wrong: another rule tells that."""
    assert line.form is not None
    roles = forms.roles(line.record, line.form)
    return roles if all(isinstance(r, str) and r in ROLES for r in roles) else []


def _wrong_role(line: Line) -> Iterator[Seen]:
    assert line.form is not None
    for message in forms.messages(line.record, line.form):
        role = message.value.get("role", forms.MISSING) if isinstance(message.value, dict) else ""
        if not isinstance(message.value, dict) or role is forms.MISSING:
            continue
        is_output = line.form is PREFERENCE_CHAT and message.is_answer
        allowed = ("assistant",) if is_output else ROLES
        if not isinstance(role, str) or role not in allowed:
            yield Seen(f'"{message.path}.role" is {excerpt(role)}')


def _no_assistant(line: Line) -> Iterator[Seen]:
    roles = _roles(line)
    if roles and "assistant" not in roles:
        yield Seen(_shown(roles))


def _last_turn(line: Line) -> Iterator[Seen]:
    roles = _roles(line)
    if not roles:
        return
    if line.form is PREFERENCE_CHAT and roles[-1] != "user":
        yield Seen(_shown(roles))
    if line.form is CHAT and "assistant" in roles and roles[-1] != "assistant":
        yield Seen(_shown(roles))


def _order(line: Line) -> Iterator[Seen]:
    roles = _roles(line)
    if not roles:
        return
    try:
        check_turn_order(roles, line.number)
    except InvalidDataset:
        yield Seen(_shown(roles))


def _shown(roles: list[str]) -> str:
    ends = roles if len(roles) <= 8 else [*roles[:4], "...", *roles[-3:]]
    return shown(", ".join(ends))


TURN_RULES = (
    LineRule(
        name="wrong-role",
        severity="error",
        needs="form",
        must=f"A role is one of {', '.join(ROLES)}; an output is by the assistant.",
        fix='Rename "human" to "user", "bot", "model" or "gpt" to "assistant", "developer" to '
        '"system"; leave the turns of tools out.',
        find=_wrong_role,
        forms=(CHAT, PREFERENCE_CHAT),
    ),
    LineRule(
        name="no-assistant",
        severity="error",
        needs="form",
        must="A chat has an assistant turn to learn from.",
        fix="Add one or remove the line.",
        find=_no_assistant,
        forms=(CHAT,),
    ),
    LineRule(
        name="last-turn",
        severity="error",
        needs="form",
        must="A chat ends with the assistant; the input of a preference ends with the user.",
        fix="Remove the turns after it, or add the one that is missing.",
        find=_last_turn,
        forms=(CHAT, PREFERENCE_CHAT),
    ),
    LineRule(
        name="turn-order",
        severity="error",
        needs="form",
        must="Turns go system (optional, once, first), then user and assistant by turns.",
        fix="Join neighbouring turns of one role, or put the turns in order.",
        find=_order,
        forms=(CHAT, PREFERENCE_CHAT),
    ),
)
