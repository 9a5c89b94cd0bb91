"""The form of the first page: what it asks for, what it answers, what it refuses and keeps."""

import pytest
from fastapi.testclient import TestClient

from tests.service.pages.browsing import EXAMPLES, HOSTILE, ask, chosen, jsonl, parse


def test_the_first_page_is_a_form_whose_fields_all_have_labels(client: TestClient) -> None:
    page = parse(client.get("/"))

    named = {label.attributes.get("for") for label in page.find("label")}
    fields = [
        element
        for element in page.elements
        if element.tag in {"input", "select", "textarea"}
        and element.attributes.get("type") not in {"hidden", "radio"}
    ]
    assert len(fields) >= 8
    assert all(one.attributes.get("id") in named for one in fields)
    assert len(page.find("h1")) == 1
    assert len(page.find("main")) == 1


def test_the_form_proposes_models_and_devices(client: TestClient) -> None:
    proposed = {option.attributes.get("value") for option in parse(client.get("/")).find("option")}

    assert {"peftwise-tiny", "cpu", "NVIDIA L40S"} <= proposed


def test_what_is_to_load_the_result_is_asked_for_and_told_again(client: TestClient) -> None:
    page = parse(ask(client, data=jsonl(EXAMPLES), serve_with="vllm", count="1"))

    told = [one.text for one in page.find("dd")]
    assert "vLLM, as a plain LoRA adapter" in told
    assert chosen(page, "serve_with") == ["vllm"]
    assert any("vLLM as an adapter" in one.text for one in page.find("dt"))  # what was left out
    assert chosen(parse(client.get("/")), "serve_with") == [""]


def test_a_loader_that_is_none_is_marked_at_its_field(client: TestClient) -> None:
    response = ask(client, data=jsonl(EXAMPLES), serve_with="ollama")

    assert response.status_code == 422
    (field,) = parse(response).find("select", id="serve_with")
    assert field.attributes.get("aria-invalid") == "true"


def test_a_question_is_answered_with_ranked_configurations(client: TestClient) -> None:
    response = ask(client, data=jsonl(EXAMPLES))

    page = parse(response)
    assert response.status_code == 200
    assert "learning rate of" in page.find("h1")[0].text
    assert len(page.find("span", **{"class": "rank"})) == 6  # five, and the default
    assert "past runs of" in page.find("section", **{"aria-labelledby": "evidence"})[0].text
    assert page.find("svg", **{"class": "interval"})


def test_an_answer_keeps_the_form_filled_and_the_file_uploaded(client: TestClient) -> None:
    first = parse(ask(client, data=jsonl(EXAMPLES), train_minutes="90"))

    assert first.value("model") == "peftwise-tiny"
    assert first.value("train_minutes") == "90"
    file_id = first.find("input", name="file_id")[0].attributes["value"]
    assert file_id is not None
    again = parse(ask(client, file_id=file_id, file_name="weeks.jsonl", objective="cheapest"))
    assert again.find("section", **{"aria-labelledby": "options-title"})


def test_pasted_examples_are_as_good_as_a_file(client: TestClient) -> None:
    page = parse(ask(client, examples=jsonl(EXAMPLES).decode()))

    assert page.find("section", **{"aria-labelledby": "options-title"})
    assert "60 examples" in page.find("section", **{"class": "asked"})[0].text


def test_the_sample_can_be_filled_in_and_asked(client: TestClient) -> None:
    page = parse(client.post("/", files={"action": (None, "sample"), "model": (None, "")}))

    examples = page.find("textarea")[0].text
    assert page.value("model") == "peftwise-tiny"
    assert len(examples.strip().splitlines()) >= 10
    assert parse(ask(client, examples=examples)).find("section", **{"class": "headline"})


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"device": "NVIDIA L40X"}, "device", "NVIDIA L40S"),
        ({"device": ""}, "device", "device is empty"),
        ({"model": "no/such-model-anywhere"}, "model", "no/such-model-anywhere"),
        ({"model": "/etc/passwd"}, "model", "never a path"),
        ({"train_minutes": "0"}, "train_minutes", "Minutes"),
        ({"train_minutes": "soon"}, "train_minutes", "must be a number"),
        ({"train_minutes": "nan"}, "train_minutes", "Minutes"),
        ({"usd": "1e999"}, "usd", "US dollars"),
        ({"memory_gib": "-4"}, "memory_gib", "Memory"),
        ({"count": "0"}, "count", "How many"),
        ({"count": "1.5"}, "count", "whole number"),
        ({"objective": "beauty"}, "objective", "quality"),
    ],
)
def test_a_bad_field_is_named_and_the_form_stays_as_it_was(
    client: TestClient, fields: dict[str, str], field: str, words: str
) -> None:
    response = ask(client, data=jsonl(EXAMPLES), **fields)

    page = parse(response)
    assert response.status_code == 422
    alert = page.find("div", role="alert")[0].text
    assert words in alert
    marked = [e.attributes.get("name") for e in page.elements if "aria-invalid" in e.attributes]
    assert marked == ([field] if field != "objective" else [])
    for name, value in fields.items():
        if name != "objective":
            assert page.value(name) == value
    assert page.find("input", name="file_id")  # the data need not be sent again


def test_a_broken_line_is_named_by_its_number(client: TestClient) -> None:
    lines = jsonl(EXAMPLES).splitlines(keepends=True)
    lines[56] = b"{broken\n"

    response = ask(client, data=b"".join(lines))

    assert response.status_code == 422
    assert "57" in parse(response).find("div", role="alert")[0].text


def test_a_question_without_data_is_told_so(client: TestClient) -> None:
    response = ask(client)

    assert response.status_code == 422
    assert "examples" in parse(response).find("div", role="alert")[0].text


def test_a_model_that_is_not_here_cannot_be_trained(client: TestClient) -> None:
    response = ask(
        client, data=jsonl(EXAMPLES), model="meta-llama/Llama-3.2-3B", device="NVIDIA L40S"
    )

    assert response.status_code == 200
    assert "Train this" not in response.text


def test_hostile_text_stays_text(client: TestClient) -> None:
    answered = ask(client, data=jsonl(EXAMPLES), name=f"{HOSTILE}.jsonl")
    refused = ask(client, model=HOSTILE, examples=f"</textarea>{HOSTILE}")

    for response in (answered, refused):
        page = parse(response)
        assert not page.find("img", src="x")
        assert "&lt;img src=x" in response.text
