"""Read training files: JSON Lines of chats, of prompt and completion, of text, or of preferences.

One line is one example. Every error says the line, the rule, what was seen and how to mend it.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from metadata import preferences
from metadata.errors import InvalidDataset
from metadata.example_parts import (
    Example,
    Preference,
    Turn,
    check_turn_order,
    invalid,
    read_text,
    read_turn,
    shown,
    unicode,
)

__all__ = ["Example", "Preference", "Splits", "Turn", "of_one_form", "parse_example"]
__all__ += ["read_examples", "split_examples"]

LINE_BYTES = 16 * 2**20  # far above any example; keeps one line from filling the memory
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
SHAPES = (
    '{"messages": [...]}, {"prompt": ..., "completion": ...}, {"text": ...} or, for preferences, '
    '{"prompt": ..., "chosen": ..., "rejected": ...}'
)
# Keys of other common formats, with what they are called here.
RENAMED = {
    "instruction": "prompt",
    "input": "prompt",
    "question": "prompt",
    "output": "completion",
    "response": "completion",
    "answer": "completion",
    "label": "completion",
    "conversations": "messages",
    "content": "text",
}
MINIMUM = 3  # one example each to train, to validate and to test
TRAIN_SHARE, VALIDATION_SHARE = 0.8, 0.1


@dataclass(frozen=True)
class Splits:
    """Examples to learn from, to choose a checkpoint by, and to score on."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]


def read_examples(lines: Iterable[bytes]) -> Iterator[Example]:
    """Yield the examples of a JSONL file one by one, in constant memory.

    Blank lines are skipped and a byte order mark is tolerated.

    Raises:
        InvalidDataset: At the first bad line, which it names; or the file holds no example.
    """
    found = False
    for example in of_one_form(_numbered(lines)):
        found = True
        yield example
    if not found:
        raise InvalidDataset(
            f"A training file needs at least one example, got none. Write one per line: {SHAPES}."
        )


def of_one_form(numbered: Iterable[tuple[int, Example]]) -> Iterator[Example]:
    """Yield the examples of numbered lines, all of them preferences or none.

    Raises:
        InvalidDataset: A line is of the other form than the first.
    """
    are_preferences: bool | None = None
    for line, example in numbered:
        is_preference = isinstance(example, Preference)
        if are_preferences not in {None, is_preference}:
            words = ("a preference", "none") if is_preference else ("no preference", "one")
            rule = "a file holds preferences in all its lines or in none"
            raise InvalidDataset(
                f"Line {line}: {rule}; this one is {words[0]}, the first is {words[1]}. "
                f"Keep them in files of their own. Seen: {shown(example.completion)}.",
                line=line,
            )
        are_preferences = is_preference
        yield example


def _numbered(lines: Iterable[bytes]) -> Iterator[tuple[int, Example]]:
    for line, raw in enumerate(lines, start=1):
        text = _decode(raw.removeprefix(BYTE_ORDER_MARK) if line == 1 else raw, line).strip()
        if text:
            yield line, parse_example(_load(text, line), line=line)


def parse_example(record: object, *, line: int) -> Example:
    """Return the example that one decoded JSON value stands for.

    Raises:
        InvalidDataset: The value is not an example; the message names `line`.
    """
    if not isinstance(record, dict):
        hint = " One line is one example, not an array of them." if record == [] else ""
        raise invalid(line, f"an example is a JSON object such as {SHAPES}.{hint}", record)
    if "messages" in record:
        return _chat(record["messages"], line)
    if preferences.is_preference(record):
        return preferences.parse_preference(record, line=line)
    if "prompt" in record or "completion" in record:
        return _pair(record, line)
    if "text" in record:
        return Example(None, "", read_text(record["text"], "text", line))
    raise invalid(line, f"an example is one of {SHAPES}.{_renaming(record)}", record)


