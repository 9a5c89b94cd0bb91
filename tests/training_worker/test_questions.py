import json
from collections import Counter
from functools import cache

import pytest

from metadata.examples import Example, Splits
from training_worker.tasks.datasets import build_dataset
from training_worker.tasks.facts import Fact
from training_worker.tasks.questions import KNOBS, MOST_FACTS, Knobs, known_facts
from training_worker.tasks.text import WORLDS
from training_worker.tasks.world import build_world

FACTS = 100


@cache
def facts_by_prompt(name: str) -> dict[str, Fact]:
    facts = known_facts(KNOBS[name][1], f"facts-{name}-0")[:FACTS]
    return {f"Question: {question}\nAnswer:": fact for fact in facts for question in fact.questions}


@cache
def pretraining_names() -> set[str]:
    worlds = [build_world(index) for index in range(WORLDS)]
    told = {person.name for world in worlds for person in world.people}
    told |= {place.name for world in worlds for place in world.places}
    return told | {work.title for world in worlds for work in world.works}


@cache
def built(name: str) -> Splits:
    return build_dataset(f"facts-{name}", train_examples=10 * FACTS)


def asked_for(name: str, examples: tuple[Example, ...]) -> Counter[Fact]:
    return Counter(facts_by_prompt(name)[example.prompt] for example in examples)


@pytest.mark.parametrize("name", KNOBS)
def test_each_fact_is_trained_in_ten_wordings_and_held_out_in_one_each(name: str) -> None:
    splits = built(name)
    trained, validated, tested = (
        asked_for(name, part) for part in (splits.train, splits.validation, splits.test)
    )
    everything = (*splits.train, *splits.validation, *splits.test)

    assert len(trained) == FACTS
    assert set(trained.values()) == {10}
    assert set(validated.values()) == set(tested.values()) == {1}
    assert set(trained) == set(validated) == set(tested)
    assert len({example.prompt for example in everything}) == 12 * FACTS


@pytest.mark.parametrize("name", KNOBS)
def test_a_smaller_size_holds_whole_facts_of_a_larger_one_and_asks_for_these(name: str) -> None:
    small, large = build_dataset(f"facts-{name}", train_examples=40), built(name)

    taught = asked_for(name, small.train)
    assert set(taught.values()) == {10}
    assert set(taught) == set(asked_for(name, small.validation)) == set(asked_for(name, small.test))
    assert set(small.train) < set(large.train)
    assert set(small.validation) < set(large.validation)
    assert set(small.test) < set(large.test)


@pytest.mark.parametrize("name", KNOBS)
def test_held_out_answers_are_true(name: str) -> None:
    splits = built(name)

    for example in splits.validation + splits.test:
        assert facts_by_prompt(name)[example.prompt].value.lower() in example.completion.lower()


@pytest.mark.parametrize("name", KNOBS)
def test_there_are_five_thousand_different_facts(name: str) -> None:
    facts = known_facts(KNOBS[name][1], f"facts-{name}-0")

    assert len({(fact.subject, fact.relation.attribute) for fact in facts}) == MOST_FACTS


@pytest.mark.parametrize("name", KNOBS)
def test_no_pretraining_text_tells_of_a_subject(name: str) -> None:
    told = pretraining_names()
    asked = {fact.subject for fact in known_facts(KNOBS[name][1], f"facts-{name}-0")}
    assert not asked & told
    assert not {subject.split(" the ")[0] for subject in asked} & told


def test_wrong_answers_are_as_many_as_told_and_plausible() -> None:
    facts = facts_by_prompt("noisy")
    examples = built("noisy").train
    relations = known_facts(KNOBS["noisy"][1], "facts-noisy-0")
    values = {(fact.relation.attribute, fact.value) for fact in relations}
    wrong = [example for example in examples if example.completion != facts[example.prompt].value]

    assert len(wrong) / len(examples) == pytest.approx(KNOBS["noisy"][1].wrong_share, abs=0.04)
    for example in wrong:
        assert (facts[example.prompt].relation.attribute, example.completion) in values


def test_only_the_noisy_facts_have_wrong_answers() -> None:
    for name in ("people", "places", "works", "numbers", "ambiguous"):
        for example in built(name).train:
            assert example.completion == facts_by_prompt(name)[example.prompt].value


def test_three_share_a_name_and_every_question_says_which_one_is_meant() -> None:
    facts = known_facts(KNOBS["ambiguous"][1], "facts-ambiguous-0")
    subjects = dict.fromkeys(fact.subject for fact in facts)
    namesakes = Counter(subject.split(" the ")[0] for subject in subjects)
    (*whole, _) = namesakes.values()  # the last may be cut short

    assert set(whole) == {3}
    for prompt, fact in facts_by_prompt("ambiguous").items():
        assert fact.subject in prompt
        assert fact.relation.attribute != "job"


@pytest.mark.parametrize("subjects", ["people", "places", "works", "laws", "machines"])
def test_subjects_of_every_kind_can_share_a_name(subjects: str) -> None:
    knobs = Knobs(subjects=subjects, namesakes=2)

    facts = known_facts(knobs, "any")
    of_subject = Counter(fact.subject for fact in facts)
    assert len(of_subject) > MOST_FACTS / 8
    assert len({(fact.subject, fact.relation.attribute) for fact in facts}) == len(facts)


def test_records_can_be_read_and_long_answers_are_sentences() -> None:
    for example in built("rules").train:
        record = json.loads(example.completion)
        assert record["of"].lower() in example.prompt.lower()
        assert len(record) == 2
    answers = [example.completion for example in built("long").train]
    assert all(answer.endswith(".") for answer in answers)
    assert 0.2 < sum(answer.count(". ") == 1 for answer in answers) / len(answers) < 0.8
