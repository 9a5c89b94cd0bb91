import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from metadata.methods import FAMILIES, METHODS
from metadata.records import (
    Choice,
    Configuration,
    Costs,
    DatasetProfile,
    Device,
    Lengths,
    Measurement,
    OptimizerChoice,
    Origin,
    Run,
    Scores,
    Task,
)
from service.app import create_app
from service.settings import Settings

HOSTILE = '<img src=x onerror="alert(1)">'
EXAMPLES = [
    {"prompt": f"How many days are {n} weeks?", "completion": f"{7 * n} days"} for n in range(60)
]
QUESTION = {"model": "peftwise-tiny", "device": "cpu", "count": "1"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    text: str = ""


@dataclass
class Html(HTMLParser):
    """The elements of a page in order, each with all the text inside it."""

    elements: list[Element] = field(default_factory=list)
    open_elements: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.elements.append(element)
        if tag not in {"input", "meta", "link", "img", "option"}:
            self.open_elements.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self.open_elements and self.open_elements.pop().tag != tag:
            pass

    def handle_data(self, data: str) -> None:
        for element in self.open_elements:
            element.text += data

    def find(self, tag: str, **attributes: str) -> list[Element]:
        return [
            element
            for element in self.elements
            if element.tag == tag
            and all(element.attributes.get(k) == v for k, v in attributes.items())
        ]

    def value(self, name: str) -> str | None:
        return self.find("input", name=name)[0].attributes.get("value")


def parse(response: httpx.Response) -> Html:
    assert response.headers["content-type"].startswith("text/html"), response.text[:500]
    page = Html()
    page.feed(response.text)
    return page


def jsonl(records: list[dict[str, str]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    folder = tmp_path_factory.mktemp("pages")
    return create_app(Settings(data_dir=folder, executor="none"))


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


def ask(client: TestClient, *, data: bytes = b"", name: str = "", **fields: str) -> httpx.Response:
    """Post the form as a browser does: a file that was not chosen is an empty part."""
    file = (name or ("weeks.jsonl" if data else ""), data, "application/octet-stream")
    parts = {k: (None, v) for k, v in {**QUESTION, **fields}.items()}
    return client.post("/", files={**parts, "file": file})


def make_run(number: int, *, dataset: str = "weeks", method: str = "lora") -> Run:
    values = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0} if method == "lora" else {}
    lengths = Lengths(mean=20.0, p50=20, p90=30, p99=40, max=50)
    return Run(
        id=f"run-page-{number:03}",
        task=Task(
            model=tiny_model(),
            dataset=DatasetProfile(
                name=dataset,
                group="ab" * 32,
                sha256="ab" * 32,
                kind="generation",
                examples=60,
                prompt_bytes=lengths,
                completion_bytes=lengths,
                distinct_words=50,
                repeated_word_fraction=0.5,
                distinct_completions=50,
                completion_entropy_bits=5.0,
                duplicate_fraction=0.0,
                compression_ratio=0.5,
            ),
            device=Device(
                name="CPU",
                kind="cpu",
                memory_bytes=2**34,
                bf16_tflops=0.1,
                bandwidth_gb_per_second=20.0,
                launch_microseconds=5.0,
            ),
        ),
        configuration=Configuration(
            method=Choice(name=method, **values),
            optimizer=OptimizerChoice(name="adamw", learning_rate=4e-3),
        ),
        state="succeeded",
        curve=tuple(
            Measurement(name="loss", step=step, value=3.0 - step / 100, split="validation")
            for step in (0, 20, 40, 60, 80)
        ),
        scores=Scores(base_loss=3.0, best_loss=2.2, last_loss=2.3, exact_match=0.25),
        costs=Costs(
            train_seconds=21.0,
            eval_seconds=2.0,
            train_cpu_seconds=20.0,
            eval_cpu_seconds=2.0,
            peak_tensor_bytes=48 * 2**20,
            peak_device_bytes=400 * 2**20,
            trained_tokens=12_000,
            steps=80,
            trainable_parameters=20_000,
        ),
        origin=Origin(source="test"),
        created_at=datetime(2030, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
    )


def tiny_model():  # type: ignore[no-untyped-def]
    from metadata.features.model import find_model

    return find_model("peftwise-tiny")


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


def chosen(page: Html, select: str) -> list[str | None]:
    (at,) = [i for i, one in enumerate(page.elements) if one.attributes.get("id") == select]
    after = page.elements[at + 1 :]
    options = itertools.takewhile(lambda one: one.tag in {"option", "optgroup"}, after)
    return [one.attributes["value"] for one in options if "selected" in one.attributes]


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


def test_a_job_of_an_answer_tells_what_is_to_load_its_result(client: TestClient) -> None:
    answered = parse(ask(client, data=jsonl(EXAMPLES), serve_with="merged"))
    hidden = {name: answered.value(name) for name in ("recommendation_id", "rank", "model")}
    sent = {**hidden, "file_id": answered.value("file_id")}

    job = parse(client.post("/jobs", data=sent))

    assert "anything, as merged weights" in [one.text for one in job.find("dd")]


def test_runs_are_filtered_by_methods_grouped_by_family(client: TestClient) -> None:
    page = parse(client.get("/runs?method=dora"))

    groups = [one.attributes["label"] for one in page.find("optgroup")]
    values = {one.attributes.get("value") for one in page.find("option")}
    assert groups[0] == "Low rank"
    assert len(groups) == len(set(groups)) == len(FAMILIES)
    assert set(METHODS) <= values
    assert chosen(page, "f-method") == ["dora"]


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


def test_hostile_text_stays_text(client: TestClient) -> None:
    answered = ask(client, data=jsonl(EXAMPLES), name=f"{HOSTILE}.jsonl")
    refused = ask(client, model=HOSTILE, examples=f"</textarea>{HOSTILE}")

    for response in (answered, refused):
        page = parse(response)
        assert not page.find("img", src="x")
        assert "&lt;img src=x" in response.text


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


def train(client: TestClient, answered: httpx.Response) -> str:
    """Press the first button of an answer and return the address it leads to."""
    page = parse(answered)
    names = ("recommendation_id", "rank", "model", "file_id")
    form = {name: page.find("input", name=name)[-1 if name == "file_id" else 0] for name in names}
    data = {name: str(element.attributes["value"]) for name, element in form.items()}
    data["model"], data["rank"] = "peftwise-tiny", "1"
    response = client.post("/jobs", data=data, follow_redirects=False)
    assert response.status_code == 303, response.text
    return response.headers["location"]


def test_train_this_queues_a_job_and_shows_it(client: TestClient) -> None:
    address = train(client, ask(client, data=jsonl(EXAMPLES)))

    shown = client.get(address)
    page = parse(shown)
    assert "peftwise-tiny on weeks.jsonl" in page.find("h1")[0].text
    assert page.find("span", **{"class": "state state-waiting"})[0].text == "queued"
    assert page.find("meta", **{"http-equiv": "refresh"})  # inside noscript
    assert address in client.get("/jobs").text


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


def test_a_model_that_is_not_here_cannot_be_trained(client: TestClient) -> None:
    response = ask(
        client, data=jsonl(EXAMPLES), model="meta-llama/Llama-3.2-3B", device="NVIDIA L40S"
    )

    assert response.status_code == 200
    assert "Train this" not in response.text


@pytest.mark.parametrize("address", ["/runs/no-such-run", "/jobs/no-such-job", "/static/none.css"])
def test_what_is_not_there_is_a_page_in_plain_words(client: TestClient, address: str) -> None:
    response = client.get(address)

    assert response.status_code == 404
    assert parse(response).find("h1")[0].text == "Nothing is here"


@pytest.mark.parametrize("name", ["..%2Froutes.py", "%2Fetc%2Fpasswd", "..%5Croutes.py"])
def test_only_files_of_the_static_folder_are_sent(client: TestClient, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 404


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
