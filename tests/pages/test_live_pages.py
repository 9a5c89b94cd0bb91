"""Pages that follow their jobs: how soon, how many at once, and what a hidden tab does."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import httpx

OpenTab = Callable[..., Any]
HIDE = """(isHidden) => {
    Object.defineProperty(document, "hidden", {value: isHidden, configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_report_is_on_the_page_within_a_second(open_tab: OpenTab, start_job: Any) -> None:
    tried = start_job()
    tab = open_tab()
    tab.page.goto(f"/jobs/{tried.job_id}")
    tab.page.wait_for_timeout(500)
    waits = []

    for _ in range(7):
        begun = time.monotonic()
        tried.report(text=f"line {tried.step + 1} of the log\n")
        tab.page.get_by_text(f"step {tried.step},").wait_for(timeout=5_000)
        waits.append(time.monotonic() - begun)
        tab.page.wait_for_timeout(200)

    assert statistics.median(waits) < 1.0, waits
    assert f"line {tried.step} of the log" in tab.page.locator("pre.log").inner_text()
    assert tab.complaints == []


def test_a_page_follows_pause_resume_and_cancel_and_ends(
    open_tab: OpenTab, start_job: Any, site: Any
) -> None:
    tried = start_job()
    tab = open_tab()
    tab.page.goto(f"/jobs/{tried.job_id}")

    tab.page.get_by_role("button", name="Pause").click()
    tab.page.locator(".state", has_text="paused").first.wait_for()
    tab.page.get_by_role("button", name="Resume").click()
    tab.page.locator(".state", has_text="queued").first.wait_for()
    tab.page.get_by_role("button", name="Cancel the job").click()
    tab.page.locator(".state", has_text="cancelled").first.wait_for()

    assert tab.page.get_by_role("button", name="Cancel the job").count() == 0
    _wait_until(lambda: site.app.state.services.live.count == 0)


def test_a_log_read_in_the_middle_stays_where_it_is_and_at_its_end_follows(
    open_tab: OpenTab, start_job: Any
) -> None:
    tried = start_job()
    tried.report(text="".join(f"line {n}\n" for n in range(200)))
    tab = open_tab()
    tab.page.goto(f"/jobs/{tried.job_id}")
    at_end = "(log) => log.scrollTop + log.clientHeight >= log.scrollHeight - 4"
    log = tab.page.locator("pre.log")
    assert log.evaluate(at_end)

    tried.report(text="told now\n")
    tab.page.get_by_text("told now").wait_for()
    assert log.evaluate(at_end)
    log.evaluate("(log) => { log.scrollTop = 40; }")
    tried.report(text="told then\n")
    tab.page.get_by_text("told then").wait_for()

    assert log.evaluate("(log) => log.scrollTop") == 40


def test_the_focus_stays_on_the_button_that_has_it(open_tab: OpenTab, start_job: Any) -> None:
    tried = start_job()
    tab = open_tab()
    tab.page.goto(f"/jobs/{tried.job_id}")
    tab.page.get_by_role("button", name="Pause").focus()

    tried.report()
    tab.page.get_by_text(f"step {tried.step},").wait_for()

    assert tab.page.evaluate("document.activeElement.textContent") == "Pause"


def test_a_hidden_tab_lets_go_of_its_stream_and_catches_up(
    open_tab: OpenTab, start_job: Any, site: Any
) -> None:
    live = site.app.state.services.live
    tried = start_job()
    tab = open_tab()
    tab.page.goto(f"/jobs/{tried.job_id}")
    _wait_until(lambda: live.count == 1)

    tab.page.evaluate(HIDE, True)
    _wait_until(lambda: live.count == 0)
    tried.report()
    tab.page.wait_for_timeout(1_000)
    assert tab.page.get_by_text(f"step {tried.step},").count() == 0
    tab.page.evaluate(HIDE, False)

    tab.page.get_by_text(f"step {tried.step},").wait_for()
    _wait_until(lambda: live.count == 1)


def test_the_list_of_jobs_follows_them(open_tab: OpenTab, start_job: Any, site: Any) -> None:
    tried = start_job()
    tab = open_tab()
    tab.page.goto("/jobs?state=running")
    card = tab.page.locator("li", has_text=tried.job_id)
    card.wait_for()

    site.app.state.services.queue.cancel(tried.job_id)

    card.wait_for(state="detached")


def test_eight_tabs_and_sixty_streams_leave_pages_and_health_quick(
    open_tab: OpenTab, start_job: Any, site: Any
) -> None:
    tried = start_job()
    path = f"/v1/live/jobs/{tried.job_id}"
    clients = [
        httpx.Client(base_url=site.url, trust_env=False, verify=False, timeout=20)
        for _ in range(60)
    ]
    try:
        for client in clients:
            client.send(client.build_request("GET", path), stream=True)
        tabs = [open_tab() for _ in range(8)]
        for tab in tabs:
            tab.page.goto(f"/jobs/{tried.job_id}")
        tried.report()
        health, pages = [], []
        with httpx.Client(base_url=site.url, trust_env=False, timeout=20) as asking:
            for _ in range(20):
                tried.report()
                health.append(_seconds(asking, "/livez"))
                pages.append(_seconds(asking, f"/jobs/{tried.job_id}"))
    finally:
        for client in clients:
            client.close()

    assert statistics.median(health) < 0.5, health
    assert statistics.median(pages) < 1.0, pages


def _seconds(client: httpx.Client, path: str) -> float:
    begun = time.monotonic()
    assert client.get(path).status_code == 200
    return time.monotonic() - begun


def _wait_until(is_so: Callable[[], bool], *, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)
