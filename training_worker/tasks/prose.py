"""Running text: narratives, descriptions, dialogues, letters, reports, recipes, definitions."""

import re
from random import Random

from training_worker.tasks import words
from training_worker.tasks.facts import describe_person, facts_of_work, random_facts
from training_worker.tasks.grammar import (
    Noun,
    Tense,
    article,
    gerund,
    join_words,
    number_words,
    participle,
    past,
    person,
    place,
    plural,
    sentence,
    sentence_case,
    singular,
    thing,
)
from training_worker.tasks.world import World


def story(rng: Random, world: World) -> str:
    """Tell what happened to one or two people."""
    hero = _hero(rng, world)
    tense: Tense = "past" if rng.random() < 0.75 else "present"
    friend = _hero(rng, world)
    lines = [_opening(rng, hero, tense)]
    lines += [_story_line(rng, hero, friend, tense) for _ in range(rng.randint(4, 14))]
    if rng.random() < 0.5:
        lines.append(rng.choice(_ENDINGS).format(hero.text, hero.pronoun))
    return _paragraphs(rng, lines)


_ENDINGS = (
    "After that day {0} never forgot what {1} had seen.",
    "In the end {0} went home and slept well.",
    "{0} was happy again, and that is the end of the story.",
    "Nobody knows what {0} did next.",
    "And so {1} learned to be more careful.",
)
_OPENINGS = (
    "Once upon a time there was {a} {job} called {name}.",
    "{name} was {a} {job} who lived {place}.",
    "It was a {adjective} {time}, and {name} was {place}.",
    "Many years ago {name} lived {place}.",
    "Everybody in the village knew {name}, the {adjective} {job}.",
)
_MEANINGS = (
    "{hero} said that {other} was right.",
    '"{line}" {pronoun} said.',
    '"{line}" said {other}.',
    "{hero} wanted to {verb} {thing}, but it was too {adjective}.",
    "There {thing_is} {place}.",
    "{hero} asked {other} to {verb} {thing}.",
    "{hero} felt {adjective} because {other} had {participle} {thing}.",
    "While {gerund} {thing}, {pronoun} thought about {abstract}.",
    "If {other} had not {participle} {thing}, {hero} would have been {adjective}.",
    "{hero} was more {adjective} than {other}.",
)


def _hero(rng: Random, world: World) -> Noun:
    if rng.random() < 0.4:
        known = rng.choice(world.people)
        return Noun(known.name.split()[0], plural=False, pronoun=known.pronoun)
    return Noun(rng.choice(words.FIRST_NAMES), plural=False, pronoun=rng.choice(["he", "she"]))


def _opening(rng: Random, hero: Noun, tense: Tense) -> str:
    if tense == "present":
        return sentence(rng, hero, tense)
    job = f"{rng.choice(words.ADJECTIVES)} {singular(rng.choice(words.PEOPLE))}"
    return rng.choice(_OPENINGS).format(
        a=article(job).split()[0],
        job=job,
        name=hero.text,
        place=place(rng),
        adjective=rng.choice(words.ADJECTIVES),
        time=rng.choice(["morning", "evening", "night", "day", "winter", "afternoon"]),
    )


def _story_line(rng: Random, hero: Noun, friend: Noun, tense: Tense) -> str:
    if tense == "present" or rng.random() < 0.55:
        subject = rng.choice([hero, Noun(hero.pronoun, False, hero.pronoun), friend, thing(rng)])
        line = sentence(rng, subject, tense)
        start = words.spoken(rng.choice(words.CONNECTIVES))
        return (
            f"{sentence_case(start)}, {line}"
            if rng.random() < 0.1 and subject.text in line
            else line
        )
    found = thing(rng)
    return sentence_case(
        rng.choice(_MEANINGS).format(
            hero=hero.text,
            other=friend.text,
            pronoun=hero.pronoun,
            line=re.sub(r"\.$", ",", utterance(rng)),
            verb=singular(rng.choice(words.TRANSITIVE)),
            thing=found.text,
            thing_is=f"{'were' if found.plural else 'was'} {found.text}",
            participle=participle(rng.choice(words.TRANSITIVE)),
            gerund=gerund(rng.choice(words.TRANSITIVE)),
            adjective=rng.choice(words.ADJECTIVES),
            abstract=f"the {singular(rng.choice(words.ABSTRACT))}",
            place=place(rng),
        )
    )


