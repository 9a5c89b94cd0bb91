"""A real Ray of one node: a process tree of our own, with a token, in a temporary folder."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

import httpx
import psutil

START_SECONDS = 90.0
OBJECT_STORE_BYTES = 80_000_000  # the least that Ray takes is 75 MB


class RayCluster:
    """Started and killed as often as wanted, always at the same address."""

    def __init__(self, *, gpus: int) -> None:
        # A socket's path may have about 100 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="pw-ray-", dir="/tmp"))
        self.token = secrets.token_hex(16)
        self._gpus = gpus
        self._ports = _free_ports(3)
        self._process: subprocess.Popen[bytes] | None = None
        (self.folder / "token").write_text(self.token)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._ports[0]}"

    def get(self, path: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.get(self.address + path, headers=headers, timeout=10.0)

    def start(self) -> None:
        dashboard, agent, client = self._ports
        options = {
            "--port": 0,
            "--dashboard-host": "127.0.0.1",
            "--dashboard-port": dashboard,
            "--dashboard-agent-listen-port": agent,
            "--ray-client-server-port": client,
            "--min-worker-port": 0,
            "--max-worker-port": 0,
            "--num-cpus": 2,
            "--num-gpus": self._gpus,
            "--object-store-memory": OBJECT_STORE_BYTES,
            "--temp-dir": self.folder / "ray",
        }
        command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--disable-usage-stats", *(str(w) for o in options.items() for w in o)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,
            )
        self._wait()

    def kill(self, *, spared: Collection[int] = ()) -> None:
        """Kill the node with all that runs on it but some processes, at once."""
        assert self._process is not None
        head = psutil.Process(self._process.pid)
        for process in [head, *head.children(recursive=True)]:
            if process.pid not in spared and process.is_running():
                process.kill()
        self._process.wait()

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        # Ray sets the number of threads by what a job asks for, if nobody else did.
        kept = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        return {
            **kept,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.folder / "token"),
        }

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while not self._has_node():
            says = (self.folder / "log").read_text()[-2000:]
            assert self._process.poll() is None, f"Ray ended: {says}"
            assert time.monotonic() < deadline, f"Ray does not start: {says}"
            time.sleep(0.2)

    def _has_node(self) -> bool:
        try:
            answer = self.get("/api/v0/nodes")
        except httpx.HTTPError:
            return False
        return answer.status_code == 200 and '"ALIVE"' in answer.text


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
