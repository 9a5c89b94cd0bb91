"""Read preferences: two completions of one prompt, the first of which is preferred.

Two forms: prompt, chosen and rejected as texts; or OpenAI's, with messages as input and one
assistant message for each output.
"""

from metadata.example_parts import (
    Preference,
    Turn,
    check_turn_order,
    invalid,
    read_text,
    read_turn,
    unicode,
)

SHAPES = (
    '{"prompt": ..., "chosen": ..., "rejected": ...}, or {"input": {"messages": [...]}, '
    '"preferred_output": [...], "non_preferred_output": [...]}'
)
_TEXTS = ("prompt", "chosen", "rejected")
_OUTPUTS = ("preferred_output", "non_preferred_output")


def is_preference(record: dict[str, object]) -> bool:
    """Say whether a record is meant as a preference, whole or not."""
    return any(name in record for name in (*_TEXTS[1:], *_OUTPUTS))


def parse_preference(record: dict[str, object], *, line: int) -> Preference:
    """Return the preference that a record stands for.

    Raises:
        InvalidDataset: It is none; the message names `line`.
    """
    found = _of_messages(record, line) if _has_outputs(record) else _of_texts(record, line)
    if found.completion == found.rejected:
        rule = "the two completions of a preference must differ. Change one or remove the line."
        raise invalid(line, rule, found.completion)
    return found


def _has_outputs(record: dict[str, object]) -> bool:
    return any(name in record for name in _OUTPUTS)


def _of_texts(record: dict[str, object], line: int) -> Preference:
    _check_whole(record, _TEXTS, line)
    prompt = record["prompt"]
    if not isinstance(prompt, str):
        raise invalid(line, '"prompt" is text.', prompt)
    chosen, rejected = (read_text(record[name], name, line) for name in _TEXTS[1:])
    return Preference(None, unicode(prompt, line), chosen, rejected)


def _of_messages(record: dict[str, object], line: int) -> Preference:
    _check_whole(record, ("input", *_OUTPUTS), line)
    asked = _input(record["input"], line)
    chosen, rejected = (_output(record[name], name, line) for name in _OUTPUTS)
    turns = (*asked, Turn("assistant", chosen))
    prompt = "\n".join(turn.content for turn in asked)
    return Preference(turns, prompt, chosen, rejected)


def _check_whole(record: dict[str, object], names: tuple[str, ...], line: int) -> None:
    missing = [name for name in names if name not in record]
    if missing:
        rule = f'a preference is {SHAPES}; "{missing[0]}" is missing.'
        raise invalid(line, rule, record)


def _input(given: object, line: int) -> tuple[Turn, ...]:
    if not isinstance(given, dict) or not isinstance(given.get("messages"), list):
        raise invalid(line, '"input" is {"messages": [...]}.', given)
    if given.get("tools"):
        raise invalid(line, '"tools" are not trained here. Leave them out.', given["tools"])
    turns = tuple(read_turn(message, line) for message in given["messages"])
    if not turns or turns[-1].role != "user":
        roles = [turn.role for turn in turns]
        raise invalid(line, '"input" ends with the user, whom the outputs answer.', roles)
    check_turn_order([turn.role for turn in turns], line)
    return turns


def _output(given: object, name: str, line: int) -> str:
    if not isinstance(given, list) or len(given) != 1:
        raise invalid(line, f'"{name}" is a list of one assistant message.', given)
    turn = read_turn(given[0], line)
    if turn.role != "assistant":
        raise invalid(line, f'"{name}" is by the assistant.', turn.role)
    return read_text(turn.content, name, line)
