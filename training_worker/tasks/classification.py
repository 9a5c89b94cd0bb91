"""Datasets of labels without meaning: two, five or twenty of them, some wrong in training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from metadata.examples import Example, Splits
from training_worker.tasks import words
from training_worker.tasks.grammar import singular
from training_worker.tasks.spec import DatasetSpec, Maker, drawn, pair
from training_worker.tasks.world import invent_word

KIND = "labels"
WRONG_SHARE = 0.2  # of the labels trained on, in the noisy ones
TOPICS: Mapping[str, Sequence[str]] = {
    "animal": words.ANIMALS,
    "food": words.FOODS,
    "place": words.PLACES,
    "person": words.PEOPLE,
    "thing": words.THINGS,
}
MANNERS: Mapping[str, Sequence[str]] = {
    "question": (
        "Have you heard of the {} and the {}?",
        "Is it true that the {} is near the {}?",
        "Why is the {} not like the {}?",
    ),
    "complaint": (
        "I am tired of the {} and the {}.",
        "It is a shame about the {}, and the {} is no better.",
        "The {} was as bad as the {}.",
    ),
    "wish": (
        "I would like the {} or the {}.",
        "Please find me my {}, or else your {}.",
        "If only we had the {} and the {}!",
    ),
    "report": (
        "Last week we saw the {} beside the {}.",
        "My {} came before your {}.",
        "They told us about this {} and that {}.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """How many labels there are, by topic alone or by topic and manner, and how many are wrong."""

    topics: int
    with_manner: bool = False
    wrong_share: float = 0.0


def labels_maker(knobs: Knobs) -> Maker:
    """Return a maker of splits whose held-out labels are right."""

    def splits(seed: str, train_examples: int) -> Splits:
        labels = _labels(knobs, Random(f"{seed}-labels"))
        clean = drawn(lambda rng, _: _messages(rng, labels))(seed, train_examples)
        rng, known = Random(f"{seed}-noise"), sorted(labels.values())
        return Splits(
            train=tuple(_noisy(rng, example, known, knobs.wrong_share) for example in clean.train),
            validation=clean.validation,
            test=clean.test,
        )

    return splits


def _labels(knobs: Knobs, rng: Random) -> dict[tuple[str, str], str]:
    """Return the label of every topic and manner; manners share it unless they count."""
    keys = [(topic, manner) for topic in list(TOPICS)[: knobs.topics] for manner in MANNERS]
    classes = list(dict.fromkeys(key if knobs.with_manner else key[:1] for key in keys))
    invented: dict[str, None] = {}
    while len(invented) < len(classes):
        invented[invent_word(rng, syllables=2)] = None
    of_class = dict(zip(classes, invented, strict=True))
    return {key: of_class[key if knobs.with_manner else key[:1]] for key in keys}


def _messages(rng: Random, labels: Mapping[tuple[str, str], str]) -> Iterator[Example]:
    keys = sorted(labels)
    while True:
        topic, manner = rng.choice(keys)
        first, second = (singular(word) for word in rng.sample(TOPICS[topic], 2))
        text = rng.choice(MANNERS[manner]).format(first, second)
        yield pair(f"Message: {text}\nLabel:", labels[topic, manner])


def _noisy(rng: Random, example: Example, labels: Sequence[str], share: float) -> Example:
    if rng.random() >= share:
        return example
    wrong = [label for label in labels if label != example.completion]
    return pair(example.prompt, rng.choice(wrong))


def _spec(name: str, description: str, knobs: Knobs) -> DatasetSpec:
    return DatasetSpec(
        name=f"{KIND}-{name}", kind=KIND, description=description, make=labels_maker(knobs)
    )


LABELS = (
    _spec("2", "two labels by topic", Knobs(topics=2)),
    _spec("2-noisy", "two labels, a fifth wrong", Knobs(topics=2, wrong_share=WRONG_SHARE)),
    _spec("5", "five labels by topic", Knobs(topics=5)),
    _spec("5-noisy", "five labels, a fifth wrong", Knobs(topics=5, wrong_share=WRONG_SHARE)),
    _spec("20", "twenty labels by topic and manner", Knobs(topics=5, with_manner=True)),
    _spec(
        "20-noisy",
        "twenty labels, a fifth wrong",
        Knobs(topics=5, with_manner=True, wrong_share=WRONG_SHARE),
    ),
)
