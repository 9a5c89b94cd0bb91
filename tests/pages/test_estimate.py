import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MEASURE_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
FILL_OF_WEIGHTS = "getComputedStyle(document.querySelector('.memory .part-weights')).fill"
CONFIGURATION = {
    "method": {"name": "lora", "r": 8, "lora_alpha": 16, "lora_dropout": 0.0},
    "optimizer": {"name": "adamw", "learning_rate": 2e-4},
}
OpenTab = Callable[..., Any]


def ask(page: Any, data_file: Path) -> None:
    page.goto("/estimate")
    page.get_by_label("Base model").fill("meta-llama/Llama-3.2-3B")
    page.get_by_label("Your examples").set_input_files(data_file)
    page.get_by_label("Device", exact=True).fill("L40S")
    page.get_by_label("Configuration").fill(json.dumps(CONFIGURATION))
    page.get_by_role("button", name="Estimate").click()
    page.get_by_role("heading", name="What takes the room").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_the_estimate_fits_the_window_and_nothing_complains(
    open_tab: OpenTab, data_file: Path, site: Any, width: int, scheme: str
) -> None:
    tab = open_tab(width=width, scheme=scheme)
    tab.page.goto("/estimate")
    assert tab.page.evaluate(MEASURE_OVERFLOW) <= 0

    ask(tab.page, data_file)
    tab.page.get_by_text("As a table").click()
    tab.page.get_by_text("Configuration as JSON").click()

    assert tab.page.evaluate(MEASURE_OVERFLOW) <= 0
    assert tab.complaints == []
    assert all(url.startswith(site.url) for url in tab.requests)


def test_the_picture_has_colours_of_its_own_in_the_dark(open_tab: OpenTab, data_file: Path) -> None:
    light, dark = open_tab(scheme="light"), open_tab(scheme="dark")
    ask(light.page, data_file)
    ask(dark.page, data_file)

    fill = light.page.evaluate(FILL_OF_WEIGHTS)
    dark.page.wait_for_function(f"fill => {FILL_OF_WEIGHTS} !== fill", arg=fill)
    assert light.page.evaluate(FILL_OF_WEIGHTS) == fill


def test_an_estimate_works_without_scripts(open_tab: OpenTab, data_file: Path) -> None:
    tab = open_tab(scripts=False)

    ask(tab.page, data_file)

    tab.page.get_by_role("img", name="Memory over one training step").wait_for()
    tab.page.get_by_role("heading", name="What frees it").wait_for()


def test_the_form_can_be_sent_with_the_keyboard_alone(open_tab: OpenTab, data_file: Path) -> None:
    tab = open_tab()
    tab.page.goto("/estimate")
    keyboard = tab.page.keyboard
    keyboard.press("Tab")
    keyboard.press("Enter")  # skips to the content
    keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.id") == "model"
    keyboard.type("peftwise-tiny")
    tab.page.get_by_label("Your examples").set_input_files(data_file)
    tab.page.get_by_label("Device", exact=True).focus()
    keyboard.type("cpu")
    keyboard.press("Escape")  # closes the list of proposals
    keyboard.press("Enter")

    tab.page.get_by_role("heading", name="What takes the room").wait_for()
