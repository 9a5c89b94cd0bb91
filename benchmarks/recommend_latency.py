"""How long a warm answer takes, over HTTP on this machine.

    python benchmarks/recommend_latency.py [--count 100] [--json FILE]

A server of its own, on an empty data folder with the shipped knowledge, is asked for
`meta-llama/Llama-3.2-3B` on one `NVIDIA L40S` with 1,000 examples: as a profile, and in full. Each
answer looks at 10,000 fresh configurations beside a few hundred others. The server's process tells
whether torch was loaded.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
import uvicorn

from metadata.examples import parse_example
from metadata.features.dataset import profile_dataset
from service.app import create_app
from service.settings import Settings

WARM_UP = 5
EXAMPLES = 1000
TARGET_MILLISECONDS = 100.0  # at the 95th of a hundred


def main() -> int:
    """Measure, print a table, write JSON where asked; 1 where the target is missed."""
    arguments = _parse()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as url:
        found = {name: measure(url, body, arguments.count) for name, body in questions().items()}
    torch_loaded = any(name.split(".")[0] == "torch" for name in sys.modules)
    result = {
        "milliseconds": found,
        "target_milliseconds": TARGET_MILLISECONDS,
        "torch_loaded": torch_loaded,
    }
    _print(found, torch_loaded=torch_loaded)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    is_good = found["profile"]["p95"] <= TARGET_MILLISECONDS and not torch_loaded
    return 0 if is_good else 1


def questions() -> dict[str, Any]:
    """Return the two questions: the data as a profile, and in full."""
    records = [
        {
            "prompt": f"Question {number}: which of the {number % 7 + 2} rivers is the longest? "
            + "Think of its springs and its mouth. " * (number % 5),
            "completion": f"River {number * 7919 % 997} is, with {number * 31 % 6000} kilometres.",
        }
        for number in range(EXAMPLES)
    ]
    examples = [parse_example(record, line=line) for line, record in enumerate(records, start=1)]
    profile = profile_dataset(examples, name="rivers").model_dump(mode="json")
    return {
        name: {
            "base_model": {"id": "meta-llama/Llama-3.2-3B"},
            "dataset": dataset,
            "hardware": {"device": "NVIDIA L40S"},
        }
        for name, dataset in {
            "profile": {"profile": profile},
            "examples": {"examples": records},
        }.items()
    }


def measure(url: str, body: Any, count: int) -> dict[str, float]:
    """Return median, p95 and p99 of `count` warm answers, in milliseconds.

    `cpu` is the mean processor time of one, server and client together: what a busy machine
    does not change.
    """
    content, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
    times: list[float] = []
    cpu_start = 0.0
    with httpx.Client(base_url=url, timeout=60) as client:
        for number in range(WARM_UP + count):
            start = time.perf_counter()
            answer = client.post("/v1/recommendations", content=content, headers=headers)
            elapsed = 1000 * (time.perf_counter() - start)
            answer.raise_for_status()
            if number >= WARM_UP:
                times.append(elapsed)
            else:
                cpu_start = time.process_time()
    cpu = 1000 * (time.process_time() - cpu_start) / count
    hundredths = quantiles(times, n=100, method="inclusive")
    return {"median": median(times), "p95": hundredths[94], "p99": hundredths[98], "cpu": cpu}


@contextmanager
def running(data_dir: Path) -> Iterator[str]:
    """Serve on a free port of the loopback address, in this process."""
    app = create_app(Settings(data_dir=data_dir))
    app.state.services.knowledge.prepare()
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise SystemExit("The server did not start.")
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How long a warm answer takes.")
    parser.add_argument("--count", type=int, default=100, help="questions to measure, at least 2")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args()


def _print(found: dict[str, dict[str, float]], *, torch_loaded: bool) -> None:
    print(f"{'data':<10}{'median ms':>11}{'p95 ms':>9}{'p99 ms':>9}{'cpu ms':>9}")
    for name, figures in found.items():
        print(
            f"{name:<10}{figures['median']:>11.1f}{figures['p95']:>9.1f}"
            f"{figures['p99']:>9.1f}{figures['cpu']:>9.1f}"
        )
    print(f"torch loaded: {'yes' if torch_loaded else 'no'}")


if __name__ == "__main__":
    sys.exit(main())
