"""The answers given before, by id, so that a job can name a rank and a page can show one again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from metadata.database import read_session, write_session
from metadata.errors import NotFound
from metadata.methods.spec import Serving
from metadata.records import TrainingObjective
from service.recommender.schemas import (
    RecommendationAnswer,
    RecommendationRequest,
    RecommendedConfiguration,
)
from service.tables import RecommendationRow
from service.upsert import upsert


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an answer was asked for: base model, objective, and what is to load the result."""

    model: str
    objective: TrainingObjective
    serve_with: Serving | None


class RecommendationStore:
    """Recommendations in the database."""

    def __init__(self, engine: Engine) -> None:
        """Use the tables that `open_database` has made."""
        self._engine = engine

    def keep(self, request: RecommendationRequest, answer: RecommendationAnswer) -> None:
        """Keep an answer, without the examples it was asked with.

        One of the same id says the same and is written over.
        """
        values = {
            "id": answer.id,
            "knowledge_version": answer.knowledge_version,
            "request": request.model_dump(mode="json", exclude={"dataset": {"examples"}}),
            "answer": answer.model_dump(mode="json"),
            "created_at": answer.created_at,
        }
        with write_session(self._engine) as session:
            upsert(session, RecommendationRow, [values], written_over=list(values))

    def get(self, recommendation_id: str) -> RecommendationAnswer:
        """Return an answer as it was given.

        Raises:
            NotFound: No answer has that id.
        """
        with read_session(self._engine) as session:
            row = _find(session, recommendation_id)
            return _read(row)

    def asked(self, recommendation_id: str) -> Asked:
        """Return what an answer was asked for.

        Raises:
            NotFound: No answer has that id.
        """
        with read_session(self._engine) as session:
            row = _find(session, recommendation_id)
            request = row.request
            return Asked(
                model=request["base_model"]["id"],
                objective=row.answer.get("training_objective", "supervised"),
                serve_with=request.get("serve_with"),
            )

    def request(self, recommendation_id: str) -> Mapping[str, Any]:
        """Return the request for an answer as JSON, without the examples it was asked with.

        Raises:
            NotFound: No answer has that id.
        """
        with read_session(self._engine) as session:
            request: Mapping[str, Any] = _find(session, recommendation_id).request
            return request

    def ranked(self, recommendation_id: str, *, rank: int) -> RecommendedConfiguration:
        """Return the configuration of one rank, counted from 1.

        Raises:
            NotFound: No answer has that id, or it is shorter.
        """
        configurations = self.get(recommendation_id).configurations
        if not 1 <= rank <= len(configurations):
            raise NotFound(
                f"Recommendation {recommendation_id} has ranks 1 to {len(configurations)}, "
                f"got {rank}. Choose one of them.",
                param="rank",
            )
        return configurations[rank - 1]


def _find(session: Session, recommendation_id: str) -> RecommendationRow:
    row = None if "\0" in recommendation_id else session.get(RecommendationRow, recommendation_id)
    if row is None:
        raise NotFound(
            f"No recommendation has the id {recommendation_id[:80]!r}. "
            "Ask with POST /v1/recommendations.",
            param="recommendation_id",
        )
    return row


def _read(row: RecommendationRow) -> RecommendationAnswer:
    try:
        return RecommendationAnswer.model_validate(row.answer)
    except ValidationError:
        raise NotFound(
            f"Recommendation {row.id} was made by another version of Peftwise and cannot be read. "
            "Ask again.",
            param="recommendation_id",
        ) from None
