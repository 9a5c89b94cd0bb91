"""Commands and servers: one is started, found or missed, and jobs are left to it."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from service import serving, terminal, watching
from service.app import create_app
from service.client import connect
from service.settings import Settings
from tests.service.conftest import ASK, Run

START_SECONDS = 180


@dataclass(frozen=True)
class Site:
    url: str
    app: FastAPI


@pytest.fixture
def site(settings: Settings) -> Iterator[Site]:
    """Serve an application that takes jobs and starts none."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        app = create_app(settings.model_copy(update={"port": port}))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield Site(f"http://127.0.0.1:{port}", app)
        server.should_exit = True
        thread.join()


def test_a_service_that_does_not_answer_is_a_failure(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    monkeypatch.setenv("PEFTWISE_URL", f"http://127.0.0.1:{port}")

    ended = run("jobs")

    assert ended.code == 1
    assert "Is it running?" in ended.err


@pytest.mark.parametrize("url", ["file:///etc/passwd", "127.0.0.1:8000", "http://"])
def test_an_address_that_is_none_is_used_wrongly(
    run: Run, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("PEFTWISE_URL", url)

    assert run("jobs").code == 2


def test_an_open_address_needs_a_key(run: Run) -> None:
    ended = run("serve", "--host", "0.0.0.0")

    assert ended.code == 2
    assert "PEFTWISE_API_KEY" in ended.err


def test_a_port_that_is_taken_is_a_failure(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run("serve", "--port", str(taken.getsockname()[1]))

    assert ended.code == 1
    assert "--port" in ended.err


def test_without_a_server_nothing_can_be_left_to_train(run: Run, data_file: Path) -> None:
    ended = run("submit", str(data_file), "--model", "peftwise-tiny", "--no-wait")

    assert ended.code == 1
    assert "peftwise serve" in ended.err


def test_a_job_is_submitted_shown_and_cancelled(
    run: Run, site: Site, data_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEFTWISE_URL", site.url)
    answer = json.loads(run("recommend", str(data_file), *ASK, "--json").out)

    chosen = ("--recommendation", answer["id"], "--rank", "2", "--seed", "7")
    submitted = run(
        "submit", str(data_file), "--model", "peftwise-tiny", *chosen, "--no-wait", "--json"
    )
    job = json.loads(submitted.out)

    assert job["status"] == "queued"
    wanted = answer["configurations"][1]["configuration"] | {"seed": 7}
    assert job["peft"]["configuration"] == wanted
    assert job["id"] in run("jobs").out
    assert "queued" in run("jobs", "show", job["id"]).out
    assert "cancelled" in run("jobs", "cancel", job["id"]).out
    assert run("jobs", "cancel", job["id"]).code == 2  # used wrongly: it has ended


def test_a_configuration_of_ones_own_is_run(
    run: Run, site: Site, data_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEFTWISE_URL", site.url)
    configuration = tmp_path / "configuration.json"
    configuration.write_text(
        json.dumps(
            {
                "method": {"name": "lora", "r": 4, "lora_alpha": 8, "lora_dropout": 0.0},
                "optimizer": {"name": "adamw", "learning_rate": 4e-3},
            }
        )
    )
    own = ("--configuration", str(configuration))

    job = json.loads(
        run("submit", str(data_file), "--model", "peftwise-tiny", *own, "--no-wait", "--json").out
    )

    assert job["peft"]["configuration"]["optimizer"]["learning_rate"] == 4e-3
    assert job["peft"]["serve_with"] is None
    served = (*own, "--serve-with", "merged", "--no-wait")
    assert (
        "merged weights" in run("submit", str(data_file), "--model", "peftwise-tiny", *served).out
    )
    both = run("submit", str(data_file), "--model", "x", *own, "--recommendation", "rec-1")
    assert both.code == 2


def test_a_job_is_watched_to_its_end(site: Site, data_file: Path) -> None:
    client = connect(site.url)
    file_id = client.upload(data_file)["id"]
    job_id = client.submit({"model": "peftwise-tiny", "training_file": file_id})["id"]
    waits = []

    def cancel_after_the_first_look(seconds: float) -> None:
        waits.append(seconds)
        site.app.state.services.queue.cancel(job_id)

    ended = watching.watch(
        client,
        job_id,
        console=terminal.make_console(stderr=True),
        sleep=cancel_after_the_first_look,
    )

    assert ended["status"] == "cancelled"
    assert waits == [watching.POLL_SECONDS]


def test_the_progress_names_step_losses_and_time_left() -> None:
    curve = [
        {"name": "loss", "split": "train", "step": 10, "value": 2.5},
        {"name": "loss", "split": "validation", "step": 20, "value": 2.25},
    ]
    job = {"status": "running", "estimated_finish": 160, "peft": {"curve": curve}}

    detail = watching.detail(job, now=100.0).replace("\N{NO-BREAK SPACE}", " ")

    assert detail == "step 20, train loss 2.500, validation loss 2.250, about 60 s left"


def test_a_server_is_found_by_its_note_and_takes_the_note_with_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "served"
    monkeypatch.setenv("PEFTWISE_DATA_DIR", str(folder))
    command = [sys.executable, "-m", "service", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        said = server.stdout.readline()
        url = wait_for_server(folder)

        assert url in said
        assert run("jobs").out.strip() == "No jobs yet."
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    assert not (folder / serving.NOTE).exists()


def wait_for_server(folder: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        url = serving.find_server(folder, api_key=None)
        if url is not None:
            return url
        time.sleep(0.1)
    raise AssertionError("the server does not answer")


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"url": 5}', '{"url": "file:///x"}'])
def test_a_note_that_cannot_be_read_is_no_server(tmp_path: Path, note: str) -> None:
    (tmp_path / serving.NOTE).write_text(note)

    assert serving.find_server(tmp_path, api_key=None) is None


def test_the_note_of_a_server_that_died_is_no_server(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    (tmp_path / serving.NOTE).write_text(json.dumps({"url": f"http://127.0.0.1:{port}", "pid": 1}))

    assert serving.find_server(tmp_path, api_key=None) is None
