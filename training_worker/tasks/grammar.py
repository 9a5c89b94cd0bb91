"""Forms of words and simple sentences, with agreement and tense.  Every chance comes from `rng`."""

from dataclasses import dataclass
from random import Random
from typing import Literal

from training_worker.tasks import words

Tense = Literal["past", "present", "future"]
TENSES: tuple[Tense, ...] = ("past", "present", "future")
_VOWELS = frozenset("aeiou")
_DOUBLED = (
    "stop drop plan chat grab beg hug nod rob pat plug rub ship slip step tap trip wrap cut hit"
    " swim run sit win put get set dig knit skip clap jog admit prefer refer regret stir"
)
_DOUBLING = frozenset(_DOUBLED.split())


@dataclass(frozen=True)
class Noun:
    """A noun phrase as a subject: its text, whether it is plural, and its pronoun."""

    text: str
    plural: bool
    pronoun: str


def plural(noun: str) -> str:
    """Return the plural of a listed noun."""
    if "/" in noun:
        return words.spoken(noun.split("/")[1])
    word = words.spoken(noun)
    if word.endswith(("s", "x", "ch", "sh")):
        return word + "es"
    return _y_to_i(word) + "es" if _ends_in_y(word) else word + "s"


def singular(noun: str) -> str:
    """Return the base form of a listed noun or verb."""
    return words.spoken(noun.split("/")[0])


def past(verb: str) -> str:
    """Return the simple past of a listed verb."""
    return verb.split("/")[1] if "/" in verb else _regular_past(verb)


def participle(verb: str) -> str:
    """Return the past participle of a listed verb."""
    return verb.split("/")[2] if "/" in verb else _regular_past(verb)


def third_person(verb: str) -> str:
    """Return the form for he, she or it."""
    base = verb.split("/")[0]
    if base.endswith(("s", "x", "ch", "sh", "o")):
        return base + "es"
    return _y_to_i(base) + "es" if _ends_in_y(base) else base + "s"


def gerund(verb: str) -> str:
    """Return the form in -ing."""
    base = verb.split("/")[0]
    if base in {"lie", "die", "tie", "untie"}:
        return base[:-2] + "ying"
    if base.endswith("e") and not base.endswith(("ee", "oe", "ye")):
        return base[:-1] + "ing"
    return base + base[-1] + "ing" if base in _DOUBLING else base + "ing"


def article(phrase: str) -> str:
    """Put the right indefinite article before a phrase."""
    exceptions = phrase.startswith(("uni", "use", "usu", "euro", "one"))
    vowel = (phrase[0].lower() in _VOWELS and not exceptions) or phrase.startswith(
        ("hour", "honest")
    )
    return f"{'an' if vowel else 'a'} {phrase}"


def number_words(value: int) -> str:
    """Return a whole number under a million in words."""
    if value < 20:
        return words.ONES[value]
    if value < 100:
        tens, ones = divmod(value, 10)
        return words.TENS[tens - 2] + (f"-{words.ONES[ones]}" if ones else "")
    size, name = (100, "hundred") if value < 1000 else (1000, "thousand")
    whole, rest = divmod(value, size)
    tail = f"{' and' if size == 100 else ''} {number_words(rest)}" if rest else ""
    return f"{number_words(whole)} {name}{tail}"


