"""What a browser does: read a page, send the form, press the button that trains."""

import itertools
import json
from dataclasses import dataclass, field
from html.parser import HTMLParser

import httpx
from fastapi.testclient import TestClient

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


def chosen(page: Html, select: str) -> list[str | None]:
    (at,) = [i for i, one in enumerate(page.elements) if one.attributes.get("id") == select]
    after = page.elements[at + 1 :]
    options = itertools.takewhile(lambda one: one.tag in {"option", "optgroup"}, after)
    return [one.attributes["value"] for one in options if "selected" in one.attributes]


def jsonl(records: list[dict[str, str]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def ask(client: TestClient, *, data: bytes = b"", name: str = "", **fields: str) -> httpx.Response:
    """Post the form as a browser does: a file that was not chosen is an empty part."""
    file = (name or ("weeks.jsonl" if data else ""), data, "application/octet-stream")
    parts = {k: (None, v) for k, v in {**QUESTION, **fields}.items()}
    return client.post("/", files={**parts, "file": file})


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
