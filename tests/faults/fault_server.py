"""A real server in a process of its own, that can be killed and started again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

MODEL_ID = "faults/tiny"
START_SECONDS = 60.0
WAIT_SECONDS = 180.0  # two cores under load take a minute to import torch
POLL_SECONDS = 0.1
HERE = Path(__file__).parent
LINES = "".join(f'{{"prompt": "{n} + 1 =", "completion": "{n + 1}"}}\n' for n in range(100))


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


def children_of(pids: set[int]) -> set[int]:
    """Return the processes that came of some, whatever they are called."""
    parents = {pid: parent_of(pid) for pid in processes()}
    found: set[int] = set()
    while new := {pid for pid, parent in parents.items() if parent in pids | found} - found:
        found |= new
    return found


def parent_of(pid: int) -> int:
    """Return the parent of a process, 0 where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def light_python(folder: Path, *, step_seconds: float) -> Path:
    """Return an interpreter for attempts whose trainer is `light_trainer`."""
    wrapper = folder / "light-python"
    wrapper.write_text(
        "#!/bin/sh\n"
        'case "$*" in *" attempt "*) set -- "$@" --trainer light_trainer;; esac\n'
        f"export LIGHT_STEP_SECONDS={step_seconds}\n"
        f'PYTHONPATH="{HERE}:{HERE.parent.parent}" exec "{sys.executable}" "$@"\n'
    )
    wrapper.chmod(0o755)
    return wrapper


class Server:
    """A server on a data folder."""

    def __init__(self, data_dir: Path, models: Mapping[str, str], **settings: object) -> None:
        """Start it; settings are those of the service by their names."""
        self.data_dir = data_dir
        self.environment = {"PEFTWISE_MODELS": json.dumps(dict(models))}
        self.environment |= {f"PEFTWISE_{k.upper()}": str(v) for k, v in settings.items()}
        self.start()

    def start(self) -> None:
        """Start it, again on the same folder."""
        self.data_dir.mkdir(exist_ok=True)
        with (self.data_dir / "output").open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, *f"-m service serve --port 0 --data-dir {self.data_dir}".split()],
                stdout=output,
                stderr=output,
                env=os.environ | self.environment,
            )
        self.url = wait_for(self._answers, seconds=START_SECONDS)
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=30)

    def stop(self, number: int) -> int:
        """Send it a signal and wait for its end."""
        self.http.close()
        self.process.send_signal(number)
        return self.process.wait(60)

    def attempts(self) -> set[int]:
        """Return the attempts that this server has started, if they still run."""
        adapters = str(self.data_dir.resolve() / "adapters")
        return {
            pid
            for pid, command in processes().items()
            if adapters in command and " attempt " in command and "-c" not in command.split()[1:2]
        }

    def workers(self) -> dict[int, str]:
        """Return the attempts of this server and all that they started."""
        running, attempts = processes(), self.attempts()
        return {pid: running.get(pid, "") for pid in attempts | children_of(attempts)}

    def upload(self) -> str:
        """Upload the training file and return its id."""
        files = {"file": ("sums.jsonl", LINES.encode())}
        answer = self.http.post("/v1/files", data={"purpose": "fine-tune"}, files=files)
        return str(answer.json()["id"])

    def submit(self, *, epochs: float = 1.0, file_id: str | None = None) -> str:
        """Submit a job of so many passes and return its id."""
        order = order_of(file_id or self.upload(), epochs=epochs)
        answer = self.http.post("/v1/fine_tuning/jobs", json=order)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str) -> Any:
        """Return a job as it stands."""
        return self.http.get(f"/v1/fine_tuning/jobs/{job_id}").json()

    def events(self, job_id: str) -> list[str]:
        """Return what happened to a job, newest first."""
        path = f"/v1/fine_tuning/jobs/{job_id}/events?limit=100"
        return [event["message"] for event in self.http.get(path).json()["data"]]

    def wait_until_it_trains(self, job_id: str) -> None:
        """Wait until a job's trainer has told something."""

        def trains() -> bool:
            job = self.job(job_id)
            assert job["status"] in {"queued", "running"}, job
            return len(self.workers()) >= 2 and bool(job["peft"]["curve"])

        wait_for(trains)

    def _answers(self) -> str | None:
        assert self.process.poll() is None, (self.data_dir / "output").read_text()
        try:
            said = json.loads((self.data_dir / "server.json").read_text())
            if said["pid"] != self.process.pid:
                return None
            httpx.get(f"{said['url']}/readyz", trust_env=False).raise_for_status()
        except (OSError, ValueError, httpx.HTTPError):
            return None
        return str(said["url"])

    def close(self) -> None:
        """Kill it and all that it started."""
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)
        for pid in self.workers():
            os.kill(pid, signal.SIGKILL)


def order_of(file_id: str, *, epochs: float) -> dict[str, Any]:
    """Return an order of a small LoRA."""
    configuration = {
        "method": {"name": "lora", "r": 4, "lora_alpha": 8, "lora_dropout": 0.0},
        "optimizer": {"name": "adamw", "learning_rate": 0.002},
        "epochs": epochs,
        "max_length_tokens": 64,
    }
    return {
        "model": MODEL_ID,
        "training_file": file_id,
        "peft": {"configuration": configuration},
    }
