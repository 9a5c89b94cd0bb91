"""Several processes that do runs, any of which may die."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from metadata.records import RunState
from training_worker.campaigns.plan import Item
from training_worker.campaigns.shards import append, new_shard
from training_worker.campaigns.work import failed, serve

_PATIENCE_SECONDS = 10.0  # for a process to end by itself


@dataclass
class Worker:
    """A process, the connection to it, and what it is doing."""

    process: BaseProcess
    connection: Connection
    item: Item | None = None


def work_off(
    items: Iterator[Item],
    output: Path,
    *,
    processes: int,
    is_over: Callable[[], bool],
    report: Callable[[RunState], None],
) -> None:
    """Do the items on several processes and keep each run in the output folder.

    A process that dies leaves a failed run with its exit code, and another takes its place.

    Args:
        items: What to do, in order.
        output: The campaign's folder.
        processes: How many, each with one thread.
        is_over: Says when no more is to be begun; what is under way is finished.
        report: Told how each run ended.
    """
    workers: list[Worker] = []
    try:
        while len(workers) < processes and not is_over() and (item := next(items, None)):
            workers.append(_start(output))
            _send(workers[-1], item)
        while any(worker.item for worker in workers):
            _collect(workers, items, output, is_over, report)
    finally:
        for worker in workers:
            _stop(worker)


def _start(output: Path) -> Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, output), daemon=True)
    process.start()
    theirs.close()  # so that the end of the process is the end of the connection
    return Worker(process=process, connection=ours)


def _send(worker: Worker, item: Item) -> None:
    worker.item = item
    with suppress(BrokenPipeError):  # it has died: the next wait says so
        worker.connection.send(item)


def _collect(
    workers: list[Worker],
    items: Iterator[Item],
    output: Path,
    is_over: Callable[[], bool],
    report: Callable[[RunState], None],
) -> None:
    ready = wait([worker.connection for worker in workers if worker.item])
    for index, worker in enumerate(workers):
        if worker.connection not in ready or worker.item is None:
            continue
        try:
            state: RunState = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            state = _bury(worker, worker.item, output)
        report(state)
        worker.item = None
        following = None if is_over() else next(items, None)
        if following is not None:
            workers[index] = worker if worker.process.is_alive() else _start(output)
            _send(workers[index], following)


def _bury(worker: Worker, item: Item, output: Path) -> RunState:
    worker.process.join(_PATIENCE_SECONDS)
    code = worker.process.exitcode
    run = failed(item, f"the process that trained ended with exit code {code}")
    append(new_shard(output), run)
    return run.state


def _stop(worker: Worker) -> None:
    if worker.item is None:
        with suppress(OSError):
            worker.connection.send(None)
        worker.process.join(_PATIENCE_SECONDS)
    if worker.process.is_alive():
        worker.process.terminate()
        worker.process.join(_PATIENCE_SECONDS)
    worker.connection.close()
