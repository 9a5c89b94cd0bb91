import io
import json
from collections.abc import Iterator
from html import escape

import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from metadata.notes import Notes
from metadata.records import Measurement
from service.app import create_app
from service.settings import Settings
from tests.service.pages.browsing import HOSTILE, Html, parse
from tests.service.pages.past_runs import make_run

ROWS = {"scope": "row"}


@pytest.fixture(scope="module")
def app(shared_settings: Settings) -> FastAPI:
    app = create_app(shared_settings)
    runs = [make_run(number, dataset="paged") for number in range(120)]
    app.state.services.history.add_many(iter(runs))
    return app


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


def rows(page: Html) -> list[str]:
    return [str(box.attributes["value"]) for box in page.find("input", type="checkbox", name="run")]


def link(page: Html, words: str) -> str:
    found = [one.attributes["href"] for one in page.find("a") if one.text == words]
    assert found, words
    return str(found[0])


def test_pages_go_on_and_back_again(client: TestClient) -> None:
    first = parse(client.get("/runs", params={"dataset": "paged"}))
    second = parse(client.get(link(first, "Next page")))
    third = parse(client.get(link(second, "Next page")))
    back = parse(client.get(link(third, "Previous page")))

    assert [len(rows(page)) for page in (first, second, third)] == [50, 50, 20]
    assert len({*rows(first), *rows(second), *rows(third)}) == 120
    assert rows(back) == rows(second)
    assert rows(parse(client.get(link(back, "Previous page")))) == rows(first)
    assert rows(parse(client.get(link(third, "To the first")))) == rows(first)
    assert not [one for one in third.find("a") if one.text == "Next page"]


def test_a_filter_finds_and_the_total_counts_it(client: TestClient) -> None:
    page = parse(client.get("/runs", params={"filter": "dataset_name = 'paged' or score > 99"}))

    assert page.find("p", **{"class": "found"})[0].text.split() == ["120", "runs"]
    assert page.value("filter") == "dataset_name = 'paged' or score > 99"


@pytest.mark.parametrize(
    ("text", "marked", "position"),
    [
        ("scor > 1", "scor", "1"),
        ("score > 1 and (rank = 8", " ", "24"),
        ("score > 1 && rank = 8", "&", "11"),
        ("score > 0.5 and method = lora", "lora", "26"),
        (f"method = '{HOSTILE}' andx", "andx", str(len(HOSTILE) + 13)),
    ],
)
def test_a_mistake_in_a_filter_is_marked_where_it_is(
    client: TestClient, text: str, marked: str, position: str
) -> None:
    response = client.get("/runs", params={"filter": text})

    page = parse(response)
    assert response.status_code == 422
    assert page.find("mark")[0].text == marked
    (field,) = page.find("input", name="filter")
    assert field.attributes["value"] == text
    assert field.attributes["data-position"] == position
    assert "aria-invalid" in field.attributes
    assert f"At character {position}" in page.find("div", role="alert")[0].text


@pytest.mark.parametrize(
    "query", ["state=sideways", "after=no-such-run", "sort=-beauty", "columns=score,beauty"]
)
def test_what_cannot_be_asked_is_told_above_the_form(client: TestClient, query: str) -> None:
    response = client.get(f"/runs?{query}")

    assert response.status_code == 422
    assert parse(response).find("div", role="alert")


def test_a_heading_sorts_and_sorts_the_other_way(client: TestClient) -> None:
    page = parse(client.get("/runs", params={"filter": "score is not null"}))
    down = parse(client.get(link(page, "Nats gained")))
    up = parse(client.get(link(down, "Nats gained")))

    scores = [
        [float(one.text.replace("\N{MINUS SIGN}", "-")) for one in columns(shown, 6)]
        for shown in (down, up)
    ]
    assert scores[0] == sorted(scores[0], reverse=True)
    assert scores[1] == sorted(scores[1])
    assert [one.attributes["aria-sort"] for one in down.find("th") if "aria-sort" in one.attributes]


