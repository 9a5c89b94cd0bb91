"""A database, a queue and a whole application, each in a temporary folder."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from metadata.database import open_database
from metadata.records import (
    Choice,
    Configuration,
    DatasetProfile,
    Device,
    Lengths,
    ModelProfile,
    OptimizerChoice,
)
from service import cli
from service.app import create_app
from service.jobs.attempts import Attempts
from service.jobs.losses import Losses
from service.jobs.queue import Queue
from service.jobs.records import Order
from service.jobs.timing import Timing
from service.services import open_services
from service.settings import Settings

ASK = ("--model", "peftwise-tiny", "--device", "cpu")  # of a command
LEASE_SECONDS = 60.0
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LENGTHS = Lengths(mean=20.0, p50=20, p90=30, p99=40, max=50)
CONFIGURATION = Configuration(
    method=Choice(name="lora", r=4, lora_alpha=8, lora_dropout=0.0),
    optimizer=OptimizerChoice(name="adamw", learning_rate=1e-3),
)
MODEL = ModelProfile(
    id="peftwise-tiny",
    family="llama",
    parameters=1_000_000,
    layers=2,
    hidden_size=64,
    heads=4,
    key_value_heads=4,
    head_size=16,
    mlp_width=256,
    vocabulary=1024,
    context_tokens=512,
    tied_embeddings=True,
)
DATASET = DatasetProfile(
    name="train.jsonl",
    group="ab" * 32,
    sha256="ab" * 32,
    kind="classification",
    examples=100,
    prompt_bytes=LENGTHS,
    completion_bytes=LENGTHS,
    distinct_words=50,
    repeated_word_fraction=0.5,
    distinct_completions=5,
    completion_entropy_bits=2.0,
    duplicate_fraction=0.0,
    compression_ratio=0.5,
)
DEVICE = Device(
    name="CPU",
    kind="cpu",
    memory_bytes=2**34,
    bf16_tflops=0.1,
    bandwidth_gb_per_second=20.0,
    launch_microseconds=5.0,
)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self, session: Session) -> datetime:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class MakeOrder(Protocol):
    """Make an order for the tiny model; keywords replace its fields."""

    def __call__(self, **fields: Any) -> Order: ...


@pytest.fixture
def make_order() -> MakeOrder:
    """Return a maker of orders."""

    def make(**fields: Any) -> Order:
        usual: dict[str, Any] = {
            "model": MODEL,
            "dataset": DATASET,
            "configuration": CONFIGURATION,
            "chosen_by": "caller",
            "training_file": "file-1",
            "labels": {},
        }
        return Order(**(usual | fields))

    return make


@pytest.fixture
def device() -> Device:
    """Return a processor."""
    return DEVICE


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Return an empty database, once of each kind."""
    engine = open_database(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def lease_seconds() -> float:
    """Return how long a lease of `attempts` lasts."""
    return LEASE_SECONDS


@pytest.fixture
def clock() -> Clock:
    """Return a clock of our own."""
    return Clock()


@pytest.fixture
def queue(engine: Engine, clock: Clock) -> Queue:
    """Return an empty queue."""
    return Queue(engine, clock=clock)


@pytest.fixture
def attempts(engine: Engine, clock: Clock) -> Attempts:
    """Return the attempts of the same database."""
    return Attempts(engine, timing=Timing(LEASE_SECONDS), clock=clock)


@pytest.fixture
def losses(engine: Engine, clock: Clock) -> Losses:
    """Return the same attempts, as whoever looks after them sees them."""
    return Losses(engine, timing=Timing(LEASE_SECONDS), clock=clock)


class MakeClient(Protocol):
    """Start an application with some settings changed and return a client of it."""

    def __call__(self, **changes: Any) -> TestClient: ...


@pytest.fixture
def make_client(settings: Settings) -> Iterator[MakeClient]:
    """Return a maker of clients; their applications are stopped at the end."""
    with ExitStack() as stack:

        def make(**changes: Any) -> TestClient:
            changed = Settings(**(dict(settings) | changes))
            client = TestClient(create_app(changed), base_url="http://127.0.0.1:8000")
            return stack.enter_context(client)

        yield make


@pytest.fixture
def client(make_client: MakeClient) -> TestClient:
    """Return a client of an application without a key and without workers."""
    return make_client()


@pytest.fixture
def jsonl() -> bytes:
    """Return a small training file."""
    lines = (f'{{"prompt": "{n} + 1 =", "completion": "{n + 1}"}}' for n in range(60))
    return "\n".join(lines).encode() + b"\n"


@pytest.fixture
def file_id(client: TestClient, jsonl: bytes) -> str:
    """Return the id of an uploaded file."""
    files = {"file": ("train.jsonl", jsonl)}
    answer = client.post("/v1/files", data={"purpose": "fine-tune"}, files=files)
    assert answer.status_code == 200, answer.text
    name: str = answer.json()["id"]
    return name


@pytest.fixture(scope="session")
def filled_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database as a first start leaves it, made once: the shipped runs are in it."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("filled"), executor="none")
    services = open_services(settings)
    services.engine.dispose()  # the last connection moves its log into the file
    return settings.data_dir / "peftwise.sqlite"


def started_folder(folder: Path, filled_database: Path) -> Path:
    """Return a data folder as a first start leaves it."""
    folder.mkdir(exist_ok=True)
    shutil.copy(filled_database, folder)
    return folder


@pytest.fixture(scope="module")
def shared_settings(tmp_path_factory: pytest.TempPathFactory, filled_database: Path) -> Settings:
    """Return such settings as `settings`, for all tests of a file."""
    folder = started_folder(tmp_path_factory.mktemp("shared"), filled_database)
    return Settings(data_dir=folder, executor="none")


@pytest.fixture
def settings(tmp_path: Path, filled_database: Path) -> Settings:
    """Return settings that start no worker and touch a temporary folder only."""
    return Settings(data_dir=started_folder(tmp_path / "data", filled_database), executor="none")


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


class Run(Protocol):
    def __call__(self, *arguments: str) -> Ended: ...


@pytest.fixture
def command_folder(tmp_path: Path, filled_database: Path) -> Path:
    """Return the data folder that commands use, one of our own: they change its runs."""
    return started_folder(tmp_path / "commands", filled_database)


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], command_folder: Path
) -> Run:
    """Return a function that runs `peftwise` in this process, on a data folder of our own."""
    for name in [name for name in os.environ if name.startswith("PEFTWISE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PEFTWISE_DATA_DIR", str(command_folder))
    monkeypatch.setenv("COLUMNS", "120")

    def run_one(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["peftwise", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err
        return Ended(int(ended.value.code or 0), captured.out, captured.err)

    return run_one


@pytest.fixture
def data_file(tmp_path: Path) -> Path:
    """Return a small training file."""
    return write_examples(tmp_path / "weeks.jsonl")


def write_examples(path: Path) -> Path:
    examples = [
        {"prompt": f"How many days are {n} weeks?", "completion": f"{7 * n} days"}
        for n in range(60)
    ]
    path.write_text("".join(json.dumps(example) + "\n" for example in examples))
    return path
