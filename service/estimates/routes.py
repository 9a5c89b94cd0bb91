"""Estimate a run before anything is spent, beside the jobs that would run it."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Body

from service.dependencies import ServicesDep
from service.estimates.estimate import estimate
from service.estimates.examples import ESTIMATE, QUESTIONS
from service.estimates.schemas import EstimateAnswer, EstimateRequest
from service.openapi import OPENAI_ERRORS, example

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["jobs"], responses=OPENAI_ERRORS)


@router.post(
    "/estimate",
    summary="Tell time, memory and money of a run before it starts",
    responses=example(ESTIMATE),
)
def ask(
    request: Annotated[EstimateRequest, Body(openapi_examples=QUESTIONS)], services: ServicesDep
) -> EstimateAnswer:
    """Answer what a configuration, a recommendation or the recommender's first would need.

    Micro-batch, accumulation and gradient checkpointing are those that fit with the least time.
    The run fits where the upper ends of its forecasts are within memory and budget.
    """
    return estimate(
        request,
        services.knowledge.current,
        recommendations=services.recommendations,
        now=services.now(),
        find_profile=services.files.profile,
        known_model=partial(services.models.find, param="base_model.id"),
        known_device=services.devices.find,
    )