def columns(page: Html, place: int) -> list[Html]:
    """Return the cells of one column: each row begins with its box."""
    cells = [one for one in page.elements if one.tag in {"td", "th"}]
    starts = [n for n, one in enumerate(cells) if one.attributes.get("class") == "tick-cell"][1:]
    return [cells[start + place] for start in starts]  # type: ignore[misc]


def test_columns_are_chosen_by_box_and_by_name(client: TestClient) -> None:
    page = parse(
        client.get(
            "/runs?dataset=paged&columns=method&columns=rank"
            "&other=configuration.method.lora_alpha,scores.exact_match"
        )
    )

    headings = [one.text for one in page.find("a", **{"class": "sort"})]
    assert headings == ["Method", "Rank", "Alpha", "Exact match"]
    assert [one.text.strip() for one in columns(page, 3)] == ["8"] * 50
    next_page = parse(client.get(link(page, "Next page")))
    assert [one.text for one in next_page.find("a", **{"class": "sort"})] == headings


def test_asking_again_with_the_same_boxes_keeps_the_order_of_columns(client: TestClient) -> None:
    page = parse(client.get("/runs"))
    headings = [one.text for one in page.find("a", **{"class": "sort"})]
    ticked = [
        one.attributes["value"]
        for one in page.find("input", type="checkbox", name="columns")
        if "checked" in one.attributes
    ]

    again = parse(client.get("/runs", params={"columns": ticked, "other": ""}))

    assert len(ticked) == len(headings)
    assert [one.text for one in again.find("a", **{"class": "sort"})] == headings
    assert "columns=" not in link(again, "Next page")


def test_a_download_has_the_runs_and_the_columns_of_the_view(client: TestClient) -> None:
    page = parse(
        client.get("/runs?filter=rank in (4, 8)&dataset=paged&columns=method,score&sort=-score")
    )

    lines = client.get(link(page, "CSV")).text.splitlines()
    assert lines[0] == "id,method,score"
    assert len(lines) == 121


def test_chosen_runs_stay_chosen_on_every_page(client: TestClient) -> None:
    page = parse(client.get("/runs?dataset=paged&chosen=run-page-119,run-page-003"))

    ticked = [
        box.attributes["value"]
        for box in page.find("input", type="checkbox", name="run")
        if "checked" in box.attributes
    ]
    elsewhere = [one.attributes["value"] for one in page.find("input", type="hidden", name="run")]
    assert ticked == ["run-page-119"]
    assert elsewhere == ["run-page-003"]


def test_a_comparison_shows_what_differs_and_all_on_demand(
    client: TestClient, app: FastAPI
) -> None:
    app.state.services.history.add(make_run(800, dataset="other", method="bitfit"))
    address = "/runs/compare?run=run-page-001&run=run-page-800"

    page = parse(client.get(address))
    names = [one.text for one in page.find("th", **ROWS)]
    assert {"Dataset", "Method", "Alpha"} <= set(names)
    assert "Epochs" not in names
    assert "Epochs" in client.get(link(page, "Show all values")).text


def test_curves_of_a_comparison_are_drawn_together_and_thinned(
    client: TestClient, app: FastAPI
) -> None:
    points = [
        Measurement(name="loss", step=step, value=5 / (1 + step), split="validation")
        for step in range(5_000)
    ]
    long = make_run(801, dataset="long").model_copy(update={"curve": tuple(points)})
    app.state.services.history.add(long)

    response = client.get("/runs/compare?run=run-page-801&run=run-page-001")

    figure = json.loads(parse(response).find("script", **{"data-plot": "curves"})[0].text)
    assert [len(trace["x"]) for trace in figure["traces"]] == [1_000, 5]
    assert figure["traces"][0]["x"][-1] == 4_999
    assert "1,000 points" in response.text


@pytest.mark.parametrize("count", [0, 1, 21])
def test_a_comparison_of_too_few_or_too_many_is_refused(client: TestClient, count: int) -> None:
    query = "&".join(f"run=run-page-{number:03}" for number in range(count))

    response = client.get(f"/runs/compare?{query}")

    assert response.status_code == 422
    assert f"got {count}" in response.text


