import json
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import update

from metadata.database import write_session
from metadata.records import Run
from service.app import create_app
from service.pages.plots import CHARTS, figures, importance
from service.settings import Settings
from service.tables import JobRow
from tests.service.pages.browsing import EXAMPLES, Html, ask, jsonl, parse, train
from tests.service.pages.past_runs import make_run

ROWS = {"scope": "row"}
OF_TWO = "dataset_name in ('rte-40', 'sst2-40')"


@pytest.fixture(scope="module")
def app(shared_settings: Settings) -> FastAPI:
    app = create_app(shared_settings)
    app.state.services.history.add_many(make_run(n, dataset="paged") for n in range(120))
    return app


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


def figure_of(page: Html, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.find("script", **{"data-plot": name})[0].text)
    return found


def changed(run: Run, run_id: str, *, seconds: float = 21.0, loss: float = 2.2, **more: Any) -> Run:
    assert run.costs is not None
    assert run.scores is not None
    return run.model_copy(
        update={
            "id": run_id,
            "costs": run.costs.model_copy(update={"train_seconds": seconds}),
            "scores": run.scores.model_copy(update={"best_loss": loss}),
            **more,
        }
    )


def test_the_front_is_what_no_cheaper_run_equals(client: TestClient, app: FastAPI) -> None:
    base = make_run(0, dataset="front")
    for number, (seconds, loss) in enumerate([(1.0, 2.0), (2.0, 2.5), (3.0, 1.0), (4.0, 1.0)]):
        run = changed(base, f"front-{number}", seconds=seconds, loss=loss)
        app.state.services.history.add(run)

    page = parse(client.get("/runs/explore/pareto?dataset=front"))

    figure = json.loads(page.find("script", **{"data-plot": "pareto"})[0].text)
    beaten, best = figure["traces"]
    assert best["customdata"] == ["front-0", "front-2"]
    assert sorted(beaten["customdata"]) == ["front-1", "front-3"]
    assert len(page.find("th", **ROWS)) == 2


@pytest.mark.parametrize(
    "query",
    [
        "cost=method",
        "gain=nothing",
        "filter=scor > 1",
        "filter=score > ",
        "state=sideways",
    ],
)
def test_a_chart_that_cannot_be_drawn_says_why(client: TestClient, query: str) -> None:
    response = client.get(f"/runs/explore/pareto?{query}")

    assert response.status_code == 422
    assert parse(response).find("div", role="alert")


@pytest.mark.parametrize("axes", ["score", "beauty, score", ", ".join(["rank"] * 3)])
def test_axes_that_cannot_be_drawn_are_told(client: TestClient, axes: str) -> None:
    response = client.get("/runs/explore/parallel", params={"axes": axes})

    assert response.status_code == 422
    assert parse(response).value("axes") == axes


def test_parallel_lines_take_numbers_texts_and_what_is_missing(client: TestClient) -> None:
    query = {"dataset": "paged", "axes": "method, rank, model_id, configuration.method.lora_alpha"}

    page = parse(client.get("/runs/explore/parallel", params=query))

    figure = json.loads(page.find("script", **{"data-plot": "parallel"})[0].text)
    ids = {one for trace in figure["traces"] for one in trace["customdata"] if one}
    assert len(ids) == 120
    titles = figure["layout"]["xaxis"]["ticktext"]
    assert titles == ["Method", "Rank", "Model", "Alpha", "Nats gained"]


def test_names_in_a_figure_stay_texts(client: TestClient, app: FastAPI) -> None:
    hostile = "</script><img src=x onerror=alert(1)> {{ 7 * 7 }} %{x}"
    app.state.services.history.add(make_run(802, dataset=hostile))

    for chart in ("pareto", "parallel"):
        response = client.get(f"/runs/explore/{chart}", params={"dataset": hostile})
        page = parse(response)
        assert not page.find("img", src="x")
        figure = json.loads(page.find("script", **{"data-plot": chart})[0].text)
        words = [str(word) for trace in figure["traces"] for word in trace["text"] if word]
        assert words
        assert not [word for word in words if "<img" in word]


