"""A real server in a process of its own, and a tiny model that it may train."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

MODEL_ID = "faults/tiny"
START_SECONDS = 60.0
WAIT_SECONDS = 180.0  # two cores under load take a minute to import torch
POLL_SECONDS = 0.1


def wait_for(condition: Callable[[], Any], *, seconds: float = WAIT_SECONDS) -> Any:
    """Return what a condition finds once it finds something."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain"
        time.sleep(POLL_SECONDS)
    return found


def processes() -> dict[int, str]:
    """Return the command of every process that runs, dead ones that wait for a parent aside."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it ended while we looked
        if state != "Z":
            found[int(folder.name)] = command
    return found


class Server:
    """A server on a data folder; it can be killed and started again."""

    def __init__(self, data_dir: Path, models: dict[str, str]) -> None:
        self.data_dir = data_dir
        self.models = models
        self.start()

    def start(self) -> None:
        self.data_dir.mkdir(exist_ok=True)
        with (self.data_dir / "output").open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, *f"-m service serve --port 0 --data-dir {self.data_dir}".split()],
                stdout=output,
                stderr=output,
                env=os.environ | {"PEFTWISE_MODELS": json.dumps(self.models)},
            )
        note = self.data_dir / "server.json"

        def answers() -> str | None:
            assert self.process.poll() is None, (self.data_dir / "output").read_text()
            try:
                said = json.loads(note.read_text())
                if said["pid"] != self.process.pid:
                    return None
                httpx.get(f"{said['url']}/readyz", trust_env=False).raise_for_status()
            except (OSError, ValueError, httpx.HTTPError):
                return None
            return str(said["url"])

        self.url = wait_for(answers, seconds=START_SECONDS)
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=30)

    def stop(self, number: int) -> int:
        self.http.close()
        self.process.send_signal(number)
        return self.process.wait(30)

    def workers(self) -> dict[int, str]:
        """Return the attempts of this server and the trainers they started."""
        adapters = str(self.data_dir.resolve() / "adapters")
        running = processes()
        attempts = {pid: command for pid, command in running.items() if adapters in command}
        children = {
            pid: command
            for pid, command in running.items()
            if "train-child" in command and _parent(pid) in attempts
        }
        return attempts | children

    def submit(self, *, epochs: float) -> str:
        """Submit a job of so many passes and return its id."""
        lines = "".join(f'{{"prompt": "{n} + 1 =", "completion": "{n + 1}"}}\n' for n in range(100))
        files = {"file": ("sums.jsonl", lines.encode())}
        uploaded = self.http.post("/v1/files", data={"purpose": "fine-tune"}, files=files).json()
        configuration = {
            "method": {"name": "lora", "r": 4, "lora_alpha": 8, "lora_dropout": 0.0},
            "optimizer": {"name": "adamw", "learning_rate": 0.002},
            "epochs": epochs,
            "max_length_tokens": 64,
        }
        order = {
            "model": MODEL_ID,
            "training_file": uploaded["id"],
            "peft": {"configuration": configuration},
        }
        answer = self.http.post("/v1/fine_tuning/jobs", json=order)
        assert answer.status_code == 200, answer.text
        job_id: str = answer.json()["id"]
        return job_id

    def job(self, job_id: str) -> Any:
        return self.http.get(f"/v1/fine_tuning/jobs/{job_id}").json()

    def wait_until_it_trains(self, job_id: str) -> None:
        def trains() -> bool:
            job = self.job(job_id)
            assert job["status"] in {"queued", "running"}, job
            return len(self.workers()) >= 2 and bool(job["peft"]["curve"])

        wait_for(trains)


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@pytest.fixture
def wait() -> Callable[..., Any]:
    """Return a function that waits for a condition."""
    return wait_for


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model with random weights and one token a byte."""
    pytest.importorskip("torch", reason="needs the extra `worker`")
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={t: n for n, t in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    config = LlamaConfig(
        vocab_size=len(alphabet),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        bos_token_id=0,
        eos_token_id=1,
    )
    folder = tmp_path_factory.mktemp("models") / "tiny"
    LlamaForCausalLM(config).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Server]:
    """Return a server that runs; it and all it started are gone after the last test of a file."""
    server = Server(tmp_path_factory.mktemp("server") / "data", {MODEL_ID: str(tiny_model)})
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop(signal.SIGKILL)
        for pid in server.workers():
            os.kill(pid, signal.SIGKILL)