def test_a_run_that_is_not_there_cannot_be_compared(client: TestClient) -> None:
    response = client.get("/runs/compare?run=run-page-001&run=nobody")

    assert response.status_code == 404
    assert "nobody" in response.text


def test_a_note_and_tags_are_kept_and_found(client: TestClient) -> None:
    said = {"note": f"Best so far\r\n{HOSTILE}", "tags": " keep, for  review ,keep"}

    page = parse(client.post("/runs/run-page-005/note", data=said))

    assert page.find("textarea", name="note")[0].text.strip() == f"Best so far\n{HOSTILE}"
    assert page.value("tags") == "for  review, keep"
    found = client.get("/runs", params={"filter": "tags = 'keep' and note like 'best%'"})
    assert rows(parse(found)) == ["run-page-005"]
    assert escape(HOSTILE, quote=False) in client.get("/runs/run-page-005").text.replace(
        "&#34;", '"'
    )


def test_a_tag_that_cannot_be_kept_is_shown_as_it_was_typed(client: TestClient) -> None:
    response = client.post("/runs/run-page-006/note", data={"note": "n", "tags": "x" * 101})

    page = parse(response)
    assert response.status_code == 422
    assert page.value("tags") == "x" * 101
    assert "1 to 100" in page.find("p", role="alert")[0].text


def test_archived_runs_are_out_of_sight_until_the_archive_is_undone(client: TestClient) -> None:
    asked = "filter=dataset_name = 'paged' and rank = 4&columns=score"
    before = rows(parse(client.get(f"/runs?{asked}")))
    data = {"run": before[:2], "view": asked}

    gone = parse(client.post("/runs/chosen/archive", data=data))
    assert not {*before[:2]} & {*rows(gone)}
    assert gone.value("filter") == "dataset_name = 'paged' and rank = 4"
    assert "2 runs were archived" in gone.find("form", role="status")[0].text
    seen = client.get("/runs", params={"filter": "archived = true"})
    assert rows(parse(seen)) == before[:2]

    undo = {"run": [str(x.attributes["value"]) for x in gone.find("input", name="run")][:2]}
    back = parse(client.post("/runs/chosen/restore", data=undo | {"view": asked}))
    assert rows(back) == before


def test_a_run_is_archived_and_taken_back_on_its_own_page(client: TestClient, app: FastAPI) -> None:
    archived = client.post("/runs/run-page-007/archive")
    assert Notes(app.state.services.engine).of("run-page-007").archived
    assert "Take back" in archived.text

    client.post("/runs/run-page-007/restore")
    assert not Notes(app.state.services.engine).of("run-page-007").archived


def test_nothing_is_archived_where_nothing_was_ticked(client: TestClient) -> None:
    assert client.post("/runs/chosen/archive", data={"view": ""}).status_code == 422


def test_an_undo_leads_only_to_the_table(client: TestClient) -> None:
    data = {"run": "run-page-008", "view": "x=1&//evil.example/&done=restored"}

    response = client.post("/runs/chosen/restore", data=data, follow_redirects=False)

    assert response.headers["location"].startswith("/runs?")


def test_a_deleted_run_is_gone_and_the_table_says_so(client: TestClient, app: FastAPI) -> None:
    app.state.services.history.add(make_run(810))

    page = client.post("/runs/run-page-810/delete")

    assert "deleted for good" in page.text
    assert client.get("/runs/run-page-810").status_code == 404
    assert client.post("/runs/run-page-810/delete").status_code == 404


def test_a_download_as_parquet_has_the_view_and_whole_runs_are_runs(client: TestClient) -> None:
    page = parse(client.get("/runs?dataset=paged&columns=method,score&sort=-score"))

    table = pq.read_table(io.BytesIO(client.get(link(page, "Parquet")).content))
    whole = pq.read_table(io.BytesIO(client.get(link(page, "whole runs")).content))

    assert table.column_names == ["id", "method", "score"]
    assert table.num_rows == whole.num_rows == 120
    assert "curve" in whole.column_names