def join_words(items: list[str], word: str = "and") -> str:
    """Join phrases with commas and a last word."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {word} {items[-1]}"


def sentence_case(text: str) -> str:
    """Return the text with its first letter capital."""
    return text[:1].upper() + text[1:]


def conjugate(verb: str, subject: Noun, tense: Tense) -> str:
    """Return the verb as a subject needs it."""
    if tense == "past":
        return past(verb)
    if tense == "future":
        return f"will {singular(verb)}"
    return singular(verb) if subject.plural else third_person(verb)


def negate(verb: str, subject: Noun, tense: Tense) -> str:
    """Return the verb denied."""
    if tense == "past":
        return f"did not {singular(verb)}"
    if tense == "future":
        return f"will not {singular(verb)}"
    return f"{'do' if subject.plural else 'does'} not {singular(verb)}"


def be(subject: Noun, tense: Tense) -> str:
    """Return the form of `be` that a subject needs."""
    if tense == "future":
        return "will be"
    if subject.text == "I":
        return "was" if tense == "past" else "am"
    if tense == "past":
        return "were" if subject.plural else "was"
    return "are" if subject.plural else "is"


def person(rng: Random) -> Noun:
    """Return somebody: a name, or one or more people by what they are."""
    pronoun = rng.choice(["he", "she"])
    if rng.random() < 0.5:
        return Noun(rng.choice(words.FIRST_NAMES), plural=False, pronoun=pronoun)
    return noun_phrase(rng, words.PEOPLE, pronoun=pronoun)


def noun_phrase(rng: Random, nouns: list[str], *, pronoun: str = "it") -> Noun:
    """Return a noun with a determiner and perhaps adjectives."""
    noun = rng.choice(nouns)
    adjective = "" if rng.random() < 0.5 else rng.choice(words.ADJECTIVES) + " "
    if rng.random() < 0.25:
        how_many = rng.choice(["the", "two", "three", "many", "some", "these", "all the", "five"])
        return Noun(f"{how_many} {adjective}{plural(noun)}", plural=True, pronoun="they")
    phrase = adjective + singular(noun)
    chosen = rng.choice(["the", "the", "a", "this", "that", "my", "her", "his", "our"])
    return Noun(article(phrase) if chosen == "a" else f"{chosen} {phrase}", False, pronoun)


def thing(rng: Random) -> Noun:
    """Return a thing, an animal or a food."""
    return noun_phrase(rng, rng.choice([words.THINGS, words.THINGS, words.ANIMALS, words.FOODS]))


def place(rng: Random) -> str:
    """Return a prepositional phrase of place."""
    adjective = "" if rng.random() < 0.7 else rng.choice(words.ADJECTIVES) + " "
    where = words.spoken(rng.choice(words.PREPOSITIONS))
    return f"{where} the {adjective}{singular(rng.choice(words.PLACES))}"


def clause(rng: Random, subject: Noun, tense: Tense) -> str:
    """Return a clause about a subject, without a full stop."""
    if rng.random() < 0.12:
        return f"{subject.text} {be(subject, tense)} {rng.choice(words.ADJECTIVES)}"
    if rng.random() < 0.6:
        verb, rest = rng.choice(words.TRANSITIVE), f" {thing(rng).text}"
    else:
        verb, rest = rng.choice(words.INTRANSITIVE), ""
    form = negate if rng.random() < 0.1 else conjugate
    tail = f" {place(rng)}" if rng.random() < 0.4 else ""
    tail += f" {rng.choice(words.ADVERBS)}" if rng.random() < 0.2 else ""
    return f"{subject.text} {form(verb, subject, tense)}{rest}{tail}"


def sentence(rng: Random, subject: Noun | None = None, tense: Tense | None = None) -> str:
    """Return a whole sentence."""
    chosen: Tense = rng.choice(TENSES) if tense is None else tense
    subject = subject or (person(rng) if rng.random() < 0.7 else thing(rng))
    text = clause(rng, subject, chosen)
    if rng.random() < 0.2:
        link = rng.choice(["and", "but", "because", "so", "while", "when", "although"])
        other = Noun(subject.pronoun, subject.plural, subject.pronoun)
        text += f" {link} {clause(rng, other if rng.random() < 0.6 else person(rng), chosen)}"
    elif rng.random() < 0.2 and chosen == "past":
        text = f"{words.spoken(rng.choice(words.TIMES))}, {text}"
    return sentence_case(text) + "."


def _ends_in_y(word: str) -> bool:
    return word.endswith("y") and word[-2] not in _VOWELS


def _y_to_i(word: str) -> str:
    return word[:-1] + "i"


def _regular_past(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    if _ends_in_y(verb):
        return _y_to_i(verb) + "ed"
    return verb + verb[-1] + "ed" if verb in _DOUBLING else verb + "ed"
