"""Endless English-like text of our own writing, from which a small base model is trained.

Grammars fill our own word lists; no text of others is in it. The same seed gives the same
documents, in the same order.
"""

from collections.abc import Callable, Iterator
from random import Random

from training_worker.tasks import prose
from training_worker.tasks.exercises import LANGUAGE, Exercise
from training_worker.tasks.formal import FORMAL
from training_worker.tasks.world import World, build_world

CHAT_ROLES = ("system", "user", "assistant")
CHAT_END = "<|end|>"
WORLDS = 64  # of a seed's documents; few enough that a model can remember some of each
EXERCISES = {**LANGUAGE, **FORMAL}

_PROSE: tuple[tuple[Callable[[Random, World], str], int], ...] = (
    (prose.story, 10),
    (prose.dialogue, 3),
    (prose.biography, 5),
    (prose.catalogue, 1),
    (prose.description, 3),
    (prose.letter, 2),
    (prose.report, 3),
    (prose.recipe, 1),
    (prose.definition, 2),
)
_PROSE_SHARE = 0.4


def documents(seed: int) -> Iterator[str]:
    """Yield documents for ever: prose, and exercises in many formats."""
    rng = Random(f"text-{seed}")
    worlds = [build_world(index) for index in range(WORLDS)]
    kinds, weights = zip(*_PROSE, strict=True)
    names = sorted(EXERCISES)
    while True:
        world = rng.choice(worlds)
        if rng.random() < _PROSE_SHARE:
            yield rng.choices(kinds, weights)[0](rng, world)
        else:
            yield exercise_document(rng, world, EXERCISES[rng.choice(names)])


def exercise_document(rng: Random, world: World, exercise: Exercise) -> str:
    """Return one to six questions of one kind with their answers, in one format."""
    pairs = [exercise.make(rng, world) for _ in range(rng.choice([1, 1, 2, 3, 4, 6]))]
    frame = rng.choice(_FRAMES)
    return frame(rng, exercise, pairs)


Pairs = list[tuple[str, str]]


def _labelled(rng: Random, exercise: Exercise, pairs: Pairs) -> str:
    first, second = exercise.labels
    head = f"{exercise.instruction}\n" if rng.random() < 0.3 else ""
    body = "\n\n".join(f"{first}: {given}\n{second}: {result}" for given, result in pairs)
    return head + body


def _short(rng: Random, exercise: Exercise, pairs: Pairs) -> str:
    first, second = rng.choice([("Q", "A"), ("Input", "Output"), ("Problem", "Solution")])
    del exercise
    return "\n".join(f"{first}: {given}\n{second}: {result}" for given, result in pairs)


def _instructed(rng: Random, exercise: Exercise, pairs: Pairs) -> str:
    polite = rng.choice(["", "Please do this: ", "Task: ", "Instruction: "])
    lead = rng.choice(["", "Answer: ", "Response: ", "the correct answer is "])
    given, result = pairs[0]
    return f"{polite}{exercise.instruction}\n\n{given}\n\n{lead}{result}"


def _arrow(rng: Random, exercise: Exercise, pairs: Pairs) -> str:
    arrow = rng.choice([" -> ", " => ", "\t", " | "])
    lines = "\n".join(f"{given}{arrow}{result}" for given, result in pairs)
    return f"{exercise.instruction}\n{lines}"


def _chat(rng: Random, exercise: Exercise, pairs: Pairs) -> str:
    turns = [("system", exercise.instruction)] if rng.random() < 0.5 else []
    for given, result in pairs[:3]:
        asked = given if turns else f"{exercise.instruction}\n{given}"
        turns += [("user", asked), ("assistant", result)]
    return "".join(f"<|{role}|>\n{content}{CHAT_END}\n" for role, content in turns)


_FRAMES = (_labelled, _labelled, _labelled, _short, _instructed, _arrow, _chat)