_UTTERANCES = (
    "I {verb} {thing} every day.",
    "Can you {verb} {thing}?",
    "Did you see {thing}?",
    "Please {verb} {thing} before {time}.",
    "I do not want to {verb} {thing}.",
    "Why did you {verb} {thing}?",
    "Let us {verb} {thing} together.",
    "You should never {verb} {thing}!",
    "What a {adjective} {noun}!",
    "What is the price of {thing}?",
    "It costs {number} coins.",
    "I have never seen such a {adjective} {noun}.",
    "Yes, I think so.",
    "No, not yet.",
    "Thank you very much.",
    "I am sorry, I forgot.",
    "That is a {adjective} idea.",
    "Shall we meet at {number} o'clock?",
    "I will be there on {day}.",
)


def utterance(rng: Random) -> str:
    """Return something that somebody might say."""
    return rng.choice(_UTTERANCES).format(
        verb=singular(rng.choice(words.TRANSITIVE)),
        thing=thing(rng).text,
        time=rng.choice(["noon", "tonight", "the morning", *words.WEEKDAYS]),
        adjective=rng.choice(words.ADJECTIVES),
        noun=singular(rng.choice(words.THINGS + words.PLACES)),
        number=number_words(rng.randint(1, 12)),
        day=rng.choice(words.WEEKDAYS),
    )


def dialogue(rng: Random, world: World) -> str:
    """Let two people talk, as in a play."""
    names = rng.sample(words.FIRST_NAMES, 2)
    lines = [f"{names[i % 2]}: {utterance(rng)}" for i in range(rng.randint(4, 12))]
    if rng.random() < 0.3:
        fact = random_facts(rng, world)[0]
        lines += [f"{names[0]}: {rng.choice(fact.questions)}", f"{names[1]}: {fact.value}."]
    return "\n".join(lines)


def biography(rng: Random, world: World) -> str:
    """Tell the facts of a person, a town or a work, and ask for one or two of them."""
    facts = random_facts(rng, world)
    text = " ".join(fact.statement(rng) for fact in facts[: rng.randint(3, 8)])
    if rng.random() < 0.3:
        text = f"{facts[0].subject}\n\n{text}"
    if rng.random() < 0.3:
        text += f" {describe_person(rng.choice(world.people))}"
    return text


def catalogue(rng: Random, world: World) -> str:
    """List works with their facts."""
    lines = []
    for work in rng.sample(world.works, rng.randint(2, 5)):
        values = {fact.relation.attribute: fact.value for fact in facts_of_work(work)}
        lines.append(f"- {work.title}: " + ", ".join(f"{k} {v}" for k, v in values.items()))
    return "\n".join(lines)


def description(rng: Random, world: World) -> str:
    """Describe a place by what stands in it."""
    where = rng.choice(world.places)
    lines = [f"{where.name} is {article(rng.choice(words.ADJECTIVES))} town in {where.region}."]
    for _ in range(rng.randint(3, 8)):
        found = thing(rng)
        verb = "are" if found.plural else "is"
        lines.append(
            rng.choice(
                (
                    f"There {verb} {found.text} {place(rng)}.",
                    f"{sentence_case(found.text)} {verb} {place(rng)}.",
                    f"The {singular(rng.choice(words.PLACES))} is {rng.choice(words.ADJECTIVES)} "
                    f"and {rng.choice(words.ADJECTIVES)}.",
                    f"People come here to {singular(rng.choice(words.TRANSITIVE))} {found.text}.",
                )
            )
        )
    return _paragraphs(rng, lines)


