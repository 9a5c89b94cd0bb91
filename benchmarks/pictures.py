"""Make the two pictures of the README from the pages themselves.

    python benchmarks/pictures.py [--to benchmarks/results]

A server on an empty data folder is asked in Chromium how to fine-tune the tiny base on the sample
of the first page: `answer.png`. Its first configuration is then trained here, which takes torch and
a minute: `job.png` shows it under way.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from service.serving import lend_server
from service.settings import Settings

CHROMIUM = "/usr/bin/chromium"
WIDTH, HEIGHT = 1280, 1300
UNDER_WAY = 0.6  # of the job, when it is taken
TRAIN_SECONDS = 300.0
SAMPLE = Path(__file__).parents[1] / "service" / "pages" / "static" / "sample.jsonl"


def main() -> int:
    """Make both pictures and say where they are."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "results")
    folder = parser.parse_args().to
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as data,
        lend_server(Settings(data_dir=Path(data))) as url,
        sync_playwright() as running,
    ):
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(
            base_url=url, viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light"
        )
        ask(page)
        take(page, folder / "answer.png")
        train(page)
        take(page, folder / "job.png")
        browser.close()
    return 0


def ask(page: Any) -> None:
    """Ask for the sample, and wait for the answer."""
    page.goto("/")
    page.get_by_label("Base model").fill("peftwise-tiny")
    page.get_by_label("Your examples").set_input_files(SAMPLE)
    page.get_by_label("Device", exact=True).fill("cpu")
    page.get_by_role("button", name="Recommend").click()
    page.get_by_role("heading", name="Ranked, good and different").wait_for()


def train(page: Any) -> None:
    """Train the first configuration, and wait until the job is well under way."""
    page.get_by_role("button", name="Train this").first.click()
    page.get_by_role("heading", name="What happened").wait_for()
    deadline = time.monotonic() + TRAIN_SECONDS
    while time.monotonic() < deadline:
        page.wait_for_timeout(200)
        bar = page.locator("progress")
        done = float(bar.first.get_attribute("value") or 0) / 100 if bar.count() else 1.0
        if done >= UNDER_WAY and page.locator(".curve").count():
            return
    raise SystemExit("The job did not get on. Its page and the server's log say why.")


def take(page: Any, path: Path) -> None:
    """Take what a window shows of a page."""
    page.screenshot(path=path)
    print(f"{path} ({path.stat().st_size / 1024:,.0f} KiB)")


if __name__ == "__main__":
    raise SystemExit(main())
