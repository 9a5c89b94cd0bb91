"""An attempt as a real process, against the worker routes on a real socket."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI, Header, HTTPException, Request, Response

from metadata.examples import parse_example
from metadata.features.dataset import profile_dataset
from metadata.messages import Assignment, Claim, Limits, Outcome, Release, Renewed, Report
from metadata.methods.spec import Serving
from metadata.records import Configuration

CODE, TOKEN = "a-code-that-works-once", "1.a-token-of-an-attempt"
WAIT_SECONDS = 300.0  # a busy machine takes long to load torch
RECORDS = [{"prompt": f"Say {number}:", "completion": f" {number % 5}"} for number in range(60)]
CONFIGURATION = Configuration.model_validate(
    {
        "method": {"name": "lora", "r": 4, "lora_alpha": 8, "lora_dropout": 0.0},
        "optimizer": {"name": "adamw", "learning_rate": 1e-2},
        "max_length_tokens": 64,
    }
)


@dataclass
class Service:
    """What the routes saw, and what they are to answer."""

    model_path: str
    url: str = ""
    configuration: Configuration = CONFIGURATION
    serve_with: Serving | None = None
    limits: Limits = field(default_factory=Limits)
    training_file: bytes = b"\n".join(json.dumps(record).encode() for record in RECORDS)
    because: str = ""
    refuses: bool = False
    generation: int = 1
    checkpoint_seconds: float = 60.0
    renew_seconds: float = 0.2
    reports: list[Report] = field(default_factory=list)
    releases: list[Release] = field(default_factory=list)
    log: bytes = b""
    outcomes: list[Outcome] = field(default_factory=list)
    claims: int = 0
    renewals: int = 0


OF_ATTEMPT = "/v1/worker/attempts/attempt-1"


def routes(service: Service) -> FastAPI:
    app = FastAPI()

    def check(authorization: str) -> None:
        if authorization != f"Bearer {TOKEN}":
            raise HTTPException(401)
        if service.refuses:
            raise HTTPException(409)

    @app.post("/v1/worker/claim")
    def claim(request: Claim) -> Assignment:
        if request.code != CODE or service.claims:
            raise HTTPException(401)
        service.claims += 1
        examples = [parse_example(record, line=1) for record in RECORDS]
        return Assignment(
            attempt_id="attempt-1",
            token=TOKEN,
            job_id="job-1",
            base_model="tiny",
            model_path=service.model_path,
            dataset=profile_dataset(examples, name="numbers"),
            configuration=service.configuration,
            serve_with=service.serve_with,
            limits=service.limits,
            generation=service.generation,
            checkpoint_seconds=service.checkpoint_seconds,
            renew_seconds=service.renew_seconds,
        )

    @app.post(f"{OF_ATTEMPT}/renew")
    def renew(authorization: str = Header()) -> Renewed:
        check(authorization)
        service.renewals += 1
        return Renewed.model_validate({"go_on": not service.because, "because": service.because})

    @app.get(f"{OF_ATTEMPT}/training-file")
    def training_file(authorization: str = Header()) -> Response:
        check(authorization)
        return Response(service.training_file, media_type="application/jsonl")

    listen(app, service, check)
    return app


def listen(app: FastAPI, service: Service, check: Callable[[str], None]) -> None:
    @app.post(f"{OF_ATTEMPT}/reports", status_code=204)
    def report(report: Report, authorization: str = Header()) -> None:
        check(authorization)
        service.reports.append(report)

    @app.put(f"{OF_ATTEMPT}/log", status_code=204)
    async def log(request: Request, offset: int, authorization: str = Header()) -> None:
        check(authorization)
        service.log = service.log[:offset] + await request.body()

    @app.post(f"{OF_ATTEMPT}/release", status_code=204)
    def release(release: Release, authorization: str = Header()) -> None:
        check(authorization)
        service.releases.append(release)

    @app.post(f"{OF_ATTEMPT}/finish", status_code=204)
    def finish(outcome: Outcome, authorization: str = Header()) -> None:
        check(authorization)
        service.outcomes.append(outcome)


@pytest.fixture
def service(tiny_llama: str) -> Iterator[Service]:
    service = Service(model_path=tiny_llama)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        service.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(routes(service), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield service
        server.should_exit = True
        thread.join()


@pytest.fixture
def start(service: Service, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start_attempt(code: str = CODE) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "training_worker", "attempt", "--server", service.url]
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "--output-dir", str(tmp_path / "adapters")],
                stdin=subprocess.PIPE,
                stderr=log,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
        started.append(process)
        process.stdin.write(code.encode() + b"\n")
        process.stdin.close()
        return process

    yield start_attempt
    for process in started:
        process.kill()
        process.wait()


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def child_of(process: subprocess.Popen[bytes]) -> int | None:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0]) if children else None


def is_alive(number: int) -> bool:
    try:
        status = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return status != "Z"


def check_that_no_argument_or_environment_holds_the_token(*processes: int) -> None:
    for number in processes:
        for name in ("cmdline", "environ"):
            assert TOKEN.encode() not in Path(f"/proc/{number}/{name}").read_bytes()


def long_running() -> Configuration:
    return CONFIGURATION.model_copy(update={"epochs": 10_000.0})


needs_proc = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at Linux's processes")


def test_a_job_is_trained_reported_and_finished_once(service, start, tmp_path) -> None:
    process = start()

    assert process.wait(WAIT_SECONDS) == 0, (tmp_path / "log").read_text()
    [outcome] = service.outcomes
    assert (outcome.state, outcome.reason) == ("succeeded", "")
    assert outcome.scores.gain("best") > 0
    assert outcome.costs.steps == 6
    assert outcome.adapter_folder == "attempt-1"
    assert (tmp_path / "adapters" / "attempt-1" / "adapter_model.safetensors").is_file()
    points = [point for report in service.reports for point in report.measurements]
    validated = [p.step for p in points if p.split == "validation"]
    assert validated == sorted(set(validated))
    assert len(validated) >= 5
    assert service.reports[-1].trained_tokens > 0
    assert service.renewals > 0


def test_the_result_is_saved_in_the_form_that_is_asked_for(service, start, tmp_path) -> None:
    service.serve_with = "merged"

    assert start().wait(WAIT_SECONDS) == 0

    saved = {path.name for path in (tmp_path / "adapters" / "attempt-1").iterdir()}
    assert {"config.json", "model.safetensors"} <= saved
    assert not any(name.startswith("adapter") for name in saved)


def test_a_bad_line_fails_the_attempt_with_its_number(service, start) -> None:
    service.training_file = b'{"prompt": "a", "completion": "b"}\n' * 56 + b"{not json\n"

    assert start().wait(WAIT_SECONDS) == 0
    [outcome] = service.outcomes
    assert outcome.state == "failed"
    assert "57" in outcome.reason


def test_the_limits_of_the_assignment_hold(service, start) -> None:
    service.configuration = long_running()
    service.limits = Limits(train_seconds=0.5)

    assert start().wait(WAIT_SECONDS) == 0
    assert service.outcomes[0].state == "timed_out"
    assert service.outcomes[0].costs.steps > 0


@needs_proc
def test_a_cancelled_job_stops_the_trainer_and_is_not_finished(service, start, tmp_path) -> None:
    service.configuration = long_running()
    process = start()
    wait_until(lambda: bool(service.reports))
    trainer = child_of(process)
    check_that_no_argument_or_environment_holds_the_token(process.pid, trainer)

    service.because = "cancelled"

    assert process.wait(WAIT_SECONDS) == 0
    assert not is_alive(trainer)
    assert service.outcomes == []
    assert not (tmp_path / "adapters" / "attempt-1").exists()


@needs_proc
def test_the_trainer_dies_with_the_attempt(service, start) -> None:
    service.configuration = long_running()
    process = start()
    wait_until(lambda: bool(service.reports))
    trainer = child_of(process)

    process.kill()

    process.wait(WAIT_SECONDS)
    wait_until(lambda: not is_alive(trainer))
    assert (service.outcomes, service.releases) == ([], [])


@needs_proc
def test_an_attempt_that_is_told_to_stop_leaves_a_checkpoint_and_gives_the_job_back(
    service, start, tmp_path
) -> None:
    service.configuration, service.renew_seconds = long_running(), 5.0
    process = start()
    wait_until(lambda: any(report.progress > 0 for report in service.reports))
    trainer = child_of(process)

    process.send_signal(signal.SIGTERM)

    assert process.wait(WAIT_SECONDS) == 0
    assert not is_alive(trainer)
    [release] = service.releases
    assert (release.is_loss, service.outcomes) == (False, [])
    [saved] = [one for report in service.reports for one in report.checkpoints]
    assert (tmp_path / "checkpoints" / "job-1" / saved.name / "manifest.json").is_file()


@needs_proc
def test_a_paused_job_is_given_back_and_the_next_attempt_goes_on(service, start, tmp_path) -> None:
    service.configuration, service.renew_seconds = long_running(), 5.0
    process = start()
    wait_until(lambda: any(report.progress > 0 for report in service.reports))
    service.because = "paused"
    assert process.wait(WAIT_SECONDS) == 0
    assert service.releases[0].reason.startswith("Paused")
    saved = [one.step for report in service.reports for one in report.checkpoints]
    assert saved

    service.because, service.claims, service.generation = "", 0, 2
    service.reports.clear()
    process = start()
    wait_until(lambda: any(report.notices for report in service.reports))
    process.kill()

    told = [notice.message for report in service.reports for notice in report.notices]
    assert any(f"step {saved[-1]} " in message for message in told), told


@needs_proc
def test_a_trainer_that_is_killed_is_a_loss_that_says_so(service, start) -> None:
    service.configuration = long_running()
    process = start()
    wait_until(lambda: bool(service.reports))

    os.kill(child_of(process), signal.SIGKILL)

    assert process.wait(WAIT_SECONDS) == 0
    [release] = service.releases
    assert (release.is_loss, service.outcomes) == (True, [])
    assert "SIGKILL" in release.reason


@needs_proc
def test_a_refused_attempt_stops_and_says_nothing_more(service, start) -> None:
    service.configuration = long_running()
    process = start()
    wait_until(lambda: bool(service.reports))
    trainer = child_of(process)

    service.refuses = True

    assert process.wait(WAIT_SECONDS) == 1
    assert not is_alive(trainer)
    assert (service.outcomes, service.releases) == ([], [])


def test_a_code_that_was_used_before_is_refused_and_nothing_is_trained(service, start) -> None:
    service.claims = 1

    assert start().wait(WAIT_SECONDS) == 1
    assert service.outcomes == []


def test_importing_the_attempt_leaves_torch_unloaded() -> None:
    program = "import training_worker.attempt, sys; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