def letter(rng: Random, world: World) -> str:
    """Write a letter or a page of a diary."""
    body = " ".join(
        sentence(rng, Noun("I", plural=True, pronoun="I"), "past") for _ in range(rng.randint(2, 6))
    )
    body += f" {utterance(rng)}"
    month, day = rng.choice(words.MONTHS), rng.randint(1, 28)
    if rng.random() < 0.4:
        return f"{day} {month}\n{body}"
    name, sender = rng.sample(words.FIRST_NAMES, 2)
    town = rng.choice(world.places).name
    head = f"{town}, {day} {month} {rng.randint(1900, 2020)}"
    return f"{head}\n\nDear {name},\n{body}\n\nYours,\n{sender}"


def report(rng: Random, world: World) -> str:
    """Report news or the weather."""
    town = rng.choice(world.places)
    lines = [f"{town.name}, {rng.choice(words.WEEKDAYS)}."]
    for _ in range(rng.randint(2, 6)):
        who, what = person(rng), singular(rng.choice(words.ABSTRACT))
        low = rng.randint(-10, 25)
        lines.append(
            rng.choice(
                (
                    f"{sentence_case(who.text)} {past(rng.choice(words.TRANSITIVE))} "
                    f"{thing(rng).text} {place(rng)}, "
                    f"the {singular(rng.choice(words.PEOPLE))} said.",
                    f"The {what} of {rng.randint(2, 90)} {plural(rng.choice(words.PEOPLE))} "
                    f"was {rng.choice(words.ADJECTIVES)}, according to a report.",
                    f"It will be {rng.choice(_WEATHER)}, "
                    f"with {low} to {low + rng.randint(2, 9)} degrees.",
                    f"Prices of {plural(rng.choice(words.FOODS))} "
                    f"{rng.choice(['rose', 'fell'])} by {rng.randint(1, 40)} per cent.",
                )
            )
        )
    return " ".join(lines)


_WEATHER = ("cloudy", "sunny", "windy", "rainy", "cold", "dry")


def recipe(rng: Random, world: World) -> str:
    """Give numbered instructions."""
    del world
    foods = [singular(food) for food in rng.sample(words.FOODS, rng.randint(3, 5))]
    steps = [
        f"{rng.choice(['Cut', 'Wash', 'Cook', 'Mix', 'Add', 'Stir', 'Bake', 'Heat'])} the {food}"
        f" for {rng.randint(2, 60)} minutes."
        for food in foods
    ]
    numbered = "\n".join(f"{i}. {step}" for i, step in enumerate(steps, start=1))
    dish = rng.choice(["soup", "cake", "pie", "salad"])
    return f"How to make {foods[0]} {dish}\nYou need {join_words(foods)}.\n{numbered}"


_CLASSES = (
    ("animal", words.ANIMALS),
    ("food", words.FOODS),
    ("place", words.PLACES),
    ("person", words.PEOPLE),
    ("thing", words.THINGS),
    ("colour", words.COLOURS),
    ("school subject", words.SUBJECTS),
    ("material", words.MATERIALS),
)


def definition(rng: Random, world: World) -> str:
    """Say what things are and are not."""
    del world
    lines = []
    for _ in range(rng.randint(3, 9)):
        (name, members), (other, _) = rng.sample(_CLASSES, 2)
        word = singular(rng.choice(members))
        lines.append(
            rng.choice(
                (
                    f"{sentence_case(article(word))} is {article(name)}.",
                    f"{sentence_case(article(word))} is {article(name)}, not {article(other)}.",
                    f"{sentence_case(plural(rng.choice(words.ANIMALS)))} can "
                    f"{singular(rng.choice(words.INTRANSITIVE))}.",
                    f"Is {article(word)} {article(other)}? No, it is {article(name)}.",
                )
            )
        )
    return " ".join(lines)


def _paragraphs(rng: Random, lines: list[str]) -> str:
    if len(lines) < 8 or rng.random() < 0.5:
        return " ".join(lines)
    cut = rng.randint(3, len(lines) - 3)
    return " ".join(lines[:cut]) + "\n\n" + " ".join(lines[cut:])
