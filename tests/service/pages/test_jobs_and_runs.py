"""Pages of jobs and of runs, what is shown where neither is, and what holds of every page."""

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from metadata.methods import FAMILIES, METHODS
from tests.service.pages.browsing import EXAMPLES, ask, chosen, jsonl, parse, train
from tests.service.pages.past_runs import make_run


def test_train_this_queues_a_job_and_shows_it(client: TestClient) -> None:
    address = train(client, ask(client, data=jsonl(EXAMPLES)))

    shown = client.get(address)
    page = parse(shown)
    assert "peftwise-tiny on weeks.jsonl" in page.find("h1")[0].text
    assert page.find("span", **{"class": "state state-waiting"})[0].text == "queued"
    assert page.find("meta", **{"http-equiv": "refresh"})  # inside noscript
    assert address in client.get("/jobs").text


def test_a_job_of_an_answer_tells_what_is_to_load_its_result(client: TestClient) -> None:
    answered = parse(ask(client, data=jsonl(EXAMPLES), serve_with="merged"))
    hidden = {name: answered.value(name) for name in ("recommendation_id", "rank", "model")}
    sent = {**hidden, "file_id": answered.value("file_id")}

    job = parse(client.post("/jobs", data=sent))

    assert "anything, as merged weights" in [one.text for one in job.find("dd")]


def test_preferences_are_asked_for_and_trained_with_dpo(client: TestClient) -> None:
    pairs = [
        {"prompt": f"{n} + 1 =", "chosen": f" {n + 1}", "rejected": f" {n}"} for n in range(20)
    ]

    answered = ask(client, data=jsonl(pairs))
    job_id = train(client, answered).rpartition("/")[2]

    assert "DPO, on preferences" in answered.text
    assert "No past run was trained with DPO" in answered.text
    assert client.get(f"/v1/fine_tuning/jobs/{job_id}").json()["method"]["type"] == "dpo"


def test_a_cancelled_job_says_so_and_asks_for_no_more_reloads(client: TestClient) -> None:
    address = train(client, ask(client, data=jsonl(EXAMPLES)))

    page = parse(client.post(f"{address}/cancel"))

    assert page.find("span", **{"class": "state state-warn"})[0].text == "cancelled"
    assert not page.find("meta", **{"http-equiv": "refresh"})
    assert not page.find("script")


def test_a_job_for_a_file_that_is_not_there_is_refused_in_a_page(client: TestClient) -> None:
    response = client.post(
        "/jobs",
        data={"model": "peftwise-tiny", "file_id": "file-0", "recommendation_id": "x", "rank": "1"},
    )

    assert response.status_code == 404
    assert "file-0" in parse(response).find("main")[0].text


def test_a_run_is_shown_with_its_curve_and_values(client: TestClient, app: FastAPI) -> None:
    app.state.services.history.add(make_run(500))

    page = parse(client.get("/runs/run-page-500"))

    assert page.find("h1")[0].text == "LoRA on weeks"
    assert len(page.find("circle")) == 5
    text = page.find("main")[0].text.replace("\N{NO-BREAK SPACE}", " ")
    for shown in ("0.800", "25 %", "21 s", "48 MiB", "4e-3", "peftwise-tiny"):
        assert shown in text


def test_runs_are_filtered_by_methods_grouped_by_family(client: TestClient) -> None:
    page = parse(client.get("/runs?method=dora"))

    groups = [one.attributes["label"] for one in page.find("optgroup")]
    values = {one.attributes.get("value") for one in page.find("option")}
    assert groups[0] == "Low rank"
    assert len(groups) == len(set(groups)) == len(FAMILIES)
    assert set(METHODS) <= values
    assert chosen(page, "f-method") == ["dora"]


@pytest.mark.parametrize("address", ["/runs/no-such-run", "/jobs/no-such-job", "/static/none.css"])
def test_what_is_not_there_is_a_page_in_plain_words(client: TestClient, address: str) -> None:
    response = client.get(address)

    assert response.status_code == 404
    assert parse(response).find("h1")[0].text == "Nothing is here"


@pytest.mark.parametrize("name", ["..%2Froutes.py", "%2Fetc%2Fpasswd", "..%5Croutes.py"])
def test_only_files_of_the_static_folder_are_sent(client: TestClient, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 404


def test_pages_hold_no_inline_code_and_load_nothing_from_elsewhere(
    client: TestClient, app: FastAPI
) -> None:
    app.state.services.history.add(make_run(900))
    answered = ask(client, data=jsonl(EXAMPLES))
    job = train(client, answered)
    pages = [answered, *(client.get(p) for p in ("/", "/runs", "/runs/run-page-900", "/jobs", job))]

    for response in pages:
        assert response.status_code == 200
        for element in parse(response).elements:
            assert element.tag != "style"
            assert element.tag != "script" or (element.attributes["src"] and not element.text)
            assert not [name for name in element.attributes if name.startswith("on")]
            assert "style" not in element.attributes
            for name in ("href", "src", "action"):
                assert (element.attributes.get(name) or "/").startswith(("/", "#"))


def test_every_link_of_every_page_leads_somewhere(client: TestClient, app: FastAPI) -> None:
    app.state.services.history.add(make_run(700))
    answered = ask(client, data=jsonl(EXAMPLES))
    train(client, answered)
    known, waiting = set(), ["/", *links(answered)]

    while waiting and len(known) < 60:
        address = waiting.pop()
        known.add(address)
        response = client.get(address)
        assert response.status_code == 200, address
        if response.headers["content-type"].startswith("text/html"):
            waiting += [link for link in links(response) if link not in known]


def links(response: httpx.Response) -> set[str]:
    found = (
        element.attributes.get(name)
        for element in parse(response).elements
        for name in ("href", "src")
    )
    return {link for link in found if link and link.startswith("/")}
