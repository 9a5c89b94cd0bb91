"""The history of runs: what every answer is learnt from."""

from collections.abc import Mapping
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from metadata.browsing import NEWEST, View
from metadata.errors import InvalidRequest, NotFound
from metadata.history import LARGEST_PAGE
from metadata.looking import differing, picked, thinned, unbeaten
from metadata.query import field_of, known_fields
from metadata.records import Run, RunState
from service.dependencies import BrowserDep, HistoryDep
from service.jobs.examples import CONFIGURATION
from service.openapi import PROBLEMS, example
from service.runs.exporting import csv_lines
from service.runs.schemas import (
    Comparison,
    Curve,
    FieldAnswer,
    FieldList,
    ParetoFront,
    ParetoPoint,
    RunAnswer,
    RunList,
    run_answer,
)

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
_FIELDS = example(
    {"object": "list", "data": [{"name": "score", "kind": "number"}], "has_more": False}
)
_CURVE = {"object": "list", "run_id": _ID, "data": [_POINT], "has_more": False, "last_id": None}
_COMPARISON = {
    "object": "comparison",
    "ids": [_ID, "run-1"],
    "same": {"method": "lora"},
    "differs": {"rank": [8, 16]},
    "curves": [_CURVE],
}
_PARETO = {
    "object": "list",
    "cost": "train_seconds",
    "gain": "score",
    "data": [{"id": _ID, "cost": 12.5, "gain": 0.81}],
    "has_more": False,
}
MOST_COMPARED = 20
_Text = Annotated[str | None, Query(max_length=200)]
_Filter = Annotated[
    str,
    Query(
        alias="filter",
        max_length=4_000,
        description="which runs: and, or, not, in, between, like, is null, over every field",
        examples=["method = 'lora' and (score > 0.5 or train_seconds < 60)"],
    ),
]
_Sort = Annotated[str, Query(max_length=200, examples=["-score"])]
_Names = Annotated[str | None, Query(max_length=2_000, description="fields, by commas")]


@router.get(
    "",
    summary="List runs",
    responses=example({"object": "list", "data": [_RUN], "has_more": False, "last_id": _ID}),
)
def list_runs(
    browser: BrowserDep,
    where: _Filter = "",
    sort: _Sort = NEWEST,
    limit: Annotated[int, Query(description=f"1 to {LARGEST_PAGE:,}")] = 20,
    after: Annotated[_Text, Query(description="last_id of the page before")] = None,
    fields: _Names = None,
    with_total: Annotated[bool, Query(description="count all that the filter finds")] = False,
    state: RunState | None = None,
    method: _Text = None,
    model: _Text = None,
    dataset: _Text = None,
) -> RunList:
    """Return a page of runs without curves; a leading `-` sorts the largest first.

    `fields` leaves all but the named ones out. `state`, `method`, `model` and `dataset` are short
    for an `=` in the filter.
    """
    short = {"state": state, "method": method, "model_id": model, "dataset_name": dataset}
    view = View(filter=where, also=equal_to(short), sort=sort)
    page = browser.page(view, limit=limit, after=after)
    return RunList(
        data=[_answer(run, names_of(fields)) for run in page.runs],
        has_more=page.has_more,
        last_id=page.last_id,
        total=browser.count(view) if with_total else None,
    )


@router.get("/fields", summary="List what runs can be filtered and sorted by", responses=_FIELDS)
def list_fields() -> FieldList:
    """Return the fields of fixed name; values of a method follow `configuration.method.`."""
    return FieldList(data=[FieldAnswer(name=f.name, kind=f.kind) for f in known_fields().values()])


@router.get("/compare", summary="Compare some runs", responses=example(_COMPARISON))
def compare(
    browser: BrowserDep,
    history: HistoryDep,
    ids: Annotated[str, Query(max_length=4_000, description=f"2 to {MOST_COMPARED}, by commas")],
) -> Comparison:
    """Return what the runs share, what differs, and their curves, of at most 1,000 points each."""
    asked = list(dict.fromkeys(names_of(ids) or []))
    if not 2 <= len(asked) <= MOST_COMPARED:
        raise InvalidRequest(
            f"ids must name 2 to {MOST_COMPARED} runs, got {len(asked)}. Choose others.",
            param="ids",
        )
    runs = browser.some(asked)
    missing = sorted(set(asked) - {run.id for run in runs})
    if missing:
        raise NotFound(f"No run has the id {missing[0][:80]!r}. List the runs.", param="ids")
    same, differs = differing(runs)
    curves = [Curve(run_id=run.id, data=thinned(history.curve(run.id))) for run in runs]
    return Comparison(ids=[run.id for run in runs], same=same, differs=differs, curves=curves)


@router.get("/pareto", summary="List the runs that none beats", responses=example(_PARETO))
def pareto(
    browser: BrowserDep,
    where: _Filter = "",
    cost: Annotated[str, Query(max_length=200, description="the smaller the better")] = (
        "train_seconds"
    ),
    gain: Annotated[str, Query(max_length=200, description="the larger the better")] = "score",
) -> ParetoFront:
    """Return the front of cost against gain: cheaper runs than these gain less."""
    points = list(browser.columns(View(filter=where), [cost, gain]))
    kept = set(unbeaten(points))
    front = sorted((point for point in points if point[0] in kept), key=lambda point: point[1])
    data = [ParetoPoint(id=name, cost=one, gain=other) for name, one, other in front]
    return ParetoFront(cost=cost, gain=gain, data=data)


@router.get(
    "/export",
    summary="Download runs",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {"example": "id,score\n"}}}},
)
def export(
    browser: BrowserDep,
    where: _Filter = "",
    sort: _Sort = NEWEST,
    fields: _Names = None,
) -> StreamingResponse:
    """Send all runs of a filter as CSV, every field or those named, some hundred at a time."""
    names = names_of(fields) or list(known_fields())
    for name in names:
        field_of(name, param="fields")  # before the first byte is sent
    lines = csv_lines(browser.stream(View(filter=where, sort=sort)), names)
    first = next(lines)  # read before the answer begins, which could not tell of an error later
    headers = {"Content-Disposition": 'attachment; filename="runs.csv"'}
    return StreamingResponse(chain([first], lines), media_type="text/csv", headers=headers)


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


def equal_to(values: Mapping[str, str | None]) -> str:
    """Return a filter for what was said in short."""
    given = {name: value for name, value in values.items() if value is not None}
    return " and ".join(
        f"{name} = '{value.replace(chr(39), 2 * chr(39))}'" for name, value in given.items()
    )


def names_of(text: str | None) -> list[str] | None:
    """Return names that commas part, None where there are none."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    return names or None


def _answer(run: Run, names: list[str] | None) -> RunAnswer | dict[str, Any]:
    return run_answer(run) if names is None else picked(run, names)
