"""`peftwise worker` on a machine of its own: another data folder, a key, a service that starts
nothing itself."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_server import MODEL_ID, Server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


@pytest.fixture
def attached(tmp_path: Path, tiny_model: Path) -> Iterator[Server]:
    """Return a server that waits for workers."""
    server = Server(tmp_path / "data", {MODEL_ID: str(tiny_model)}, executor="none")
    yield server
    server.close()


def test_a_worker_takes_a_job_trains_it_and_ends(attached: Any, tmp_path: Path) -> None:
    job_id = attached.submit(epochs=2.0)
    command = [sys.executable, "-m", "service", "worker", "--url", attached.url, "--once"]

    done = subprocess.run(
        [*command, "--name", "box-1", "--data-dir", str(tmp_path / "elsewhere")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=180,
    )

    assert done.returncode == 0, done.stderr
    job = attached.job(job_id)
    assert job["status"] == "succeeded", (job["error"], done.stderr)
    assert job_id in done.stderr
    adapters = list((tmp_path / "elsewhere" / "adapters").glob("*/adapter_model.safetensors"))
    assert len(adapters) == 1
    log = attached.http.get(f"/v1/fine_tuning/jobs/{job_id}/logs").json()
    assert isinstance(log["text"], str)


def test_a_worker_without_work_ends_when_it_is_told_to(attached: Any, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "service", "worker", "--url", attached.url]
    command += ["--data-dir", str(tmp_path / "elsewhere")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "Working for" in process.stderr.readline()

        process.terminate()

        assert process.wait(30) == 0
