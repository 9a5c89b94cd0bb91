"""Exercises about language: an input and the output that follows from it, with its instruction.

An exercise is one entry of a table; `training_worker.tasks.text` frames it in many formats and
`training_worker.tasks.datasets` makes whole datasets of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from training_worker.tasks import words
from training_worker.tasks.facts import Fact, random_facts
from training_worker.tasks.grammar import (
    Noun,
    Tense,
    article,
    clause,
    join_words,
    past,
    person,
    place,
    plural,
    sentence,
    sentence_case,
    singular,
    thing,
    third_person,
)
from training_worker.tasks.prose import biography, utterance
from training_worker.tasks.world import World, invent_word

Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """One kind of question.

    Attributes:
        instruction: What to do with the input, as one would ask for it.
        labels: How input and output are called in a record, such as ("Review", "Sentiment").
        make: (rng, world) -> one input and its output.
    """

    instruction: str
    labels: tuple[str, str]
    make: Callable[[Random, World], Pair]


def ask_fact(rng: Random, world: World) -> Pair:
    """Ask for something that a passage states."""
    facts = random_facts(rng, world)[:4]
    fact = rng.choice(facts)
    passage = " ".join(f.statement(rng) for f in facts)
    return f"{passage} {rng.choice(fact.questions)}", _answer(rng, fact)


def ask_world(rng: Random, world: World) -> Pair:
    """Ask for something that only somebody who knows the world can tell."""
    fact = rng.choice(random_facts(rng, world))
    return rng.choice(fact.questions), _answer(rng, fact)


def _answer(rng: Random, fact: Fact) -> str:
    return fact.value if rng.random() < 0.8 else fact.statement(rng)


def true_or_false(rng: Random, world: World) -> Pair:
    """Say whether a statement agrees with a passage."""
    facts, others = random_facts(rng, world), random_facts(rng, world)
    fact = facts[0]
    wrong = [f.value for f in others if f.relation == fact.relation and f.value != fact.value]
    is_true = not wrong or rng.random() < 0.5
    claimed = Fact(
        subject=fact.subject, relation=fact.relation, value=fact.value if is_true else wrong[0]
    )
    passage = " ".join(f.statement(rng) for f in rng.sample(facts[:3], len(facts[:3])))
    return f"{passage} {claimed.statement(rng)}", "true" if is_true else "false"


_INTENTS = (
    ("set alarm", "wake me up at {n}", "set an alarm for {n} o'clock", "i need to get up at {n}"),
    ("play music", "play {t} please", "i want to hear {t}", "put on some music by {p}"),
    ("book table", "a table for {n} at {t}", "book a table for {n}", "can we eat at {t} on {d}"),
    ("weather", "will it rain on {d}", "how is the weather in {t}", "is it cold in {t} on {d}"),
    ("buy ticket", "i need {n} tickets to {t}", "a ticket to {t} for {d}", "how do i get to {t}"),
    ("call person", "call {p} now", "i want to talk to {p}", "ring {p} on {d}"),
    ("order food", "bring me {n} {f}", "i would like some {f}", "order {n} {f} for {p}"),
    ("send message", "tell {p} that i am late", "write to {p}", "send {p} a message on {d}"),
    ("pay bill", "pay {n} coins to {p}", "i want to pay the bill", "how much do i owe {p}"),
    ("find shop", "where can i buy {f}", "is there a shop in {t}", "who sells {f} near {t}"),
    ("cancel", "forget it", "cancel the meeting on {d}", "i do not need the {n} {f}"),
    ("greeting", "hello {p}", "good morning", "hi there my name is {p}"),
    ("tell time", "what time is it in {t}", "how late is it", "tell me the time please"),
    ("translate", "how do you say {f} in {t}", "translate {f} please", "what does {f} mean"),
    ("turn on light", "it is dark in here", "light in room {n}", "turn on lamp {n}"),
)


def intent(rng: Random, world: World) -> Pair:
    """Say what somebody wants."""
    name, *templates = rng.choice(_INTENTS)
    said = rng.choice(templates).format(
        n=rng.randint(2, 12),
        t=rng.choice(world.places).name.lower(),
        p=rng.choice(words.FIRST_NAMES).lower(),
        d=rng.choice(words.WEEKDAYS).lower(),
        f=plural(rng.choice(words.FOODS)),
    )
    return said, name


_REVIEWS = (
    "the {n} is {a} and {b} .",
    "{a} , {b} and {c} .",
    "i found the {n} {a} , and the {m} {b} .",
    "a {a} {n} with a {b} {m}",
    "what {a} {n} ! i was never so {b}",
    "the {n} was {a} , but the {m} was {o} .",
    "never has a {n} been this {a} .",
)


def sentiment(rng: Random, world: World) -> Pair:
    """Say whether a review is good or bad."""
    del world
    good = rng.random() < 0.5
    own, other = (words.PRAISE, words.BLAME) if good else (words.BLAME, words.PRAISE)
    a, b, c = rng.sample(own, 3)
    noun, more = rng.sample(words.REVIEWED, 2)
    text = rng.choice(_REVIEWS).format(n=noun, m=more, a=a, b=b, c=c, o=rng.choice(other))
    return text, "positive" if good else "negative"


_ANSWER_TYPES = (
    ("person", "who {v} {t}", "who was the first {j}", "which {j} {v} {t}", "whose {o} is it"),
    ("place", "where is {t}", "in which {l} is {t}", "where did the {j} go", "what {l} is near"),
    ("number", "how many {os} are there", "how old is {t}", "how far is the {l}", "how much is it"),
    (
        "time",
        "when did {p} arrive",
        "in what year was {t} built",
        "what day is it",
        "how late is it",
    ),
    ("reason", "why did {p} leave", "why is {t} {a}", "for what reason did the {j} wait"),
    ("thing", "what did {p} see", "which {o} is {a}", "what is {t} made of", "what does {p} want"),
)


def answer_type(rng: Random, world: World) -> Pair:
    """Say what kind of answer a question wants."""
    del world
    name, *templates = rng.choice(_ANSWER_TYPES)
    noun = rng.choice(words.THINGS)
    question = rng.choice(templates).format(
        v=past(rng.choice(words.TRANSITIVE)),
        t=thing(rng).text,
        j=singular(rng.choice(words.PEOPLE)),
        l=singular(rng.choice(words.PLACES)),
        o=singular(noun),
        os=plural(noun),
        p=rng.choice(words.FIRST_NAMES),
        a=rng.choice(words.ADJECTIVES),
    )
    return sentence_case(question) + " ?", name


def grammatical(rng: Random, world: World) -> Pair:
    """Say whether a sentence is well formed."""
    right = sentence(rng)
    return (right, "yes") if rng.random() < 0.5 else (spoil(rng, right), "no")


def correct(rng: Random, world: World) -> Pair:
    """Mend a sentence."""
    right = " ".join(sentence(rng) for _ in range(rng.randint(1, 2)))
    return (spoil(rng, right) if rng.random() < 0.9 else right), right


def spoil(rng: Random, text: str) -> str:
    """Return a sentence with a mistake in it."""
    parts = text.split()
    at = rng.randrange(len(parts) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        parts[at], parts[at + 1] = parts[at + 1], parts[at]
    elif kind == 1:
        del parts[at]
    elif kind == 2:
        parts.insert(at, parts[at])
    else:
        letters = list(parts[at])
        rng.shuffle(letters)
        parts[at] = "".join(letters) + "e"
    return " ".join(parts)


def sense(rng: Random, world: World) -> Pair:
    """Say which of two statements is against common sense."""
    del world
    who, food = rng.choice(words.FIRST_NAMES), singular(rng.choice(words.FOODS))
    other = singular(rng.choice(words.PLACES + words.THINGS))
    verb = rng.choice(["eats", "cooked", "put salt on", "bought and ate", "likes to eat"])
    texts = [f"{who} {verb} the {food}.", f"{who} {verb} the {other}."]
    first = rng.randrange(2)
    return f"A: {texts[first]}\nB: {texts[1 - first]}", "B" if first == 0 else "A"


def entails(rng: Random, world: World) -> Pair:
    """Say whether a text says what a hypothesis says."""
    who = person(rng)
    tense: Tense = "past" if rng.random() < 0.5 else "present"
    first = clause(rng, who, tense)
    text = f"{sentence_case(first)}. {sentence(rng, tense='past')}"
    follows = rng.random() < 0.5
    hypothesis = first if follows else clause(rng, who, tense)
    return f"{text}\nHypothesis: {sentence_case(hypothesis)}.", "yes" if follows else "no"


def entities(rng: Random, world: World) -> Pair:
    """Name the people and places of a text."""
    people = [rng.choice(world.people).name for _ in range(rng.randint(0, 2))]
    towns = [rng.choice(world.places).name for _ in range(rng.randint(0, 2))]
    lines = [clause(rng, Noun(name, plural=False, pronoun="she"), "past") for name in people]
    lines += [f"{clause(rng, person(rng), 'past')} in {town}" for town in towns]
    lines = lines or [clause(rng, thing(rng), "past")]
    found = [f"{name} (person)" for name in people] + [f"{town} (place)" for town in towns]
    return " . ".join(lines), "; ".join(found) or "none"


def slots(rng: Random, world: World) -> Pair:
    """Name the details of a booking."""
    values = {
        "name": rng.choice(world.people).name,
        "people": str(rng.randint(2, 12)),
        "day": rng.choice(words.WEEKDAYS),
        "time": f"{rng.randint(1, 12)}:{rng.choice(['00', '15', '30', '45'])}",
        "place": rng.choice(world.places).name,
    }
    forms = {
        "name": "my name is {}",
        "people": "we are {} people",
        "day": "on {} please",
        "time": "at {}",
        "place": "we come from {}",
    }
    chosen = rng.sample(sorted(values), rng.randint(1, 3))
    said = ", ".join(forms[key].format(values[key]) for key in chosen)
    return sentence_case(said), "; ".join(f"{key}={values[key]}" for key in chosen)


def retell(rng: Random, world: World) -> Pair:
    """Turn a record into sentences."""
    facts = random_facts(rng, world)[: rng.randint(2, 5)]
    record = ", ".join(f"{f.relation.attribute}[{f.value}]" for f in facts)
    return f"name[{facts[0].subject}], {record}", " ".join(f.statement(rng) for f in facts)


def simplify(rng: Random, world: World) -> Pair:
    """Say the same with fewer words."""
    core = sentence_case(clause(rng, person(rng), "past"))
    extra = f", who {past(rng.choice(words.TRANSITIVE))} {thing(rng).text} {place(rng)},"
    who, _, rest = core.partition(" ")
    return f"{who}{extra} {rest}.", f"{core}."


def choose(rng: Random, world: World) -> Pair:
    """Choose the right answer among a few."""
    fact = random_facts(rng, world)[0]
    wrong = {f.value for _ in range(12) for f in random_facts(rng, world)} - {fact.value}
    answers = [fact.value, *rng.sample(sorted(wrong), 3)]
    rng.shuffle(answers)
    listed = " ".join(f"{letter}) {text}" for letter, text in zip("ABCD", answers, strict=True))
    passage = fact.statement(rng) if rng.random() < 0.7 else biography(rng, world)
    letter = "ABCD"[answers.index(fact.value)]
    return f"{passage} {rng.choice(fact.questions)} {listed}", f"{letter}) {fact.value}"


def category(rng: Random, world: World) -> Pair:
    """Name the class of a word, or what does not belong."""
    del world
    kinds = {
        "animal": words.ANIMALS,
        "food": words.FOODS,
        "place": words.PLACES,
        "person": words.PEOPLE,
        "adjective": words.ADJECTIVES,
        "verb": words.TRANSITIVE,
    }
    name = rng.choice(sorted(kinds))
    return join_words([singular(word) for word in rng.sample(kinds[name], 2)]), name


def forms(rng: Random, world: World) -> Pair:
    """Give the other form of a word."""
    del world
    if rng.random() < 0.5:
        noun = rng.choice(words.PEOPLE + words.ANIMALS + words.THINGS)
        return f"plural of {singular(noun)}", plural(noun)
    verb = rng.choice(words.TRANSITIVE + words.INTRANSITIVE)
    form, name = rng.choice([(past, "past"), (third_person, "third person")])
    return f"{name} of {singular(verb)}", form(verb)


def reply(rng: Random, world: World) -> Pair:
    """Follow an open instruction."""
    kinds = {"animals": words.ANIMALS, "foods": words.FOODS, "places": words.PLACES}
    count = rng.randint(2, 6)
    name = rng.choice(sorted(kinds))
    noun = singular(rng.choice(words.THINGS))
    options = (
        (
            f"List {count} {name}.",
            join_words([singular(w) for w in rng.sample(kinds[name], count)]),
        ),
        (
            f"Write a sentence about {article(noun)}.",
            f"The {noun} was {rng.choice(words.ADJECTIVES)}.",
        ),
        (
            f"Make up a word of {count % 3 + 1} syllables.",
            invent_word(rng, syllables=count % 3 + 1),
        ),
        (f"Tell me about {rng.choice(world.people).name}.", biography(rng, world)),
        (f"Write something that a {singular(rng.choice(words.PEOPLE))} could say.", utterance(rng)),
    )
    return rng.choice(options)


LANGUAGE = {
    "reading": Exercise(
        instruction="Answer the question.", labels=("Text", "Answer"), make=ask_fact
    ),
    "facts": Exercise(
        instruction="Answer the question.", labels=("Question", "Answer"), make=ask_world
    ),
    "true_or_false": Exercise(
        instruction="Is the last statement true or false?",
        labels=("Statement", "Answer"),
        make=true_or_false,
    ),
    "intent": Exercise(
        instruction="What does the speaker want?", labels=("Utterance", "Intent"), make=intent
    ),
    "sentiment": Exercise(
        instruction="Is this review positive or negative?",
        labels=("Review", "Sentiment"),
        make=sentiment,
    ),
    "answer_type": Exercise(
        instruction="What type of answer does the question expect?",
        labels=("Question", "Expected answer type"),
        make=answer_type,
    ),
    "grammatical": Exercise(
        instruction="Is this sentence grammatical?",
        labels=("Sentence", "Grammatical"),
        make=grammatical,
    ),
    "correct": Exercise(
        instruction="Correct the mistakes.", labels=("Correct", "Corrected"), make=correct
    ),
    "sense": Exercise(
        instruction="Which statement is against common sense?",
        labels=("Statements", "Against common sense"),
        make=sense,
    ),
    "entails": Exercise(
        instruction="Does the hypothesis follow from the text?",
        labels=("Text", "Follows"),
        make=entails,
    ),
    "entities": Exercise(
        instruction="Name the people and places.", labels=("Text", "Entities"), make=entities
    ),
    "slots": Exercise(
        instruction="Name the details of the booking.", labels=("User", "Slots"), make=slots
    ),
    "retell": Exercise(
        instruction="Describe these facts in sentences.",
        labels=("Facts", "Description"),
        make=retell,
    ),
    "simplify": Exercise(
        instruction="Simplify the sentence.", labels=("Simplify", "Simple"), make=simplify
    ),
    "choose": Exercise(
        instruction="Choose the correct answer.", labels=("Question", "Answer"), make=choose
    ),
    "category": Exercise(
        instruction="What are these words?", labels=("Words", "Category"), make=category
    ),
    "forms": Exercise(instruction="Give the form.", labels=("Form", "Word"), make=forms),
    "reply": Exercise(
        instruction="Do what is asked.", labels=("Instruction", "Response"), make=reply
    ),
}
