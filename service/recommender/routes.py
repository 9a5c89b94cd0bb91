"""Ask for a recommendation, read one again, look after the knowledge that answers."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Body

from service.dependencies import (
    DevicesDep,
    FilesDep,
    HistoryDep,
    KnowledgeStoreDep,
    ModelsDep,
    NowDep,
    RecommendationsDep,
)
from service.openapi import PROBLEMS, example
from service.recommender.answer import answer
from service.recommender.calibration import Calibration, calibrate
from service.recommender.examples import ANSWER, CALIBRATION, KNOWLEDGE, QUESTIONS, REFIT
from service.recommender.schemas import (
    KnowledgeList,
    KnowledgeVersion,
    RecommendationAnswer,
    RecommendationRequest,
    RefitAnswer,
)
from service.runs.retraining import refit

router = APIRouter(tags=["recommendations"], responses=PROBLEMS)


@router.post(
    "/v1/recommendations",
    summary="Rank configurations for a model, data, a device and a budget",
    responses=example(ANSWER),
)
def ask(
    request: Annotated[RecommendationRequest, Body(openapi_examples=QUESTIONS)],
    store: KnowledgeStoreDep,
    files: FilesDep,
    models: ModelsDep,
    devices: DevicesDep,
    recommendations: RecommendationsDep,
    now: NowDep,
) -> RecommendationAnswer:
    """Answer from past runs, with forecasts of quality, time and memory and their 90 % intervals.

    The same question and the same knowledge give the same answer and the same id.
    A configuration fits where the upper ends of its forecasts are within memory and budget.
    """
    given = answer(
        request,
        store.current,
        now=now,
        find_profile=files.profile,
        known_model=partial(models.find, param="base_model.id"),
        known_device=devices.find,
    )
    recommendations.keep(request, given)
    return given


@router.get(
    "/v1/recommendations/{recommendation_id}",
    summary="Read a recommendation again",
    responses=example(ANSWER),
)
def read(recommendation_id: str, recommendations: RecommendationsDep) -> RecommendationAnswer:
    """Return an answer as it was given."""
    return recommendations.get(recommendation_id)


@router.get(
    "/v1/knowledge",
    summary="List the versions of knowledge with their held-out results",
    responses=example(KNOWLEDGE),
)
def list_versions(store: KnowledgeStoreDep) -> KnowledgeList:
    """Return every version that can answer, the one that does now among them."""
    return KnowledgeList(data=store.versions())


@router.post(
    "/v1/knowledge/refit",
    summary="Learn from all recorded runs and go live if that is not worse",
    responses=example(REFIT),
)
def learn(history: HistoryDep, store: KnowledgeStoreDep) -> RefitAnswer:
    """Fit beside the live version, compare on held-out datasets, and swap if it is not worse.

    Answers when that is done, in a minute at most; questions are answered all the while. One refit
    runs at a time: another request meanwhile gets 409.
    """
    return refit(history, store)


@router.post(
    "/v1/knowledge/{version}/activate",
    summary="Let a version of knowledge answer from now on",
    responses=example(KNOWLEDGE["data"][0]),
)
def activate(version: str, store: KnowledgeStoreDep) -> KnowledgeVersion:
    """Go back, or forward again, to a version that `GET /v1/knowledge` lists."""
    return store.activate(version)


@router.get(
    "/v1/knowledge/{version}/calibration",
    summary="Hold the forecasts of a version against what was true",
    responses=example(CALIBRATION),
)
def read_calibration(version: str, store: KnowledgeStoreDep) -> Calibration:
    """Return how forecasts of datasets that were left out hold, and how much intervals held."""
    return calibrate(store.get(version))
