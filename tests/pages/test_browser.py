from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WIDTHS = (400, 900, 1440)
MEASURE_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
OpenTab = Callable[..., Any]


def ask(page: Any, data_file: Path) -> None:
    page.goto("/")
    page.get_by_label("Base model").fill("peftwise-tiny")
    page.get_by_label("Your examples").set_input_files(data_file)
    page.get_by_label("Device", exact=True).fill("cpu")
    page.get_by_role("button", name="Recommend").click()
    page.get_by_role("heading", name="Ranked, good and different").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_answer_fits_the_window(
    open_tab: OpenTab, data_file: Path, width: int, scheme: str
) -> None:
    tab = open_tab(width=width, scheme=scheme)
    tab.page.goto("/")
    assert tab.page.evaluate(MEASURE_OVERFLOW) <= 0

    ask(tab.page, data_file)
    tab.page.locator("details.more").first.locator("summary").first.click()
    tab.page.get_by_text("Traded against time and memory").click()

    assert tab.page.evaluate(MEASURE_OVERFLOW) <= 0
    assert tab.page.locator(".option").count() == 6
    assert tab.complaints == []


def test_light_and_dark_are_two_designs(open_tab: OpenTab) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        tab = open_tab(scheme=scheme)
        tab.page.goto("/")
        grounds.append(tab.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert grounds[0] != grounds[1]


def test_pages_ask_this_server_alone_and_nothing_complains(
    open_tab: OpenTab, data_file: Path, site: Any
) -> None:
    tab = open_tab()

    ask(tab.page, data_file)
    tab.page.get_by_role("button", name="Train this").first.click()
    tab.page.get_by_role("heading", name="What happened").wait_for()
    tab.page.get_by_role("link", name="Runs", exact=True).first.click()
    tab.page.get_by_role("heading", name="Past runs").wait_for()

    assert tab.complaints == []
    assert all(url.startswith(site.url) for url in tab.requests)


def test_everything_works_without_scripts(open_tab: OpenTab, data_file: Path) -> None:
    tab = open_tab(scripts=False)

    ask(tab.page, data_file)
    tab.page.get_by_role("button", name="Train this").first.click()
    tab.page.get_by_text("waiting for a worker").wait_for()
    tab.page.get_by_role("button", name="Cancel the job").click()
    tab.page.get_by_text("cancelled", exact=True).wait_for()


def test_a_job_page_follows_its_job_without_a_reload(
    open_tab: OpenTab, data_file: Path, site: Any
) -> None:
    tab = open_tab()
    ask(tab.page, data_file)
    tab.page.get_by_role("button", name="Train this").first.click()
    tab.page.get_by_text("waiting for a worker").wait_for()
    tab.page.evaluate("window.wasNeverReloaded = true")

    job_id = tab.page.url.rsplit("/", 1)[1]
    site.app.state.services.queue.cancel(job_id)

    tab.page.locator(".state", has_text="cancelled").wait_for(timeout=10_000)
    assert tab.page.evaluate("window.wasNeverReloaded") is True
    assert "cancelled" in tab.page.locator("#announce").inner_text()


def test_the_form_can_be_used_with_the_keyboard_alone(open_tab: OpenTab, data_file: Path) -> None:
    tab = open_tab()
    tab.page.goto("/")
    keyboard = tab.page.keyboard

    keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    keyboard.press("Enter")
    keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.id") == "model"
    keyboard.type("peftwise-tiny")
    tab.page.get_by_label("Your examples").set_input_files(data_file)
    tab.page.get_by_label("Device", exact=True).focus()
    keyboard.type("cpu")
    keyboard.press("Escape")  # closes the list of proposals
    keyboard.press("Enter")

    tab.page.get_by_role("heading", name="Ranked, good and different").wait_for()


def test_focus_is_always_visible(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.page.goto("/")

    for _ in range(12):
        tab.page.keyboard.press("Tab")
        outline = tab.page.evaluate(
            """() => {
                const focused = document.activeElement;
                const isRadio = focused.matches(".segments input");
                const shown = isRadio ? focused.nextElementSibling : focused;
                return getComputedStyle(shown).outlineStyle;
            }"""
        )
        assert outline != "none"


def test_a_wrong_device_is_marked_and_what_was_typed_stays(
    open_tab: OpenTab, data_file: Path
) -> None:
    tab = open_tab(width=400)
    tab.page.goto("/")
    tab.page.get_by_label("Base model").fill("peftwise-tiny")
    tab.page.get_by_label("Your examples").set_input_files(data_file)
    tab.page.get_by_label("Device", exact=True).fill("NVIDIA L40X")
    tab.page.get_by_role("button", name="Recommend").click()

    device = tab.page.get_by_label("Device", exact=True)
    assert device.get_attribute("aria-invalid") == "true"
    assert device.input_value() == "NVIDIA L40X"
    assert "weeks.jsonl" in tab.page.locator(".kept").inner_text()
