"""The real server and the real attempts are killed, stopped and cut off; only trainers are light.

The long forms: `python tests/faults/fault_campaign.py` and `pytest -m slow tests/faults`.
"""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from typing import Any

import httpx
import pytest
from fault_campaign import campaign
from fault_server import HERE, children_of, order_of, processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


def test_after_random_kills_nothing_is_lost_counted_twice_or_stuck(light: Any) -> None:
    books = campaign(light, jobs=4, kills=5, seed=7, pause_seconds=(0.3, 1.0))

    assert books.is_clean, str(books)
    assert sum(books.kills.values()) >= 4, str(books)


def start_attempt(attached: Any) -> subprocess.Popen[bytes]:
    """Ask for work as an attached worker does, and start its attempt."""
    offered: Any = None
    while offered is None:
        answer = attached.http.post("/v1/workers/offers", json={"worker": "here"})
        offered = answer.json() if answer.status_code == 200 else time.sleep(0.1)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "training_worker", "attempt", "--server", attached.url),
            *("--output-dir", str(attached.data_dir.resolve() / "adapters")),
            *("--trainer", "light_trainer"),
        ],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": f"{HERE}:{HERE.parent.parent}"},
    )
    assert process.stdin is not None
    process.stdin.write(offered["code"].encode() + b"\n")
    process.stdin.close()
    return process


def one_zombie(attached: Any, wait: Any, file_id: str) -> None:
    """Stop an attempt, wake it once its job is another's, and see that it changes nothing."""
    job_id = attached.submit(file_id=file_id)
    zombie = start_attempt(attached)
    wait(lambda: attached.job(job_id)["peft"]["curve"], seconds=30)
    tree = {zombie.pid} | children_of({zombie.pid})
    signal_all(tree, signal.SIGSTOP)
    other = start_attempt(attached)  # offered once the lease has run out
    first, second = attempts_of(attached, job_id)
    wait(lambda: points_of(attached, second), seconds=30)
    before = points_of(attached, first)

    signal_all(tree, signal.SIGCONT)

    assert zombie.wait(20) == 1
    wait(lambda: not tree & set(processes()), seconds=20)
    assert points_of(attached, first) == before
    assert other.wait(60) == 0
    job = attached.job(job_id)
    assert (job["status"], job["peft"]["attempts"]) == ("succeeded", 2)
    assert job["peft"]["run_id"] == second.replace("attempt", "run")


def signal_all(pids: set[int], number: int) -> None:
    """Send a signal to processes, some of which may have ended by themselves."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def attempts_of(light: Any, job_id: str) -> list[str]:
    query = "SELECT id FROM attempts WHERE job_id = ? ORDER BY generation"
    return [row[0] for row in look(light, query, job_id)]


def points_of(light: Any, attempt_id: str) -> list[Any]:
    return look(light, "SELECT * FROM attempt_measurements WHERE attempt_id = ?", attempt_id)


def look(light: Any, query: str, value: str) -> list[Any]:
    with sqlite3.connect(f"file:{light.data_dir}/peftwise.sqlite?mode=ro", uri=True) as database:
        return database.execute(query, (value,)).fetchall()


@pytest.mark.parametrize("count", [1, pytest.param(50, marks=pytest.mark.slow)])
def test_zombies_change_nothing_and_stop(attached: Any, wait: Any, count: int) -> None:
    file_id = attached.upload()
    for _ in range(count):
        one_zombie(attached, wait, file_id)


def test_an_attempt_whose_server_is_gone_is_gone_after_its_lease(light: Any, wait: Any) -> None:
    """The server hangs, and does not die: its children are not told."""
    job_id = light.submit()
    light.wait_until_it_trains(job_id)

    light.process.send_signal(signal.SIGSTOP)
    try:
        wait(lambda: not light.workers(), seconds=20)
    finally:
        light.process.send_signal(signal.SIGCONT)
    wait(lambda: light.job(job_id)["status"] == "succeeded", seconds=60)


def submit_while_it_is_killed(light: Any, *, clients: int, orders: int, kills: int) -> None:
    """Send orders under keys from several clients, again until each is answered."""
    file_id = light.upload()
    accepted: dict[str, str] = {}
    keys = [[str(uuid.uuid4()) for _ in range(orders)] for _ in range(clients)]

    def order_all(own: list[str]) -> None:
        with httpx.Client(trust_env=False, timeout=30) as http:
            for key in own:
                while key not in accepted:
                    order_one(http, key)

    def order_one(http: httpx.Client, key: str) -> None:
        body, headers = order_of(file_id, epochs=1.0), {"Idempotency-Key": key}
        try:
            answer = http.post(f"{light.url}/v1/fine_tuning/jobs", json=body, headers=headers)
        except httpx.HTTPError:
            stopped.wait(0.2)
            return
        assert answer.status_code in {200, 503}, answer.text
        if answer.status_code == 200:
            accepted[key] = answer.json()["id"]

    stopped = threading.Event()
    threads = [threading.Thread(target=order_all, args=(own,)) for own in keys]
    for thread in threads:
        thread.start()
    for _ in range(kills):
        stopped.wait(0.4)
        light.stop(signal.SIGKILL)
        light.start()
    for thread in threads:
        thread.join(120)

    [[jobs]] = look(light, "SELECT count(*) FROM jobs WHERE id != ?", "")
    assert len(set(accepted.values())) == len(accepted) == clients * orders == jobs
    found = light.http.get("/v1/doctor").json()["data"]
    assert [line for line in found if not line["is_well"]] == []


@pytest.mark.parametrize(
    ("orders", "kills"), [(3, 2), pytest.param(40, 20, marks=pytest.mark.slow)]
)
def test_orders_sent_to_a_server_that_is_killed_are_there_once(
    light: Any, orders: int, kills: int
) -> None:
    submit_while_it_is_killed(light, clients=10, orders=orders, kills=kills)
