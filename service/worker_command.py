"""`peftwise worker`: attach this machine to a service, by its URL and key.

It asks for work and starts `python -m training_worker attempt` for each job.
"""

import signal
import socket
import threading
from typing import Annotated

import typer

from metadata.errors import InvalidRequest, PeftwiseError, Unavailable
from service import command_parts as parts
from service import terminal
from service.client import Client, connect
from service.executors.local import LocalExecutor
from service.reaching import key_of, settings_of

ASK_SECONDS = 2.0  # between two questions for work
AWAY_SECONDS = 10.0  # before a service that is away is asked again


def worker(
    url: Annotated[str, typer.Option(help="Of the service.", envvar="PEFTWISE_URL")],
    name: Annotated[str, typer.Option(help="Shown in the events of jobs [this host].")] = "",
    parallel_runs: Annotated[int | None, typer.Option(help="Runs at once.")] = None,
    devices_per_run: Annotated[
        int | None, typer.Option(help="Devices that train one job together [1].")
    ] = None,
    once: Annotated[bool, typer.Option(help="Do one job and end.")] = False,
    data_dir: parts.DataDir = None,
) -> None:
    """Work for a service until told to stop; what trains then writes a checkpoint first.

    The key is read from PEFTWISE_API_KEY.
    """
    settings = settings_of(
        data_dir=data_dir, parallel_runs=parallel_runs, devices_per_run=devices_per_run
    )
    client = connect(url, api_key=key_of(settings))
    executor = LocalExecutor(settings, url=client.url)
    if (missing := executor.missing()) is not None:
        raise InvalidRequest(missing)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    console = terminal.make_console(stderr=True)
    console.print(terminal.plain(f"Working for {client.url}. Ctrl-C stops it."))
    attached = Attached(
        client, executor, name=name or socket.gethostname(), devices=settings.devices_per_run
    )
    attached.work(stopped, once=once)


class Attached:
    """Brings a service's jobs and this machine's processes together."""

    def __init__(self, client: Client, executor: LocalExecutor, *, name: str, devices: int) -> None:
        """Keep whom to ask, what starts attempts, who asks, and the devices of each attempt."""
        self._client, self._executor, self._name = client, executor, name
        self._devices = devices
        self._console = terminal.make_console(stderr=True)

    def work(self, stopped: threading.Event, *, once: bool) -> None:
        """Ask and start until stopped, or until one job has ended; then stop what runs.

        Attempts hold their own leases: whether they run is between them and the service.
        """
        started = 0
        try:
            while not stopped.is_set():
                under_way = self._see()
                if once and started and not under_way:
                    return
                pause = ASK_SECONDS
                if self._executor.capacity() > 0 and not (once and started):
                    try:
                        started += self._take()
                    except Unavailable as error:
                        self._say(str(error))
                        pause = AWAY_SECONDS
                stopped.wait(pause)
        finally:
            self._executor.close()

    def _see(self) -> int:
        """Say which attempts have ended, and return how many run."""
        status = self._executor.status()
        for attempt_id, found in status.items():
            if not found.is_running:
                self._say(f"{attempt_id}: {found.how}.")
        return sum(found.is_running for found in status.values())

    def _take(self) -> int:
        """Start what the service offers; return how many attempts that is."""
        offered = self._client.offer(self._name)
        if offered is None:
            return 0
        try:
            self._executor.submit(offered["attempt_id"], offered["code"], devices=self._devices)
        except PeftwiseError as error:  # the offer runs out and is made again
            self._say(str(error))
            return 0
        self._say(f"{offered['job_id']}: started {offered['attempt_id']}.")
        return 1

    def _say(self, text: str) -> None:
        self._console.print(terminal.plain(text))
