"""A server in a process of its own, for as long as it is measured."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

START_SECONDS = 180.0


@dataclass(frozen=True)
class Server:
    """A server that answers, and the process that it is."""

    client: httpx.Client
    process: psutil.Process

    def cpu_milliseconds(self) -> float:
        """Return the processor time that the process has used."""
        used = self.process.cpu_times()
        return 1000 * (used.user + used.system)

    def resident_bytes(self) -> int:
        """Return the memory of the process and of those that it started."""
        every = [self.process, *self.process.children(recursive=True)]
        return sum(one.memory_info().rss for one in every)


@contextmanager
def served(database_url: str, data_dir: Path) -> Iterator[Server]:
    """Serve a database on a free port of the loopback address."""
    port = free_port()
    command = [sys.executable, "-m", "service", "serve", "--port", str(port)]
    command += ["--data-dir", str(data_dir), "--database-url", database_url]
    environment = {**os.environ, "PEFTWISE_EXECUTOR": "none"}
    with running(command, f"http://127.0.0.1:{port}", "/readyz", environment) as server:
        yield server


@contextmanager
def running(
    command: Sequence[str], url: str, path: str, environment: Mapping[str, str]
) -> Iterator[Server]:
    """Run a server until the block ends, from when a path of it answers."""
    process = subprocess.Popen(
        command, env=dict(environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
            _wait(client, path, process)
            yield Server(client, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(30)


def _wait(client: httpx.Client, path: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if client.get(path).is_success:
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"The server did not start: {' '.join(process.args[:4])} ...")
        time.sleep(0.2)


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
