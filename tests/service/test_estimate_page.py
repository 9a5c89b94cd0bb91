import json
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from starlette.testclient import TestClient as Starlette

from service.app import create_app
from service.settings import Settings

HOSTILE = '<img src=x onerror="alert(1)">'
CONFIGURATION = {
    "method": {"name": "lora", "r": 8, "lora_alpha": 16, "lora_dropout": 0.0},
    "optimizer": {"name": "adamw", "learning_rate": 2e-4},
    "batch_size": 8,
}
EXAMPLES = "".join(
    json.dumps({"prompt": f"How many days are {n} weeks?", "completion": f"{7 * n} days"}) + "\n"
    for n in range(60)
)


@pytest.fixture(scope="module")
def page_client(shared_settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(shared_settings), base_url="http://127.0.0.1") as client:
        yield client


def ask(client: Starlette, *, name: str = "weeks.jsonl", **fields: str) -> Response:
    """Post the form as a browser does."""
    usual = {"model": "meta-llama/Llama-3.2-3B", "device": "NVIDIA L40S", "count": "1"}
    parts = {k: (None, v) for k, v in {**usual, **fields}.items()}
    file = (name, EXAMPLES.encode(), "application/octet-stream")
    answer: Response = client.post("/estimate", files={**parts, "file": file})
    return answer


def test_the_form_is_there_and_the_bar_leads_to_it(page_client: TestClient) -> None:
    page = page_client.get("/estimate").text

    assert '<a href="/estimate" aria-current="page">Estimate</a>' in page
    assert 'action="/estimate"' in page
    for name in ("model", "file", "device", "memory_gib", "configuration"):
        assert f'for="{name}"' in page


def test_an_answer_shows_picture_advice_and_configuration(page_client: TestClient) -> None:
    answer = ask(page_client, configuration=json.dumps(CONFIGURATION))

    assert answer.status_code == 200
    assert "It fits: " in answer.text
    assert '<svg xmlns="http://www.w3.org/2000/svg" class="memory"' in answer.text
    assert "The peak of one step, " in answer.text
    assert "as you gave it" in answer.text
    assert "<script" not in answer.text
    assert "<style" not in answer.text


def test_without_a_configuration_the_recommender_chooses(page_client: TestClient) -> None:
    answer = ask(page_client)

    assert answer.status_code == 200
    assert "the recommender&#39;s first" in answer.text


def test_what_does_not_fit_is_the_headline(page_client: TestClient) -> None:
    answer = ask(page_client, configuration=json.dumps(CONFIGURATION), memory_gib="3")

    assert '<h1 id="headline">It does not fit: memory may reach ' in answer.text


@pytest.mark.parametrize(
    ("configuration", "says"),
    [
        ("{", "The configuration must be JSON: "),
        ("[]", "configuration"),
        ('{"optimizer": {"name": "adamw"}}', "`configuration.method` is missing."),
        ('{"method": {"name": "lora"}, "optimizer": {"name": "adamw"}}', "lora needs a value for"),
        (json.dumps({**CONFIGURATION, "batch_size": 0}), "greater than or equal to 1, got 0"),
    ],
)
def test_a_configuration_that_cannot_be_is_marked_and_stays(
    page_client: TestClient, configuration: str, says: str
) -> None:
    answer = ask(page_client, configuration=configuration)

    assert answer.status_code == 422
    assert says in answer.text
    field = answer.text.partition('<textarea id="configuration"')[2].partition("</textarea>")[0]
    assert 'aria-invalid="true"' in field.replace("&#34;", '"')
    assert "weeks.jsonl" in answer.text


@pytest.mark.parametrize("field", ["model", "device", "configuration", "memory_gib"])
def test_hostile_text_stays_text(page_client: TestClient, field: str) -> None:
    answer = ask(page_client, **{field: HOSTILE})

    assert answer.status_code in {404, 422}
    assert "<img src=x" not in answer.text


def test_a_hostile_file_name_stays_text(page_client: TestClient) -> None:
    answer = ask(page_client, name=HOSTILE, configuration=json.dumps(CONFIGURATION))

    assert answer.status_code == 200
    assert "<img src=x" not in answer.text


def test_the_sample_fills_the_form(page_client: TestClient) -> None:
    answer = page_client.post("/estimate", data={"action": "sample", "configuration": "{}"})

    assert answer.status_code == 200
    assert "peftwise-tiny" in answer.text
    assert "&#34;completion&#34;" in answer.text


def test_the_style_of_the_picture_is_served(page_client: TestClient) -> None:
    style = page_client.get("/static/memory.css")

    assert style.status_code == 200
    assert "prefers-color-scheme: dark" in style.text
