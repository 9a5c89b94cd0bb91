"""Our names for what a run says, and those under which others write the same.

`facts_of` sorts the plain values of a row or of a document into facts and results: a number
whose name is no fact is a result. A mapping by the caller goes before every guess.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Literal

from metadata.errors import InvalidRequest
from metadata.importers.cleaning import flag_of, is_secret_name, number_of, text_of
from metadata.importers.vocabulary import BY_NAME, BY_THEIRS, FLAGS, TEXTS, Fact
from metadata.records import Measurement, Scalar

Split = Literal["train", "validation", "test"]


_SPLIT = re.compile(r"^(train|training|eval|valid|val|validation|dev|test)[ _/.-]+(\S.*)$", re.I)
_SPLITS: Mapping[str, Split] = {"tr": "train", "te": "test"}
MOST_NAMES = 100  # that a caller maps
LEAST_SIZE = 1e5  # a column `size` is of the model only where it is that large


@dataclass(frozen=True, kw_only=True)
class Sorted:
    """What a row or a document says: facts by our names, results, and what was guessed."""

    facts: Mapping[str, Scalar]
    results: Mapping[str, float]
    notes: tuple[str, ...]


def check_names(names: Mapping[str, str]) -> None:
    """Let a mapping pass if its left sides are names of ours.

    Raises:
        InvalidRequest: One is not; the message lists near ones.
    """
    for ours in names:
        if ours in BY_NAME or ours.startswith(("task.model.", "task.dataset.")):
            continue
        near = get_close_matches(ours, BY_NAME, n=3) or sorted(BY_NAME)
        raise InvalidRequest(
            f"A mapping is ours=theirs, with ours one of our names; got {ours[:60]!r}. "
            f"Try {', '.join(near)}.",
            param="map",
        )


def names_of(lines: Sequence[str]) -> dict[str, str]:
    """Return a mapping from lines `ours=theirs`.

    Raises:
        InvalidRequest: A line is none.
    """
    names: dict[str, str] = {}
    for line in (one.strip() for one in lines if one.strip()):
        ours, equals, theirs = line.partition("=")
        if not equals or not ours.strip() or not theirs.strip():
            raise InvalidRequest(
                f"A mapping is ours=theirs, got {line[:60]!r}. Write such as learning_rate=lr.",
                param="map",
            )
        names[ours.strip()] = theirs.strip()
    if len(names) > MOST_NAMES:
        raise InvalidRequest(f"At most {MOST_NAMES} names can be mapped.", param="map")
    return names


def facts_of(values: Mapping[str, Any], names: Mapping[str, str] = MappingProxyType({})) -> Sorted:
    """Sort the plain values of a run into facts and results.

    Args:
        values: By the names of the source, which may be dotted paths.
        names: Ours and theirs, as the caller maps them.
    """
    chosen = {theirs: ours for ours, theirs in names.items() if theirs in values}
    guessed = _guess(values, frozenset(chosen.values()), frozenset(chosen))
    facts: dict[str, Scalar] = {}
    for theirs, ours in {**guessed, **chosen}.items():
        fact = BY_NAME.get(ours)
        found = _value(ours, values[theirs])
        if found is not None:
            facts[ours if fact is None else fact.ours] = found
    used = {*guessed, *chosen}
    results = {
        name: number
        for name, value in values.items()
        if name not in used and not is_secret_name(name)
        for number in (_result(value),)
        if number is not None
    }
    notes = tuple(f"{ours} is taken from {_shown(theirs)}" for theirs, ours in guessed.items()
                  if _plain(theirs) != _plain(ours))  # fmt: skip
    return Sorted(facts=facts, results=results, notes=notes)


def measurements(results: Mapping[str, float], *, step: int) -> list[Measurement]:
    """Return results as measurements; one that names no split counts as of the test split."""
    found = []
    for theirs, value in results.items():
        name, split = split_of(theirs, otherwise="test")
        found.append(Measurement(name=name, step=max(0, step), value=value, split=split))
    return found


def split_of(theirs: str, *, otherwise: Split) -> tuple[str, Split]:
    """Return the name of a result without its split, and the split."""
    name = text_of(theirs.rpartition(".")[2] or theirs) or "value"
    match = _SPLIT.match(name)
    if match is None:
        return name, otherwise
    return match[2], _SPLITS.get(match[1][:2].lower(), "validation")


def _guess(
    values: Mapping[str, Any], taken: frozenset[str], used: frozenset[str]
) -> dict[str, str]:
    """Return theirs and ours for the columns whose names say what they are, the plainest first."""
    found: dict[str, tuple[tuple[int, int], str, str]] = {}
    owned = {BY_NAME[ours].ours for ours in taken if ours in BY_NAME}
    for theirs, value in values.items():
        if theirs in used or value is None or value == "" or is_secret_name(theirs):
            continue
        if theirs.startswith(("task.model.", "task.dataset.")):
            found[theirs] = ((0, 0), theirs, theirs)
            continue
        for distance, name in enumerate((theirs, theirs.rpartition(".")[2])):
            known = BY_THEIRS.get(_plain(name))
            if known is None or known[1].ours in owned or not _suits(known[1], name, value):
                continue
            rank = ((distance, known[0]), theirs, known[1].name)
            found[known[1].ours] = min(found.get(known[1].ours, rank), rank)
            break
    return {theirs: ours for _, theirs, ours in found.values()}


def _suits(fact: Fact, theirs: str, value: Any) -> bool:
    if fact.name in TEXTS:
        return isinstance(value, str)
    if fact.name in FLAGS:
        return flag_of(value) is not None
    number = number_of(value)
    is_size = _plain(theirs) == "size"
    return number is not None and not (is_size and number < LEAST_SIZE)


def _value(ours: str, value: Any) -> Scalar:
    if ours.startswith(("task.model.", "task.dataset.")):
        return value if isinstance(value, bool | int | float) else text_of(value)
    fact = BY_NAME[ours]
    if fact.name in TEXTS:
        return text_of(value)
    if fact.name in FLAGS:
        return flag_of(value)
    number = number_of(value)
    return None if number is None else number * fact.factor


def _result(value: Any) -> float | None:
    if isinstance(value, str) and value.strip().lower() in {"true", "false"}:
        return float(value.strip().lower() == "true")
    return number_of(value)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _shown(theirs: str) -> str:
    return (text_of(theirs) or "a column")[:60]
