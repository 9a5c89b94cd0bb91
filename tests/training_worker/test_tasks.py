import hashlib
import json
from itertools import islice
from random import Random

import pytest

from training_worker.tasks import words
from training_worker.tasks.facts import WORDINGS, facts_of
from training_worker.tasks.grammar import (
    Noun,
    article,
    conjugate,
    gerund,
    number_words,
    participle,
    past,
    plural,
    third_person,
)
from training_worker.tasks.text import CHAT_END, EXERCISES, documents
from training_worker.tasks.world import build_world

WORLD = build_world(0)


def test_the_same_seed_writes_the_same_documents_and_another_seed_others() -> None:
    first, again, other = (list(islice(documents(seed), 300)) for seed in (5, 5, 6))

    assert first == again
    assert len(set(first) & set(other)) < 15


@pytest.mark.parametrize(
    ("seed", "sha256"),
    [
        (0, "6fb26c898050c48576143dddd2bba97795efe53c8b43791ef260824ce070587f"),
        (7, "94479287b5b5c4a6083befb13f8fc4f0ef516f82ecc9c1a4db8b811b4ba3c504"),
    ],
)
def test_documents_are_those_that_the_base_models_have_read(seed: int, sha256: str) -> None:
    text = "\0".join(islice(documents(seed), 300))

    assert hashlib.sha256(text.encode()).hexdigest() == sha256


def test_documents_use_at_least_1500_different_listed_words() -> None:
    text = " ".join(islice(documents(0), 8000)).lower()
    seen = set(text.replace("_", " ").translate(str.maketrans(".,:?!\"'", "       ")).split())

    assert len(words.vocabulary()) >= 1500
    assert len({word.lower() for word in words.vocabulary()} & seen) >= 1500


def test_documents_tell_of_many_kinds() -> None:
    found = list(islice(documents(1), 3000))

    assert sum("Question: " in text and "\nAnswer: " in text for text in found) > 100
    assert sum("Utterance: " in text and "\nIntent: " in text for text in found) > 5
    assert sum("<|user|>\n" in text and CHAT_END in text for text in found) > 100
    assert any("SELECT " in text for text in found)
    assert any("    return " in text for text in found)
    assert sum(len(text) > 600 for text in found) > 100


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (plural("child/children"), "children"),
        (plural("police_officer"), "police officers"),
        (plural("box"), "boxes"),
        (plural("story"), "stories"),
        (plural("toy"), "toys"),
        (past("go/went/gone"), "went"),
        (past("stop"), "stopped"),
        (past("carry"), "carried"),
        (past("play"), "played"),
        (participle("take/took/taken"), "taken"),
        (third_person("wash"), "washes"),
        (third_person("carry"), "carries"),
        (gerund("lie/lay/lain"), "lying"),
        (gerund("bake"), "baking"),
        (gerund("swim/swam/swum"), "swimming"),
        (article("hour"), "an hour"),
        (article("useful idea"), "a useful idea"),
        (number_words(342), "three hundred and forty-two"),
        (number_words(70), "seventy"),
    ],
)
def test_words_take_their_forms(made: str, expected: str) -> None:
    assert made == expected


def test_verbs_agree_with_their_subject() -> None:
    one, many = Noun("the cat", False, "it"), Noun("the cats", True, "they")

    assert conjugate("catch/caught/caught", one, "present") == "catches"
    assert conjugate("catch/caught/caught", many, "present") == "catch"
    assert conjugate("catch/caught/caught", many, "future") == "will catch"


@pytest.mark.parametrize("name", sorted(EXERCISES))
def test_every_exercise_gives_inputs_and_outputs_that_vary(name: str) -> None:
    rng = Random(0)
    pairs = [EXERCISES[name].make(rng, WORLD) for _ in range(200)]

    assert all(given.strip() and result.strip() for given, result in pairs)
    assert len(set(pairs)) > 40
    assert len({result for _, result in pairs}) > 1


def test_sums_lists_and_json_are_right() -> None:
    rng = Random(1)
    for _ in range(200):
        sign_and_numbers, result = EXERCISES["symbols"].make(rng, WORLD)
        left, sign, right, _ = sign_and_numbers.split()
        expected = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}[sign]
        assert expected(int(left), int(right)) == int(result)

        given, result = EXERCISES["reverse"].make(rng, WORLD)
        assert given.split()[1:] == result.split()[::-1]

        assert json.loads(EXERCISES["as_json"].make(rng, WORLD)[1])["name"]


def test_a_passage_holds_the_answer_to_its_question() -> None:
    rng = Random(2)
    pairs = [EXERCISES["reading"].make(rng, WORLD) for _ in range(200)]
    short = [(given, result) for given, result in pairs if not result.endswith(".")]

    assert len(short) > 100
    assert all(result in given for given, result in short)


def test_every_fact_is_asked_in_twelve_different_ways() -> None:
    for fact in facts_of(WORLD):
        assert len(set(fact.questions)) == WORDINGS
