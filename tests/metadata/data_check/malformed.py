"""Training files with faults that are known: a seed gives a file, its bad lines and their rules."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Record = dict[str, Any]
Found = tuple[int, str]  # a line and the rule it breaks
Make = Callable[[random.Random, Record], bytes]
Fault = tuple[Make, set[str]]
WORDS = (
    "river",
    "stone",
    "lamp",
    "winter",
    "copper",
    "signal",
    "meadow",
    "é",
    "漢字",
    "naïve",
    "😀",
)


@dataclass
class Malformed:
    """A file, perhaps one to validate on, and what is wrong with the first."""

    seed: int
    form: str
    lines: list[bytes] = field(default_factory=list)
    expected: set[Found] = field(default_factory=set)
    good: list[tuple[int, Record]] = field(default_factory=list)  # lines without any fault
    prompts: dict[int, str] = field(default_factory=dict)  # of lines that repeat one
    repeated: set[int] = field(default_factory=set)  # lines that stand again
    head: bytes = b""
    encoding: str | None = None
    validation: bytes | None = None

    @property
    def training(self) -> bytes:
        content = b"".join(self.lines)
        return self.head + (content if self.encoding is None else _wide(content, self.encoding))

    def add(self, line: bytes, rules: set[str]) -> None:
        self.lines.append(line)
        self.expected |= {(len(self.lines), rule) for rule in rules}


def make_malformed(seed: int) -> Malformed:
    """Return a file of 25 to 60 lines, some 3 to 11 of them bad."""
    rng = random.Random(seed)
    made = Malformed(seed, rng.choice(list(GOOD)))
    count = rng.randint(25, 60)
    bad = set(rng.sample(range(2, count), rng.randint(3, 11)))
    for index in range(count):
        record = GOOD[made.form](rng, f"{seed}-{index}")
        if index not in bad:
            made.add(dump(record), set())
            made.good.append((index + 1, record))
        elif rng.random() < 0.25:
            _repeat(made, rng)
        else:
            make, rules = rng.choice(faults_of(made.form))
            line = make(rng, record)
            if rng.random() < 0.15:
                line, rules = line + b"\r", rules | {"carriage-return"}
            made.add(line + b"\n", rules)
    _about_the_file(made, rng)
    return made


def _repeat(made: Malformed, rng: random.Random) -> None:
    """Add an example again, with its keys in another order, or its prompt with another answer."""
    source = rng.choice([one for one in made.good if one[0] not in made.repeated])
    made.repeated.add(source[0])
    record = source[1]
    again: Record = json.loads(json.dumps(record))
    if rng.random() < 0.5 or made.form == "text":
        made.add(dump(dict(reversed(again.items()))), {"duplicate"})
    else:
        answer = f"another answer {rng.random()}"
        if made.form == "prompt_completion":
            again["completion"] = answer
        elif made.form == "chat":
            again["messages"][-1]["content"] = answer
        else:
            first, second = list(again)[1:]
            again[first], again[second] = again[second], again[first]
        made.add(dump(again), {"conflicting-answers"})
    made.prompts[len(made.lines)] = prompt_of(record)


def _about_the_file(made: Malformed, rng: random.Random) -> None:
    content = b"".join(made.lines)
    is_text = b"\0" not in content and b"\xff" not in content
    chance = rng.random()
    if chance < 0.2:
        made.head = b"\xef\xbb\xbf"
        made.expected.add((1, "byte-order-mark"))
    elif chance < 0.35 and is_text:
        made.encoding = rng.choice(["utf-16-le", "utf-16-be", "utf-16", "utf-32"])
        made.expected.add((1, "wide-encoding"))
    if rng.random() < 0.3:
        leaked = rng.sample(made.good, 3)
        prompts = {prompt_of(record) for _, record in leaked}
        own = [GOOD[made.form](rng, f"held-out-{made.seed}-{i}") for i in range(12)]
        made.validation = b"".join(map(dump, [*own, *(record for _, record in leaked)]))
        repeated = made.prompts | {line: prompt_of(record) for line, record in leaked}
        made.expected |= {
            (line, "leakage") for line, prompt in repeated.items() if prompt in prompts
        }


def prompt_of(record: Record) -> str:
    if "input" in record:
        return "\n".join(turn["content"] for turn in record["input"]["messages"])
    if "messages" in record:
        return "\n".join(turn["content"] for turn in record["messages"][:-1])
    return str(record.get("prompt", record.get("text")))


def dump(record: Record) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def _wide(content: bytes, encoding: str) -> bytes:
    return content.decode().encode(encoding)


def _words(rng: random.Random, label: str) -> str:
    return f"{label} {' '.join(rng.choices(WORDS, k=rng.randint(3, 30)))}"


def _chat(rng: random.Random, label: str) -> Record:
    turns = [_turn("system", "Be brief.")] if rng.random() < 0.5 else []
    for turn in range(rng.randint(1, 3)):
        turns.append(_turn("user", _words(rng, f"{label} asked {turn}")))
        turns.append(_turn("assistant", _words(rng, f"{label} said {turn}")))
    return {"messages": turns}


def _turn(role: str, content: str) -> Record:
    return {"role": role, "content": content}


def _preference_chat(rng: random.Random, label: str) -> Record:
    return {
        "input": {"messages": [_turn("user", _words(rng, f"{label} asked"))]},
        "preferred_output": [_turn("assistant", _words(rng, f"{label} good"))],
        "non_preferred_output": [_turn("assistant", _words(rng, f"{label} bad"))],
    }


GOOD: dict[str, Callable[[random.Random, str], Record]] = {
    "chat": _chat,
    "prompt_completion": lambda rng, label: {
        "prompt": _words(rng, f"{label} asked"),
        "completion": _words(rng, f"{label} said"),
    },
    "text": lambda rng, label: {"text": _words(rng, label)},
    "preference": lambda rng, label: {
        "prompt": _words(rng, f"{label} asked"),
        "chosen": _words(rng, f"{label} good"),
        "rejected": _words(rng, f"{label} bad"),
    },
    "preference_chat": _preference_chat,
}


def _changed(**values: Any) -> Make:
    return lambda rng, record: dump(record | values)[:-1]


def _without(key: str) -> Make:
    return lambda rng, record: dump({k: v for k, v in record.items() if k != key})[:-1]


def _raw(text: str) -> Make:
    return lambda rng, record: text.encode()


def _other(form: str) -> Make:
    """Return a good example of another form."""
    return lambda rng, record: dump(GOOD[form](rng, f"other {rng.random()}"))[:-1]


def _with_end(end: str) -> Make:
    """Put something before the bracket that closes the line."""
    return lambda rng, record: dump(record)[:-2] + end.encode() + b"}"


def _inserted(piece: bytes) -> Make:
    def insert(rng: random.Random, record: Record) -> bytes:
        line = dump(record)[:-1]
        place = rng.randrange(len(line))
        return line[:place] + piece + line[place:]

    return insert


def _cut(rng: random.Random, record: Record) -> bytes:
    text = dump(record)[:-1].decode()
    return text[: rng.randrange(1, len(text))].encode()


def _roles(*roles: str) -> Make:
    def speak(rng: random.Random, record: Record) -> bytes:
        return dump({"messages": [_turn(role, _words(rng, role)) for role in roles]})[:-1]

    return speak


def _with_blank_question(rng: random.Random, record: Record) -> bytes:
    first, *rest = record["messages"]
    return dump({"messages": [first | {"content": " "}, *rest]})[:-1]


def _last_message(**values: Any) -> Make:
    def change(rng: random.Random, record: Record) -> bytes:
        turns = record["messages"]
        last = {k: v for k, v in (turns[-1] | values).items() if v is not ...}
        return dump({"messages": [*turns[:-1], last]})[:-1]

    return change


def _asked(*turns: Record, **more: Any) -> Make:
    return lambda rng, record: dump(record | {"input": {"messages": list(turns), **more}})[:-1]


USER, ASSISTANT = _turn("user", "Well?"), _turn("assistant", "Well.")
OF_ALL: list[Fault] = [
    (_cut, {"broken-json"}),
    (lambda rng, record: repr(record).encode(), {"broken-json"}),
    (lambda rng, record: dump(record)[:-1] * 2, {"broken-json"}),
    (lambda rng, record: b"[" * 5000, {"too-deep"}),
    (_with_end(', "x": ' + "[" * 80 + "]" * 80), {"too-deep"}),
    (_with_end(","), {"trailing-comma"}),
    (lambda rng, record: dump(record)[:-1] + b" , ", {"trailing-comma"}),
    (_raw(""), {"blank-line"}),
    (_raw(" \t "), {"blank-line"}),
    (_inserted(b"\0"), {"nul-byte"}),
    (_inserted(b"\xff"), {"not-utf8"}),
    (_with_end(', "x": "\\ud800"'), {"lone-surrogate", "unknown-key"}),
    (_with_end(', "x": "a\\u0000b"'), {"nul-character", "unknown-key"}),
    (_with_end(', "x": NaN'), {"number-range", "unknown-key"}),
    (_with_end(', "x": -Infinity'), {"number-range", "unknown-key"}),
    (_with_end(', "x": 1e999'), {"number-range", "unknown-key"}),
    (_with_end(', "x": ' + "9" * 20), {"number-range", "unknown-key"}),
    (_with_end(', "x": [-' + "9" * 5000 + "]"), {"number-range", "unknown-key"}),
    (_with_end(', "x": 1, "x": 2'), {"repeated-key", "unknown-key"}),
    (_with_end(', "weight": 0.5'), {"unknown-key"}),
    (lambda rng, record: json.dumps([record]).encode(), {"not-object"}),
    (_raw("17"), {"not-object"}),
    (_raw('"text"'), {"not-object"}),
    (_raw("null"), {"not-object"}),
    (_raw("{}"), {"unknown-form"}),
    (_raw('{"instruction": "Add.", "output": "3"}'), {"unknown-form"}),
]
OF_FORM: dict[str, list[Fault]] = {
    "chat": [
        (_roles("human", "assistant"), {"wrong-role"}),
        (_roles("user", "bot"), {"wrong-role"}),
        (_roles("user"), {"no-assistant"}),
        (_roles("system", "user"), {"no-assistant"}),
        (_roles("user", "assistant", "user"), {"last-turn"}),
        (_roles("user", "user", "assistant"), {"turn-order"}),
        (_roles("user", "system", "assistant"), {"turn-order"}),
        (_roles("assistant"), {"turn-order"}),
        (_roles("assistant", "user"), {"last-turn", "turn-order"}),
        (_last_message(content=" \n"), {"empty-answer"}),
        (_last_message(content=None), {"wrong-type"}),
        (_last_message(content=[{"type": "text", "text": "a"}]), {"wrong-type"}),
        (_last_message(content=...), {"missing-key"}),
        (_last_message(role=...), {"missing-key"}),
        (_last_message(role=7), {"wrong-role"}),
        (_last_message(weight=0), {"unknown-key"}),
        (_changed(messages="hello"), {"wrong-type"}),
        (_changed(messages=["hello"]), {"wrong-type"}),
        (_changed(messages=[]), {"no-messages"}),
        (_other("prompt_completion"), {"mixed-forms"}),
        (_with_blank_question, {"empty-prompt"}),
    ],
    "prompt_completion": [
        (_without("completion"), {"missing-key"}),
        (_without("prompt"), {"missing-key"}),
        (_changed(completion=3), {"wrong-type"}),
        (_changed(prompt=None), {"wrong-type"}),
        (_changed(prompt=["a"], completion={"b": 1}), {"wrong-type"}),
        (_changed(completion=""), {"empty-answer"}),
        (_changed(prompt="  "), {"empty-prompt"}),
        (_changed(prompt="", completion=""), {"empty-prompt", "empty-answer"}),
        (_changed(system="Be brief."), {"unknown-key"}),
        (_other("text"), {"mixed-forms"}),
        (_other("preference"), {"mixed-objectives"}),
    ],
    "text": [
        (_changed(text=""), {"empty-answer"}),
        (_changed(text=["a"]), {"wrong-type"}),
        (_changed(source="web"), {"unknown-key"}),
        (_other("prompt_completion"), {"mixed-forms"}),
    ],
    "preference": [
        (_without("chosen"), {"missing-key"}),
        (_without("prompt"), {"missing-key"}),
        (_changed(chosen="the same", rejected="the same"), {"same-completions"}),
        (_changed(rejected=" "), {"empty-answer"}),
        (_changed(prompt=""), {"empty-prompt"}),
        (_changed(chosen=1, rejected=1), {"wrong-type"}),
        (_changed(margin=2), {"unknown-key"}),
        (_other("prompt_completion"), {"mixed-objectives"}),
    ],
    "preference_chat": [
        (_without("input"), {"missing-key"}),
        (_without("preferred_output"), {"missing-key"}),
        (_changed(input="Well?"), {"wrong-type"}),
        (_changed(input={}), {"missing-key"}),
        (_changed(preferred_output=[]), {"wrong-type"}),
        (_changed(preferred_output=[ASSISTANT, ASSISTANT]), {"wrong-type"}),
        (_changed(preferred_output="Well."), {"wrong-type"}),
        (_changed(preferred_output=[USER]), {"wrong-role"}),
        (_changed(non_preferred_output=[_turn("assistant", "")]), {"empty-answer"}),
        (
            _changed(preferred_output=[ASSISTANT], non_preferred_output=[ASSISTANT]),
            {"same-completions"},
        ),
        (_asked(USER, ASSISTANT), {"last-turn"}),
        (_asked(USER, USER), {"turn-order"}),
        (_asked(), {"no-messages"}),
        (_asked(USER, tools=[{"type": "function"}]), {"tools"}),
        (_asked(_turn("tool", "3"), USER), {"wrong-role"}),
        (_other("preference"), {"mixed-forms"}),
    ],
}


def faults_of(form: str) -> list[Fault]:
    """Return what can be wrong with a line of a form: how to make it, and the rules it breaks."""
    return [*OF_ALL, *OF_FORM[form]]
