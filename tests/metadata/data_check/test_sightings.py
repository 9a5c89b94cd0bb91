import random

import pytest

from metadata.data_check.sightings import SeenKeys, Sightings
from metadata.example_parts import Example, Preference, Turn


def test_the_first_line_of_every_key_is_remembered_across_the_sorting_in() -> None:
    rng = random.Random(0)
    keys = SeenKeys(recent=50)
    expected: dict[int, int] = {}

    for line in range(1, 3000):
        key = rng.choice([rng.getrandbits(64), rng.choice(list(expected) or [2**64 - 1])])
        assert keys.meet(key, line) == expected.get(key)
        expected.setdefault(key, line)

    assert keys.share == 1
    for key, line in expected.items():
        assert keys.first_line(key) == line


def test_of_too_many_keys_a_share_is_remembered_without_mistakes() -> None:
    rng = random.Random(0)
    keys = SeenKeys(most=1000, recent=100)
    met = [rng.getrandbits(64) for _ in range(9000)]

    firsts = [keys.meet(key, line) for line, key in enumerate(met, start=1)]
    again = [keys.meet(key, 10_000) for key in met]

    assert firsts == [None] * 9000
    found = sum(line is not None for line in again)
    assert keys.share in {1 / 8, 1 / 16}
    assert found == pytest.approx(9000 * keys.share, rel=0.2)
    assert all(line in {None, place} for place, line in enumerate(again, start=1))


def test_examples_are_told_apart_by_texts_roles_and_where_one_ends() -> None:
    def chat(*turns: tuple[str, str]) -> Example:
        made = tuple(Turn(role, content) for role, content in turns)
        return Example(made, "\n".join(t.content for t in made[:-1]), made[-1].content)

    different = [
        Example(None, "a", "b"),
        Example(None, "ab", ""),
        Example(None, "", "ab"),
        Preference(None, "a", "b", "c"),
        Preference(None, "a", "c", "b"),
        chat(("user", "a"), ("assistant", "b")),
        chat(("user", "a\nx"), ("assistant", "b")),
        chat(("system", "a"), ("user", "x"), ("assistant", "b")),
    ]
    sightings = Sightings()

    met = [sightings.meet(example, line) for line, example in enumerate(different, start=1)]
    again = [sightings.meet(example, 99) for example in different]

    assert [sighting.same_example for sighting in met] == [None] * 8
    assert [sighting.same_example for sighting in again] == list(range(1, 9))
    assert met[4].same_prompt == 4  # the other way round
