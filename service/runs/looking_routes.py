"""What runs show together: compared, the front, seeds, knobs, failures, coverage, forecasts."""

from typing import Annotated

from fastapi import APIRouter, Query

from metadata.browsing import View
from metadata.errors import InvalidRequest, NotFound
from metadata.showing.coverage import coverage
from metadata.showing.failures import failures
from metadata.showing.importance import importance
from metadata.showing.repeats import repeated
from metadata.showing.together import differing, thinned
from service.dependencies import BrowserDep, HistoryDep, ServicesDep
from service.openapi import PROBLEMS, example
from service.runs import examples
from service.runs.looking_schemas import (
    ComparedAnswer,
    CoverageAnswer,
    FailureList,
    FailureReason,
    HeldAnswer,
    ImportanceAnswer,
    ImportanceList,
    KnobCovered,
    KnobImportance,
    MethodTried,
    PredictedList,
    PredictedRun,
    SeedGroup,
    SeedList,
    Tried,
    plain,
)
from service.runs.parameters import Filter, names_of
from service.runs.predicted import Predicted, held, predicted
from service.runs.schemas import Comparison, Curve, ParetoFront, ParetoPoint

MOST_COMPARED = 20
router = APIRouter(prefix="/v1/runs", tags=["runs"], responses=PROBLEMS)
Limit = Annotated[int, Query(ge=1, le=1000, description="of those listed")]


@router.get("/compare", summary="Compare some runs", responses=example(examples.COMPARISON))
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


@router.get("/pareto", summary="List the runs that none beats", responses=example(examples.PARETO))
def pareto(
    browser: BrowserDep,
    where: Filter = "",
    cost: Annotated[str, Query(max_length=200, description="the smaller the better")] = (
        "train_seconds"
    ),
    gain: Annotated[str, Query(max_length=200, description="the larger the better")] = "score",
) -> ParetoFront:
    """Return the front of cost against gain: cheaper runs than these gain less."""
    front = browser.front(View(filter=where), cost=cost, gain=gain)
    data = [ParetoPoint(id=name, cost=one, gain=other) for name, one, other in front]
    return ParetoFront(cost=cost, gain=gain, data=data)


@router.get("/seeds", summary="Group repeated runs", responses=example(examples.SEEDS))
def list_seeds(browser: BrowserDep, where: Filter = "", limit: Limit = 100) -> SeedList:
    """Return configurations that were run again on the same task, with mean and spread.

    What differs between such runs is the seed: scores nearer than the noise are not told apart.
    """
    found = repeated(browser, View(filter=where))
    return SeedList(
        data=[SeedGroup.model_validate(plain(one)) for one in found.groups[:limit]],
        has_more=len(found.groups) > limit,
        groups=len(found.groups),
        runs=found.runs,
        noise=found.noise,
        degrees_of_freedom=found.degrees_of_freedom,
    )


@router.get("/importance", summary="Weigh the knobs", responses=example(examples.IMPORTANCE))
def weigh_knobs(
    browser: BrowserDep,
    where: Filter = "",
    by_dataset: Annotated[bool, Query(description="each dataset's own too")] = False,
) -> ImportanceList:
    """Return by how much forecasts of the score get worse without each knob; takes seconds.

    Few runs say little: `explained` and `advice` tell how much to believe.
    """
    found = importance(browser, View(filter=where), by_dataset=by_dataset)
    data = [
        ImportanceAnswer(
            **(plain(one) | {"knobs": [KnobImportance(**plain(knob)) for knob in one.knobs]})
        )
        for one in found
    ]
    return ImportanceList(data=data)


@router.get("/failures", summary="Count failures", responses=example(examples.FAILURES))
def count_failures(browser: BrowserDep, where: Filter = "") -> FailureList:
    """Return why runs failed, the most frequent reason first, and how often each method did."""
    found = failures(browser, View(filter=where))
    return FailureList(
        data=[FailureReason(**plain(one)) for one in found.reasons],
        runs=found.runs,
        failed=found.failed,
        methods={
            name: Tried(failed=failed, runs=runs)
            for name, (failed, runs) in found.failed_by_method.items()
        },
    )


@router.get("/coverage", summary="Show what was tried", responses=example(examples.COVERAGE))
def show_coverage(browser: BrowserDep, where: Filter = "") -> CoverageAnswer:
    """Return each knob's values seen against its range in the space, and methods never tried."""
    found = coverage(browser, View(filter=where))
    return CoverageAnswer(
        runs=found.runs,
        knobs=[KnobCovered.model_validate(plain(knob)) for knob in found.knobs],
        methods={name: MethodTried(**plain(one)) for name, one in found.methods.items()},
        untried_methods=list(found.untried_methods),
    )


@router.get(
    "/predicted", summary="Hold forecasts against runs", responses=example(examples.PREDICTED)
)
def list_predicted(services: ServicesDep, where: Filter = "", limit: Limit = 100) -> PredictedList:
    """Return every run of a recommended configuration with its forecast and what it came to."""
    found = predicted(services.engine, View(filter=where))
    return PredictedList(
        data=[_predicted_run(one) for one in found[:limit]],
        has_more=len(found) > limit,
        runs=len(found),
        held={name: HeldAnswer(**plain(one)) for name, one in held(found).items()},
    )


def _predicted_run(one: Predicted) -> PredictedRun:
    quantities = {
        name: ComparedAnswer(**plain(compared), inside=compared.is_inside)
        for name, compared in one.quantities.items()
    }
    return PredictedRun(**(plain(one) | {"quantities": quantities}))
