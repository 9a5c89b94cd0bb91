"""Every route of the application is walked; a new one is held to the rules by itself."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from metadata.errors import InvalidRequest
from service.app import create_app
from service.security import HEADERS, WORKER_ROUTES
from service.settings import Settings

KEY = "only-for-tests-0123456789"
SAFE = {"GET", "HEAD", "OPTIONS"}
FORMS = frozenset({"/v1/files", "/v1/runs/import"})  # routes that take a form with a file alone


def routes(app: Any) -> Iterator[tuple[str, str]]:
    """Yield the method and a real path of every route, those left out of OpenAPI too."""
    for route in walk(app.routes):
        path = re.sub(r"\{[^}]*\}", "x", route.path)
        methods = getattr(route, "methods", None) or {"GET"}  # a folder of static files
        for method in sorted(methods - {"HEAD"}):
            yield method, path


def walk(found: Any) -> Iterator[Any]:
    for route in found:
        inner = getattr(route, "original_router", None)
        if inner is not None:  # an included router
            yield from walk(inner.routes)
        else:
            yield route


def send(client: TestClient, method: str, path: str, **headers: str) -> Response:
    return client.request(
        method, path, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


@pytest.fixture
def keyed(make_client: Any, shared_settings: Settings) -> TestClient:
    """Return a client of a server with a key; the client does not send it."""
    client: TestClient = make_client(api_key=KEY, data_dir=shared_settings.data_dir)
    return client


def test_the_walk_finds_every_route_that_is_described(client: TestClient) -> None:
    app: Any = client.app
    described = {
        (method.upper(), re.sub(r"\{[^}]*\}", "x", path))
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    }

    assert described <= set(routes(app))
    assert ("GET", "/openapi.json") in set(routes(app))
    assert len(described) >= 25


def test_every_route_asks_for_the_key_or_a_token(keyed: TestClient) -> None:
    for method, path in routes(keyed.app):
        for wrong in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic !!"}):
            answer = send(keyed, method, path, **wrong)
            if path == "/v1/worker/claim":  # asks for a code in its body instead
                answer = keyed.request(method, path, json={"code": "x" * 32}, headers=wrong)
            assert answer.status_code == 401, (method, path, wrong, answer.text)


def test_every_route_refuses_another_name(client: TestClient) -> None:
    for method, path in routes(client.app):
        for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::2]"):
            answer = send(client, method, path, host=host)
            assert answer.status_code == 400, (method, path, host)
            assert "PEFTWISE_ALLOWED_HOSTS" in answer.text


def test_every_unsafe_route_refuses_another_origin(client: TestClient) -> None:
    foreign = (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site", "origin": "http://127.0.0.1:8000"},
    )
    for method, path in routes(client.app):
        if method in SAFE:
            continue
        for headers in foreign:
            answer = send(client, method, path, **headers)
            assert answer.status_code == 403, (method, path, headers)


def test_every_route_takes_its_own_kind_of_body_only(client: TestClient) -> None:
    for method, path in routes(client.app):
        if method in SAFE:
            continue
        for kind in ("text/plain", "application/xml"):
            answer = client.request(method, path, content=b"{}", headers={"content-type": kind})
            assert answer.status_code == 415, (method, path, kind, answer.text)
        if path.startswith("/v1/") and path not in FORMS:
            kind = "application/x-www-form-urlencoded"  # what a foreign form could send
            answer = client.request(method, path, content=b"a=1", headers={"content-type": kind})
            assert answer.status_code == 415, (method, path)
            if not path.endswith("/log"):  # whose pieces may be bytes of any kind
                answer = client.request(method, path, content=b"{}")
                assert answer.status_code == 415, (method, path, "no type")


def test_every_answer_has_the_safe_headers(client: TestClient, keyed: TestClient) -> None:
    client.app.state.services.live.close()  # type: ignore[attr-defined]  # an open one never ends
    for method, path in [*routes(client.app), ("GET", "/nowhere"), ("PUT", "/livez")]:
        answers = [send(keyed, method, path)]
        if not path.endswith("/knowledge/refit"):  # allowed, it would learn for half a minute
            answers.append(send(client, method, path))
        for answer in answers:
            for name, value in HEADERS.items():
                assert answer.headers[name] == value, (method, path, name)
            assert "server" not in answer.headers


def test_no_json_route_accepts_bad_json(client: TestClient) -> None:
    kind = {"content-type": "application/json"}
    for method, path in routes(client.app):
        is_json = path.startswith("/v1/") and not path.endswith("/log") and path not in FORMS
        if method in SAFE or not is_json:
            continue
        for body in (b"{", b"\xff\xfe", b'{"a": NaN}', b"[" * 100_000, b'{"a": 1e999}'):
            answer = client.request(method, path, content=body, headers=kind)
            assert answer.status_code == 400, (method, path, body[:9], answer.text)


@pytest.mark.parametrize(
    "authorization",
    [
        f"Bearer {KEY}",
        f"bearer {KEY}",
        "Basic " + base64.b64encode(f"anyone:{KEY}".encode()).decode(),
        "Basic " + base64.b64encode(f":{KEY}".encode()).decode(),
    ],
)
def test_the_key_opens_as_bearer_and_as_password(keyed: TestClient, authorization: str) -> None:
    assert send(keyed, "GET", "/v1/methods", authorization=authorization).status_code == 200


def test_browsers_are_asked_to_log_in_and_programs_for_a_bearer(keyed: TestClient) -> None:
    assert send(keyed, "GET", "/runs").headers["www-authenticate"].startswith("Basic")
    assert send(keyed, "GET", "/v1/runs").headers["www-authenticate"] == "Bearer"


def test_the_key_does_not_open_the_routes_of_attempts(keyed: TestClient) -> None:
    key = f"Bearer {KEY}"
    for method, path in routes(keyed.app):
        if path.startswith(WORKER_ROUTES) and path != "/v1/worker/claim":
            kind = {"/reports": {"number": 1}, "/release": {"reason": "gone"}}
            body = kind.get(path[path.rindex("/") :], {"state": "failed"})
            sent: dict[str, Any] = {} if method == "GET" else {"json": body}
            if path.endswith("/log"):
                path, sent = f"{path}?offset=0", {"content": b"x"}
                sent["headers"] = {"content-type": "application/octet-stream"}
            headers = sent.pop("headers", {}) | {"authorization": key}
            answer = keyed.request(method, path, headers=headers, **sent)
            assert answer.status_code == 401, (method, path, answer.text)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000"])
def test_local_names_are_answered_with_any_port(client: TestClient, host: str) -> None:
    assert send(client, "GET", "/livez", host=host).status_code == 200


def test_a_name_in_the_settings_is_answered(make_client: Any) -> None:
    client = make_client(allowed_hosts="box.lan")

    assert send(client, "GET", "/livez", host="box.lan:8000").status_code == 200
    assert send(client, "GET", "/livez", host="other.lan").status_code == 400


def test_the_servers_own_pages_may_change_things(client: TestClient) -> None:
    own = {"origin": "http://127.0.0.1:8000", "sec_fetch_site": "same-origin"}

    answer = send(client, "POST", "/v1/fine_tuning/jobs/x/cancel", host="127.0.0.1:8000", **own)

    assert answer.status_code == 404


def test_an_application_open_to_others_without_a_key_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="PEFTWISE_API_KEY"):
        create_app(Settings(data_dir=tmp_path, host="0.0.0.0"))


def test_nul_in_an_address_is_refused(client: TestClient) -> None:
    for path in ("/v1/runs/a%00b", "/v1/runs?method=%00", "/v1/files/%00"):
        assert client.get(path).status_code == 400, path


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_its_limit_is_refused(make_client: Any, declared: bool) -> None:
    client = make_client(json_bytes=1000)
    body = b'{"a": "' + b"x" * 2000 + b'"}'
    content = body if declared else iter([body[:900], body[900:]])

    answer = client.post(
        "/v1/fine_tuning/jobs", content=content, headers={"content-type": "application/json"}
    )

    assert answer.status_code == 413
    assert "at most 1000 bytes" in answer.json()["error"]["message"]


@pytest.mark.parametrize("declared", [True, False])
def test_an_upload_over_its_limit_leaves_nothing(
    make_client: Any, settings: Settings, declared: bool
) -> None:
    client = make_client(upload_bytes=10_000)
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    parts = [head, *[b"x" * 1000] * 20, b"\r\n--b--\r\n"]
    content = b"".join(parts) if declared else iter(parts)
    kind = {"content-type": "multipart/form-data; boundary=b"}

    answer = client.post("/v1/files", content=content, headers=kind)

    assert answer.status_code == 413
    assert "at most 10000 bytes" in answer.json()["error"]["message"]
    folder = settings.data_dir / "files"
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_mistake_of_ours_tells_nothing_of_the_inside(make_client: Any) -> None:
    client: Any = make_client()
    client.app.state.services.history.count = None
    broken = client.app.state.services.queue
    broken.get = lambda job_id: 1 / 0

    answer = client.get("/v1/fine_tuning/jobs/x")

    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    for inside in ("Traceback", "ZeroDivision", "division", ".py", "/work"):
        assert inside not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
