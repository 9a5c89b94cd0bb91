import json
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from metadata.examples import read_examples, split_examples
from training_worker.tasks import words
from training_worker.tasks.command import main
from training_worker.tasks.datasets import (
    DATASETS,
    LABEL_NOISE,
    TEST_EXAMPLES,
    TRAIN_EXAMPLES,
    VALIDATION_EXAMPLES,
    build_dataset,
    write_dataset,
)
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


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_a_dataset_repeats_and_tests_on_prompts_never_trained_on(name: str) -> None:
    splits, again, other = (build_dataset(name, seed=seed) for seed in (0, 0, 1))
    trained = {example.prompt for example in splits.train}

    assert splits == again
    assert splits != other
    assert len(splits.train) == TRAIN_EXAMPLES
    assert all(example.prompt not in trained for example in splits.test + splits.validation)
    assert len(splits.test) >= 64
    if name != "facts":
        assert len(splits.validation) == VALIDATION_EXAMPLES
        assert len(splits.test) == TEST_EXAMPLES


def test_each_fact_is_trained_in_ten_wordings_and_held_out_in_one_each() -> None:
    splits = build_dataset("facts")
    world_facts = {
        f"Question: {question}\nAnswer:": fact
        for fact in facts_of(build_world(65, size=40))
        for question in fact.questions
    }
    asked = [[world_facts[e.prompt] for e in part] for part in (splits.train, splits.test)]

    assert all(asked[0].count(fact) == 10 for fact in set(asked[0]))
    assert len(set(asked[1])) == len(asked[1]) == len(splits.validation)
    assert set(asked[0]) == set(asked[1])


def test_labels_are_wrong_in_training_only() -> None:
    splits = build_dataset("labels")
    (right,) = {e.completion for e in splits.test if _speaks_of_animals(e.prompt)}
    trained = [e.completion for e in splits.train if _speaks_of_animals(e.prompt)]
    wrong = sum(label != right for label in trained) / len(trained)

    assert len({e.completion for e in splits.test}) == 5
    assert LABEL_NOISE / 5 < wrong < LABEL_NOISE * 2


def _speaks_of_animals(prompt: str) -> bool:
    animals = {animal.split("/")[0] for animal in words.ANIMALS}
    ambiguous = {"fly", "duck", "fish"}  # also a verb or a food
    return bool(set(prompt.translate(str.maketrans("?.,", "   ")).split()) & (animals - ambiguous))


def test_a_written_dataset_is_read_back_whole(tmp_path: Path) -> None:
    splits = build_dataset("guide")

    lines = write_dataset(tmp_path / "guide.jsonl", splits)
    with (tmp_path / "guide.jsonl").open("rb") as file:
        read = tuple(read_examples(file))

    assert read == splits.train + splits.validation + splits.test
    assert len(read) == lines
    assert len(split_examples(read).test) > 50


def test_the_command_lists_and_writes_datasets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in DATASETS)

    assert main(["write", "robot", "--output", str(tmp_path), "--seed", "3"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["robot.jsonl"]


def test_the_command_refuses_a_dataset_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["write", "nothing", "--output", str(tmp_path)])

    assert exit_info.value.code == 2
