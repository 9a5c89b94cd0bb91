"""From an id and a rank to what is exported: the configuration, its model, its data."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from metadata.errors import InvalidRequest, NotFound
from metadata.examples import Example, read_examples
from service.catalogue.models import Models
from service.exporters.source import DataFile, Records, Source
from service.files.store import FileStore
from service.recommender.question import read_model
from service.recommender.schemas import BaseModelChoice
from service.recommender.store import RecommendationStore

USUAL: Records = "prompt_completion"
USUAL_NAME = "train.jsonl"
MOST_CHARACTERS = 500  # of the name of a data file


def gather(
    recommendation_id: str,
    *,
    rank: int,
    data: str | None,
    records: Records | None,
    recommendations: RecommendationStore,
    models: Models,
    files: FileStore,
) -> Source:
    """Return what is exported.

    Args:
        recommendation_id: Of an answer given before.
        rank: Which of its configurations, from 1.
        data: How the file written names the data; None: as the data was called.
        records: What its records are; None: as those of the uploaded file, else of prompt and
            completion.
        recommendations: The answers given before.
        models: The models that are known.
        files: The uploaded files.

    Raises:
        NotFound: No answer has that id, or it is shorter.
        InvalidRequest: The name of the data holds control characters.
    """
    answer = recommendations.get(recommendation_id)
    found = recommendations.ranked(recommendation_id, rank=rank)
    asked = recommendations.request(recommendation_id)
    base = BaseModelChoice.model_validate(asked["base_model"])
    return Source(
        recommendation_id=answer.id,
        knowledge_version=answer.knowledge_version,
        created_at=answer.created_at,
        rank=rank,
        model=read_model(base, known_model=models.find),
        configuration=found.configuration,
        objective=answer.training_objective,
        steps=found.steps,
        micro_batch_size=found.micro_batch_size,
        devices=asked["hardware"].get("count", 1),
        data=_data(asked["dataset"], data, records, files),
    )


def records_of(example: Example) -> Records:
    """Return what the records of a file are, by one of its examples."""
    if example.turns is not None:
        return "messages"
    return "prompt_completion" if example.prompt else "text"


def _data(
    asked: Mapping[str, Any], name: str | None, records: Records | None, files: FileStore
) -> DataFile:
    file_id, profile = asked.get("file_id"), asked.get("profile") or {}
    usual, kind = profile.get("name") or USUAL_NAME, USUAL
    if file_id is not None:
        with suppress(NotFound):  # it may be gone by now
            usual = files.get(file_id).label
            kind = records_of(next(_examples(files, file_id)))
    return DataFile(name=_checked(name or usual), records=records or kind, file_id=file_id)


def _examples(files: FileStore, file_id: str) -> Iterator[Example]:
    with files.path(file_id).open("rb") as lines:
        yield from read_examples(lines)


def _checked(name: str) -> str:
    if not name.isprintable() or len(name) > MOST_CHARACTERS:
        raise InvalidRequest(
            f"data must be a file name of at most {MOST_CHARACTERS} printable characters, got "
            f"{name[:60]!r}. Name it otherwise.",
            param="data",
        )
    return name