def test_the_script_of_the_charts_is_compressed_once_and_never_changes(
    client: TestClient,
) -> None:
    page = parse(client.get("/runs/explore/pareto"))
    (address,) = [
        str(one.attributes["src"])
        for one in page.find("script")
        if "plotly" in str(one.attributes.get("src"))
    ]

    packed = client.get(address, headers={"Accept-Encoding": "gzip"})
    plain = client.get(address, headers={"Accept-Encoding": "identity"})

    assert version("plotly") in address
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < 1_700_000
    assert "immutable" in packed.headers["cache-control"]
    assert packed.content == plain.content
    assert client.get("/static/plotly/0.0.0/plotly.min.js").status_code == 404


def test_only_pages_with_charts_may_style_inline(client: TestClient) -> None:
    charts = client.get("/runs/explore/pareto").headers["content-security-policy"]
    table = client.get("/runs").headers["content-security-policy"]

    assert "style-src 'self' 'unsafe-inline'" in charts
    assert "img-src 'self' data: blob:" in charts
    assert "unsafe-inline" not in table
    assert "frame-ancestors 'none'" in charts


def test_there_is_no_other_chart(client: TestClient) -> None:
    response = client.get("/runs/explore/beauty")

    assert response.status_code == 404
    assert "pareto" in response.text


@pytest.mark.parametrize("chart", CHARTS)
def test_every_chart_of_no_runs_says_that_there_is_nothing(client: TestClient, chart: str) -> None:
    response = client.get(f"/runs/explore/{chart}?dataset=nowhere")

    page = parse(response)
    assert response.status_code == 200
    assert not page.find("script", type="application/json")
    assert page.find("p", **{"class": "hint"})


@pytest.mark.parametrize("chart", CHARTS)
def test_every_chart_of_all_runs_is_drawn_and_told_as_a_table(
    client: TestClient, chart: str
) -> None:
    few = "?dataset=trec_qc-40" if chart == "knobs" else ""  # of all runs it takes a minute
    response = client.get(f"/runs/explore/{chart}{few}")

    page = parse(response)
    assert response.status_code == 200
    assert [one.text for one in page.find("a", **{"aria-current": "page"})][-1] == (
        CHARTS[chart].title
    )
    if chart != "predicted":  # no recommended configuration was run
        figures_ = page.find("script", type="application/json")
        assert figures_
        assert len(page.find("th", **ROWS)) >= len(figures_)


def test_repeated_seeds_show_their_mean_and_range(client: TestClient, app: FastAPI) -> None:
    base = make_run(0, dataset="again")
    for seed, loss in enumerate((2.0, 2.2, 2.4)):
        again = base.configuration.model_copy(update={"seed": seed})
        run = changed(base, f"again-{seed}", loss=loss, configuration=again)
        app.state.services.history.add(run)

    page = parse(client.get("/runs/explore/repeats?dataset=again"))

    (trace,) = figure_of(page, "repeats")["traces"]
    assert trace["x"] == pytest.approx([0.8])
    assert trace["error_x"]["array"] == pytest.approx([0.2])
    assert trace["error_x"]["arrayminus"] == pytest.approx([0.2])
    runs = client.get(str(page.find("th", **ROWS)[0].attributes.get("href") or links_of(page)[0]))
    assert runs.status_code == 200
    assert runs.text.count("again-") >= 3


def links_of(page: Html) -> list[str]:
    """Return the links to filtered tables."""
    found = [str(one.attributes.get("href")) for one in page.find("a")]
    return [one for one in found if one.startswith("/runs?filter=")]


