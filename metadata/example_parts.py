"""What training files are made of: an example, a preference, and the rules for their parts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from metadata.errors import InvalidDataset

SHOWN_CHARACTERS = 60  # of what was seen, in a message
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Turn:
    """One message of a chat."""

    role: str
    content: str


@dataclass(frozen=True)
class Example:
    """One example; `turns` is None unless it is a chat, and `prompt` is empty for plain text.

    For a chat, `completion` is the last assistant turn and `prompt` all that stands before it.
    """

    turns: tuple[Turn, ...] | None
    prompt: str
    completion: str


@dataclass(frozen=True)
class Preference(Example):
    """An example whose completion is preferred to another one."""

    rejected: str

    @property
    def chosen(self) -> Example:
        """Return the example with the completion that is preferred."""
        return Example(self.turns, self.prompt, self.completion)


def read_turn(message: object, line: int) -> Turn:
    """Return the turn that a message of a chat stands for."""
    if not isinstance(message, dict):
        raise invalid(line, 'a message is an object {"role": ..., "content": ...}.', message)
    role = message.get("role")
    if role not in ROLES:
        raise invalid(line, f"a role is one of {', '.join(ROLES)}.", role)
    content = message.get("content")
    if not isinstance(content, str):
        raise invalid(line, 'the "content" of a message is text.', content)
    return Turn(role, unicode(content, line))


def check_turn_order(roles: Sequence[str], line: int) -> None:
    """Refuse a chat that is not system, then user and assistant by turns."""
    spoken = roles[1:] if roles[0] == "system" else roles
    expected = [("user", "assistant")[index % 2] for index in range(len(spoken))]
    if list(spoken) != expected:
        raise invalid(
            line,
            "turns go system (optional, once, first), then user and assistant by turns. "
            "Join neighbouring turns of one role.",
            roles,
        )


def read_text(value: object, name: str, line: int) -> str:
    """Return a text that must not be empty."""
    if not isinstance(value, str):
        raise invalid(line, f'"{name}" is text.', value)
    if not value.strip():
        raise invalid(line, f'"{name}" must not be empty. Fill it or remove the line.', value)
    return unicode(value, line)


def unicode(text: str, line: int) -> str:
    """Return a text that has no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        rule = "text must not hold half a surrogate pair (\\ud800 to \\udfff). Remove it."
        raise invalid(line, rule, text) from None
    return text


def invalid(line: int, rule: str, seen: object) -> InvalidDataset:
    """Return the error for a line: the rule and what was seen."""
    return InvalidDataset(f"Line {line}: {rule} Seen: {shown(seen)}.", line=line)


def shown(value: object) -> str:
    """Return a value as a message shows it, cut short."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = text.encode("ascii", "backslashreplace").decode()
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."
