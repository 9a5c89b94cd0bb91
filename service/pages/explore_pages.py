"""The charts of past runs: whatever the filter finds, drawn in some ways."""

from dataclasses import replace

from fastapi import Request
from fastapi.responses import HTMLResponse

from metadata.errors import InvalidRequest, NotFound
from service.dependencies import BrowserDep, ServicesDep
from service.errors import status_of
from service.pages import run_contexts, urls
from service.pages.filter_view import filter_form, filter_problem, tabs
from service.pages.page_route import page_router
from service.pages.plots import CHARTS
from service.pages.plots.spec import Chart, Drawn, Question
from service.pages.rendering import respond
from service.pages.run_query import Asked, AskedDep, check_state
from service.security import CHART_HEADERS

router = page_router()


@router.get("/runs/explore/{name}")
def explore(
    name: str, asked: AskedDep, browser: BrowserDep, services: ServicesDep, request: Request
) -> HTMLResponse:
    """Draw the runs that the filter finds; one that cannot be read is shown with its mistake."""
    chart = CHARTS.get(name)
    if chart is None:
        raise NotFound(f"There is no chart {name[:40]!r}. There are {', '.join(CHARTS)}.")
    chosen = {key: request.query_params.get(key, "") for key in chart.choices}
    question = Question(services=services, browser=browser, view=asked.view, chosen=chosen)
    try:
        check_state(asked.state)
        page = _page(chart, asked, chart.draw(question))
    except InvalidRequest as error:
        problem = filter_problem(error, asked)
        page = replace(
            _page(chart, asked, _as_typed(chart, question)),
            form=filter_form(asked, urls.explore(chart.name), problem=problem),
        )
        return respond(page, status=status_of(error), headers=CHART_HEADERS)
    return respond(page, headers=CHART_HEADERS)


def _page(chart: Chart, asked: Asked, drawn: Drawn) -> run_contexts.ExplorePage:
    query = asked.from_the_start()
    return run_contexts.ExplorePage(
        title="Past runs",
        lead=chart.lead,
        tabs=tabs(asked, is_table=False),
        charts=tuple(
            run_contexts.Tab(
                title=one.title,
                link=urls.explore(one.name, query),
                is_current=one.name == chart.name,
            )
            for one in CHARTS.values()
        ),
        form=filter_form(asked, urls.explore(chart.name)),
        selects=drawn.selects,
        figures=drawn.figures,
        plots=drawn.plots,
    )


def _as_typed(chart: Chart, question: Question) -> Drawn:
    """Return no figures, and what was chosen as it was typed."""
    selects = tuple(
        run_contexts.Select(
            name=name,
            label=name.capitalize(),
            value=question.choice(name, ""),
            options=(),
            is_open=True,
        )
        for name in chart.choices
        if question.choice(name, "")
    )
    return Drawn(plots=(), selects=selects)