def test_failures_are_counted_by_reason_and_method(client: TestClient, app: FastAPI) -> None:
    for number in range(4):
        run = make_run(number, dataset="broken", method="bitfit" if number else "lora")
        failed = run.model_copy(
            update={
                "id": f"broken-{number}",
                "state": "out_of_memory" if number else "succeeded",
                "reason": f"Needed {number * 7} MiB" if number else "",
            }
        )
        app.state.services.history.add(failed)

    page = parse(client.get("/runs/explore/failures?dataset=broken"))

    assert figure_of(page, "reasons")["traces"][0]["x"] == [3]
    assert figure_of(page, "reasons")["traces"][0]["text"] == ["out of memory: Needed # MiB"]
    assert figure_of(page, "methods")["traces"][0]["x"] == [100.0]


def test_a_forecast_stands_beside_what_its_run_came_to(client: TestClient, app: FastAPI) -> None:
    address = train(client, ask(client, data=jsonl(EXAMPLES)))
    app.state.services.history.add(changed(make_run(0), "run-forecast", seconds=33.0))
    job_id = address.rpartition("/")[2]
    with write_session(app.state.services.engine) as session:
        known = update(JobRow).where(JobRow.id == job_id).values(run_id="run-forecast")
        session.execute(known)

    page = parse(client.get("/runs/explore/predicted?filter=id = 'run-forecast'"))

    diagonal, runs = figure_of(page, "predicted-train-seconds")["traces"]
    assert runs["y"] == [33.0]
    assert runs["customdata"] == ["run-forecast"]
    assert runs["x"][0] > 0
    assert diagonal["x"] == diagonal["y"]


def test_coverage_places_what_was_tried_in_its_range(client: TestClient) -> None:
    page = parse(client.get("/runs/explore/coverage?dataset=paged"))

    whole, seen = figure_of(page, "ranges")["traces"]
    assert len(whole["x"]) == len(seen["x"]) == len(seen["base"])
    ends = [start + size for start, size in zip(seen["base"], seen["x"], strict=True)]
    assert all(0 <= start <= end <= 101 for start, end in zip(seen["base"], ends, strict=True))
    assert figure_of(page, "tried")["traces"][0]["x"] == [120]


def test_too_few_runs_for_importance_are_told_in_the_place_of_the_chart(
    client: TestClient,
) -> None:
    response = client.get("/runs/explore/knobs?dataset=paged")

    assert response.status_code == 200
    assert "needs 30 scored runs" in response.text


def test_very_many_runs_are_weighed_only_when_asked_for(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importance, "QUICK_RUNS", 100)

    waits = client.get("/runs/explore/knobs")
    asked = client.get("/runs/explore/knobs?datasets=together")

    assert "can take a minute" in waits.text
    assert not parse(waits).find("script", type="application/json")
    assert figure_of(parse(asked), "knobs")


def test_each_dataset_has_its_own_importance(client: TestClient) -> None:
    page = parse(client.get(f"/runs/explore/knobs?datasets=each&filter={OF_TWO}"))

    heatmap = figure_of(page, "apart")["traces"][0]
    assert len(heatmap["z"]) == len(heatmap["y"])
    assert {len(row) for row in heatmap["z"]} == {len(heatmap["x"])}
    assert len(heatmap["x"]) >= 3


def test_rows_are_drawn_at_random_and_the_same_each_time() -> None:
    first, count = figures.drawn(iter(range(10_000)), 100)
    again, _ = figures.drawn(iter(range(10_000)), 100)

    assert count == 10_000
    assert first == again
    assert len(set(first)) == 100
    assert 3_500 < sum(first) / 100 < 6_500  # a mean of 5,000 with a standard error of 289
    assert figures.drawn([1, 2], 100) == ([1, 2], 2)


def test_texts_of_figures_are_escaped_shortened_and_on_one_line() -> None:
    shown = figures.text("<b>a&b</b>\n" + "x" * 100, longest=20)

    assert shown == "&lt;b&gt;a&amp;b&lt;/b&gt; xxxxxxxx\N{HORIZONTAL ELLIPSIS}"
