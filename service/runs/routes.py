"""The history of runs: what every answer is learnt from."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from metadata.history import LARGEST_PAGE
from service.dependencies import HistoryDep
from service.jobs.examples import CONFIGURATION
from service.openapi import PROBLEMS, example
from service.runs.schemas import Curve, RunAnswer, RunList, run_answer

router = APIRouter(prefix="/v1/runs", tags=["runs"], responses=PROBLEMS)

_ID = "run-0a1b2c3d4e5f60718293a4b5"
_POINT = {"name": "loss", "step": 20, "value": 2.31, "split": "validation"}
_RUN: dict[str, Any] = {
    "id": _ID,
    "object": "run",
    "created_at": "2026-01-01T00:00:41Z",
    "state": "succeeded",
    "reason": "",
    "score": 0.81,
    "configuration": CONFIGURATION,
    "scores": {"base_loss": 3.1, "best_loss": 2.29, "last_loss": 2.3, "exact_match": 0.4},
    "core": False,
    "versions": {"torch": "2.13.0"},
    "origin": {"source": "worker", "detail": "ftjob-0a1b2c3d4e5f60718293a4b5"},
    "curve": [_POINT],
}
_Text = Annotated[str | None, Query(max_length=200)]


@router.get(
    "",
    summary="List runs",
    responses=example({"object": "list", "data": [_RUN], "has_more": False, "last_id": _ID}),
)
def list_runs(
    history: HistoryDep,
    limit: Annotated[int, Query(description=f"1 to {LARGEST_PAGE:,}")] = 20,
    after: Annotated[_Text, Query(description="last_id of the page before")] = None,
    sort: Annotated[str, Query(max_length=200, examples=["-score"])] = "-created_at",
    state: _Text = None,
    method: _Text = None,
    model: _Text = None,
    dataset: _Text = None,
) -> RunList:
    """Return a page of runs without curves; a leading `-` sorts the largest first."""
    filters = {"state": state, "method": method, "model": model, "dataset": dataset}
    page = history.page(limit=limit, after=after, sort=sort, **filters)
    return RunList(
        data=[run_answer(run) for run in page.runs],
        has_more=page.has_more,
        last_id=page.last_id,
    )


@router.get("/{run_id}", summary="Read a run", responses=example(_RUN))
def read(run_id: str, history: HistoryDep) -> RunAnswer:
    """Return a run with its curve."""
    return run_answer(history.get(run_id))


@router.get(
    "/{run_id}/curve",
    summary="Read the learning curve of a run",
    responses=example(
        {"object": "list", "run_id": _ID, "data": [_POINT], "has_more": False, "last_id": None}
    ),
)
def read_curve(run_id: str, history: HistoryDep) -> Curve:
    """Return the curve in the order it was measured."""
    return Curve(run_id=run_id, data=history.curve(run_id))
