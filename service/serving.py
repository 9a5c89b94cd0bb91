"""Start a server, let others on this machine find it, and lend one for as long as it is needed."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from metadata.errors import InvalidRequest, Unavailable
from service.client import connect
from service.folder_lock import check_server
from service.security import check_settings
from service.settings import Settings

NOTE = "server.json"  # in the data folder: address and process of the server that uses it
LOG = "server.log"
START_SECONDS = 120.0
STOP_SECONDS = 45.0  # jobs write their checkpoints meanwhile
_POLL_SECONDS = 0.1


def serve(
    settings: Settings,
    make_app: Callable[[Settings], FastAPI],
    *,
    on_start: Callable[[Settings], None],
) -> None:
    """Serve until the process is told to stop; `on_start` is given the port that was taken.

    Raises:
        InvalidRequest: The address is open to other machines and there is no key.
        Unavailable: The address is taken.
        Conflict: Another server runs on the data folder or the SQLite file.
    """
    check_settings(settings)
    check_server(settings)
    with _listen(settings) as listener:
        bound = settings.model_copy(update={"port": listener.getsockname()[1]})
        app = make_app(bound)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        # The server stops in order and then raises the signal that stopped it once more.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt), noted(bound):
            on_start(bound)
            _in_background(app.state.services.knowledge.prepare)
            _Server(config, drain=app.state.services.drain).run(sockets=[listener])


def _in_background(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name=work.__name__, daemon=True).start()


class _Server(uvicorn.Server):
    """Answers on while it drains: what trains here writes checkpoints and tells of them."""

    def __init__(self, config: uvicorn.Config, *, drain: Callable[[], None]) -> None:
        super().__init__(config)
        self._drain = drain
        self._is_draining = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal and then stop; stop at once at the second."""
        if self._is_draining:
            super().handle_exit(sig, frame)
            return
        self._is_draining = True
        threading.Thread(target=self._drain_and_stop, args=(sig,), name="drain").start()

    def _drain_and_stop(self, sig: int) -> None:
        try:
            self._drain()
        finally:
            super().handle_exit(sig, None)


def find_server(data_dir: Path, *, api_key: str | None) -> str | None:
    """Return the address of the server that runs on a data folder, or None."""
    try:
        url = str(json.loads((data_dir / NOTE).read_text())["url"])
        return url if connect(url, api_key=api_key).is_alive() else None
    except (OSError, ValueError, KeyError, TypeError, InvalidRequest):
        return None


@contextlib.contextmanager
def lend_server(settings: Settings) -> Iterator[str]:
    """Run a server on a free port of this machine as long as the block lasts.

    Raises:
        Unavailable: It does not start; its log says why.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    log = settings.data_dir / LOG
    with log.open("ab") as output, _started(settings, output) as process:
        yield _wait_for(process, settings)


@contextlib.contextmanager
def noted(settings: Settings) -> Iterator[None]:
    """Leave the server's address in its data folder while it runs."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    note = settings.data_dir / NOTE
    unfinished = note.with_suffix(f".{secrets.token_hex(4)}")
    content = json.dumps({"url": settings.url, "pid": os.getpid()})
    unfinished.write_text(content)
    unfinished.replace(note)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if note.read_text() == content:  # not that of a server started since
                note.unlink()


@contextlib.contextmanager
def _listen(settings: Settings) -> Iterator[socket.socket]:
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, address = found[0][0], found[0][4]
        listener = socket.create_server(address, family=family)
        # Else an answer in two parts waits for the other end to acknowledge the first: 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        raise Unavailable(
            f"Cannot listen on port {settings.port} of {settings.host} ({error.strerror}). "
            "Choose another with --port; 0 takes a free one."
        ) from None
    with listener:
        yield listener


@contextlib.contextmanager
def _started(settings: Settings, output: object) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "service", "serve", "--host", "127.0.0.1", "--port", "0"]
    command += ["--data-dir", str(settings.data_dir)]
    environment = dict(os.environ)
    if settings.database_url is not None:  # it may hold a password: never an argument
        environment["PEFTWISE_DATABASE_URL"] = settings.database_url
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,  # type: ignore[call-overload]
        stderr=output,
        env=environment,
        start_new_session=True,  # Ctrl-C reaches us alone; we then stop it in order
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: "subprocess.Popen[bytes]", settings: Settings) -> str:
    key = None if settings.api_key is None else settings.api_key.get_secret_value()
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        url = find_server(settings.data_dir, api_key=key)
        if url is not None:
            return url
        time.sleep(_POLL_SECONDS)
    raise Unavailable(
        f"The server did not start. {LOG} in the data folder says why; "
        "`peftwise serve` shows it here."
    )
