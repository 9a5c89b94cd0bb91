"""Read training files: JSON Lines of chat messages, of prompt and completion, or of text.

One line is one example. Every error says the line, the rule, what was seen and how to mend it.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from metadata.errors import InvalidDataset

LINE_BYTES = 16 * 2**20  # far above any example; keeps one line from filling the memory
SHOWN_CHARACTERS = 60  # of what was seen, in a message
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
ROLES = ("system", "user", "assistant")
SHAPES = '{"messages": [...]}, {"prompt": ..., "completion": ...} or {"text": ...}'
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
    for line, raw in enumerate(lines, start=1):
        text = _decode(raw.removeprefix(BYTE_ORDER_MARK) if line == 1 else raw, line).strip()
        if text:
            found = True
            yield parse_example(_load(text, line), line=line)
    if not found:
        raise InvalidDataset(
            f"A training file needs at least one example, got none. Write one per line: {SHAPES}."
        )


def parse_example(record: object, *, line: int) -> Example:
    """Return the example that one decoded JSON value stands for.

    Raises:
        InvalidDataset: The value is not an example; the message names `line`.
    """
    if not isinstance(record, dict):
        hint = " One line is one example, not an array of them." if record == [] else ""
        raise _invalid(line, f"an example is a JSON object such as {SHAPES}.{hint}", record)
    if "messages" in record:
        return _chat(record["messages"], line)
    if "prompt" in record or "completion" in record:
        return _pair(record, line)
    if "text" in record:
        return Example(None, "", _text(record["text"], "text", line))
    raise _invalid(line, f"an example is one of {SHAPES}.{_renaming(record)}", record)


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
        f"Seen: {_shown(text)}. Mend or remove the line.{hint}",
        line=line,
    )


def _chat(messages: object, line: int) -> Example:
    if not isinstance(messages, list) or not messages:
        raise _invalid(line, '"messages" is a list of {"role": ..., "content": ...}.', messages)
    turns = tuple(_turn(message, line) for message in messages)
    _check_order([turn.role for turn in turns], line)
    if not turns[-1].content.strip():
        raise _invalid(
            line, "the last assistant turn must not be empty. Fill or remove it.", turns[-1].content
        )
    return Example(turns, "\n".join(turn.content for turn in turns[:-1]), turns[-1].content)


def _turn(message: object, line: int) -> Turn:
    if not isinstance(message, dict):
        raise _invalid(line, 'a message is an object {"role": ..., "content": ...}.', message)
    role = message.get("role")
    if role not in ROLES:
        raise _invalid(line, f"a role is one of {', '.join(ROLES)}.", role)
    content = message.get("content")
    if not isinstance(content, str):
        raise _invalid(line, 'the "content" of a message is text.', content)
    return Turn(role, _unicode(content, line))


def _check_order(roles: Sequence[str], line: int) -> None:
    if "assistant" not in roles:
        raise _invalid(line, "a chat needs an assistant turn to learn from. Add one.", roles)
    if roles[-1] != "assistant":
        raise _invalid(
            line, f"a chat ends with the assistant. Remove the {roles[-1]} turn at its end.", roles
        )
    spoken = roles[1:] if roles[0] == "system" else roles
    expected = [("user", "assistant")[index % 2] for index in range(len(spoken))]
    if list(spoken) != expected:
        raise _invalid(
            line,
            "turns go system (optional, once, first), then user and assistant by turns. "
            "Join neighbouring turns of one role.",
            roles,
        )


def _pair(record: dict[str, object], line: int) -> Example:
    for name in ("prompt", "completion"):
        if name not in record:
            rule = f'"prompt" and "completion" come together; "{name}" is missing.'
            raise _invalid(line, rule + _renaming(record), record)
    prompt = record["prompt"]
    if not isinstance(prompt, str):
        raise _invalid(line, '"prompt" is text.', prompt)
    return Example(None, _unicode(prompt, line), _text(record["completion"], "completion", line))


def _text(value: object, name: str, line: int) -> str:
    if not isinstance(value, str):
        raise _invalid(line, f'"{name}" is text.', value)
    if not value.strip():
        raise _invalid(line, f'"{name}" must not be empty. Fill it or remove the line.', value)
    return _unicode(value, line)


def _unicode(text: str, line: int) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        rule = "text must not hold half a surrogate pair (\\ud800 to \\udfff). Remove it."
        raise _invalid(line, rule, text) from None
    return text


def _renaming(record: dict[str, object]) -> str:
    renamed = [f'"{old}" to "{new}"' for old, new in RENAMED.items() if old in record]
    return f" Rename {', '.join(renamed)}." if renamed else ""


def _invalid(line: int, rule: str, seen: object) -> InvalidDataset:
    return InvalidDataset(f"Line {line}: {rule} Seen: {_shown(seen)}.", line=line)


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = text.encode("ascii", "backslashreplace").decode()
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."