def split_examples(examples: Sequence[Example]) -> Splits:
    """Return 80 % to train, 10 % to validate and 10 % to test, at least one each, in file order.

    Examples of one prompt stay together, in the place of the first of them, so that no answer is
    known beforehand; where a file has fewer than ten prompts, equal examples stay together.

    Raises:
        InvalidDataset: There are fewer than 3 different examples.
    """
    groups = _grouped(examples)
    if len(groups) < MINIMUM:
        raise InvalidDataset(
            f"Training needs at least {MINIMUM} different examples, to train, validate and test; "
            f"got {len(groups)}. Add more lines."
        )
    starts = [0]
    for group in groups:
        starts.append(starts[-1] + len(group))
    first = _cut(starts, TRAIN_SHARE, lowest=1, highest=len(groups) - 2)
    second = _cut(starts, TRAIN_SHARE + VALIDATION_SHARE, lowest=first + 1, highest=len(groups) - 1)
    parts = (groups[:first], groups[first:second], groups[second:])
    train, validation, test = (
        tuple(examples[index] for index in sorted(index for group in part for index in group))
        for part in parts
    )
    return Splits(train=train, validation=validation, test=test)


def _grouped(examples: Sequence[Example]) -> list[list[int]]:
    by_prompt = _group_by([example.prompt or example.completion for example in examples])
    return by_prompt if len(by_prompt) >= 10 else _group_by(examples)


def _group_by(keys: Sequence[object]) -> list[list[int]]:
    groups: dict[object, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def _cut(starts: Sequence[int], share: float, *, lowest: int, highest: int) -> int:
    within = sum(start < share * starts[-1] for start in starts[:-1])
    return min(max(within, lowest), highest)


def _decode(raw: bytes, line: int) -> str:
    if len(raw) > LINE_BYTES:
        raise InvalidDataset(
            f"Line {line}: a line has at most {LINE_BYTES} bytes, got {len(raw)}. "
            "Write one example per line and split long texts.",
            line=line,
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidDataset(
            f"Line {line}: the file must be UTF-8, got byte 0x{raw[error.start]:02x} at position "
            f"{error.start + 1} of the line. Save it as UTF-8.",
            line=line,
        ) from None


def _load(text: str, line: int) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        problem = f"{error.msg} at column {error.colno}"
    except ValueError:  # an integer of more digits than Python converts
        problem = "a number has too many digits"
    except RecursionError:
        problem = "it is nested too deeply"
    hint = " One line is one example, not an array of them." if text.startswith("[") else ""
    raise InvalidDataset(
        f"Line {line}: each line must be one whole JSON value; {problem}. "
        f"Seen: {shown(text)}. Mend or remove the line.{hint}",
        line=line,
    )


def _chat(messages: object, line: int) -> Example:
    if not isinstance(messages, list) or not messages:
        raise invalid(line, '"messages" is a list of {"role": ..., "content": ...}.', messages)
    turns = tuple(read_turn(message, line) for message in messages)
    _check_order([turn.role for turn in turns], line)
    if not turns[-1].content.strip():
        raise invalid(
            line, "the last assistant turn must not be empty. Fill or remove it.", turns[-1].content
        )
    return Example(turns, "\n".join(turn.content for turn in turns[:-1]), turns[-1].content)


def _check_order(roles: Sequence[str], line: int) -> None:
    if "assistant" not in roles:
        raise invalid(line, "a chat needs an assistant turn to learn from. Add one.", roles)
    if roles[-1] != "assistant":
        raise invalid(
            line, f"a chat ends with the assistant. Remove the {roles[-1]} turn at its end.", roles
        )
    check_turn_order(roles, line)


def _pair(record: dict[str, object], line: int) -> Example:
    for name in ("prompt", "completion"):
        if name not in record:
            rule = f'"prompt" and "completion" come together; "{name}" is missing.'
            raise invalid(line, rule + _renaming(record), record)
    prompt = record["prompt"]
    if not isinstance(prompt, str):
        raise invalid(line, '"prompt" is text.', prompt)
    return Example(None, unicode(prompt, line), read_text(record["completion"], "completion", line))


def _renaming(record: dict[str, object]) -> str:
    renamed = [f'"{old}" to "{new}"' for old, new in RENAMED.items() if old in record]
    return f" Rename {', '.join(renamed)}." if renamed else ""
