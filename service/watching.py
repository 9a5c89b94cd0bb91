"""Follow a job to its end, with a progress bar on stderr."""

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from service import wording
from service.client import Client

POLL_SECONDS = 0.5
ENDED = frozenset({"succeeded", "failed", "cancelled"})
Json = dict[str, Any]


def watch(
    client: Client,
    job_id: str,
    *,
    console: Console,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Json:
    """Show a job until it ends and return it as it then stands."""
    with _bar(console) as bar:
        task = bar.add_task("queued", total=1.0, detail="")
        while True:
            job = client.job(job_id)
            bar.update(
                task,
                description=job["status"],
                completed=1.0 if job["status"] == "succeeded" else job["peft"]["progress"],
                detail=detail(job, now=now()),
            )
            if job["status"] in ENDED:
                return job
            sleep(POLL_SECONDS)


def detail(job: Json, *, now: float) -> str:
    """Say where a job is: its step, its newest losses, the time that is left."""
    parts = []
    curve = job["peft"]["curve"]
    if curve:
        parts.append(f"step {max(point['step'] for point in curve):,}")
    for split in ("train", "validation"):
        losses = [p for p in curve if p["split"] == split and "loss" in p["name"]]
        if losses:
            newest = max(losses, key=lambda point: point["step"])
            parts.append(f"{split} loss {newest['value']:.3f}")
    finish = job.get("estimated_finish")
    if finish is not None and job["status"] == "running":
        parts.append(f"about {wording.duration(max(0.0, finish - now))} left")
    return ", ".join(parts)


def _bar(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description:<9}", markup=False),
        BarColumn(bar_width=28),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[detail]}", markup=False),
        console=console,
        transient=not console.is_terminal,
    )
