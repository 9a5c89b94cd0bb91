from typing import Any

import pytest

from service.recommender.examples import ANSWER, KNOWLEDGE, QUESTIONS, REFIT
from service.recommender.ranking import REGRET_PER_TENFOLD
from service.recommender.schemas import (
    KnowledgeList,
    RecommendationAnswer,
    RecommendationRequest,
    RefitAnswer,
)


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        (RecommendationAnswer, ANSWER),
        (KnowledgeList, KNOWLEDGE),
        (RefitAnswer, REFIT),
        *((RecommendationRequest, question["value"]) for question in QUESTIONS.values()),
    ],
)
def test_what_the_description_shows_is_what_the_service_takes_and_gives(
    schema: Any, shown: dict[str, Any]
) -> None:
    read = schema.model_validate(shown)

    assert read.model_dump(mode="json", exclude_unset=True) == shown


def test_the_description_of_objectives_holds_the_figures_that_rank() -> None:
    said = RecommendationRequest.model_fields["objective"].description or ""

    assert f"buy {REGRET_PER_TENFOLD} less" in said
