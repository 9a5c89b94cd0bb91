import json
from collections.abc import Iterable

import pytest

from metadata.errors import InvalidDataset, InvalidRequest
from metadata.examples import Example, Preference, Turn, read_examples, split_examples
from metadata.features.dataset import profile_dataset
from metadata.objectives import check_form

PLAIN = {"prompt": "2 + 2 is", "chosen": " 4", "rejected": " 5"}
CHAT = {
    "input": {
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "2 + 2?"},
        ]
    },
    "preferred_output": [{"role": "assistant", "content": "4"}],
    "non_preferred_output": [{"role": "assistant", "content": "Well, let me think."}],
}


def read(records: Iterable[object]) -> list[Example]:
    return list(read_examples(json.dumps(record).encode() for record in records))


def test_both_forms_are_read() -> None:
    plain, chat = read([PLAIN, CHAT])

    assert plain == Preference(None, "2 + 2 is", " 4", " 5")
    turns = (Turn("system", "Be short."), Turn("user", "2 + 2?"), Turn("assistant", "4"))
    assert chat == Preference(turns, "Be short.\n2 + 2?", "4", "Well, let me think.")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rejected": None}, '"rejected" is text'),
        ({"rejected": "  "}, '"rejected" must not be empty'),
        ({"rejected": " 4"}, "must differ"),
        ({"prompt": 4}, '"prompt" is text'),
        ({"chosen": "\ud800"}, "surrogate"),
    ],
)
def test_a_bad_text_is_told_with_its_line(change: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidDataset, match=words) as caught:
        read([PLAIN, PLAIN | change])

    assert caught.value.line == 2


@pytest.mark.parametrize("missing", ["prompt", "chosen", "rejected"])
def test_a_missing_text_is_named(missing: str) -> None:
    with pytest.raises(InvalidDataset, match=f'"{missing}" is missing'):
        read([{name: value for name, value in PLAIN.items() if name != missing}])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"input": "2 + 2?"}, '"input" is'),
        ({"input": {"messages": []}}, "ends with the user"),
        ({"input": {"messages": CHAT["preferred_output"]}}, "ends with the user"),
        ({"input": {"messages": CHAT["input"]["messages"], "tools": [{}]}}, "not trained here"),
        ({"preferred_output": []}, "list of one assistant message"),
        ({"preferred_output": [{"role": "user", "content": "4"}]}, "by the assistant"),
        ({"non_preferred_output": CHAT["preferred_output"]}, "must differ"),
    ],
)
def test_a_bad_chat_is_told(change: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidDataset, match=words):
        read([CHAT | change])


@pytest.mark.parametrize("others", [1, 2])
def test_a_file_is_all_preferences_or_none(others: int) -> None:
    supervised = {"prompt": "2 + 2 is", "completion": " 4"}
    records = [supervised, PLAIN] if others == 1 else [PLAIN, PLAIN, supervised]

    with pytest.raises(InvalidDataset, match="in all its lines or in none") as caught:
        read(records)

    assert caught.value.line == len(records)


def test_the_profile_describes_what_is_preferred_and_tells_pairs_apart() -> None:
    pairs = read(PLAIN | {"prompt": f"{n} + 1 is", "chosen": f" {n + 1}"} for n in range(10, 20))
    others = [Preference(p.turns, p.prompt, p.completion, "none") for p in pairs]

    profile = profile_dataset(pairs, name="sums")

    assert profile.kind == "preference"
    assert profile.completion_bytes.max == len(" 11")
    assert profile.sha256 != profile_dataset(others, name="sums").sha256
    splits = split_examples(pairs)
    assert all(isinstance(one, Preference) for one in (*splits.train, *splits.test))


def test_data_of_the_wrong_form_is_refused_for_an_objective() -> None:
    check_form("preference", "dpo", param="file")
    check_form("text", "supervised", param="file")
    with pytest.raises(InvalidRequest, match="got examples without preferences for dpo"):
        check_form("generation", "dpo", param="file")
    with pytest.raises(InvalidRequest, match="got preferences for supervised"):
        check_form("preference", "supervised", param="file")
