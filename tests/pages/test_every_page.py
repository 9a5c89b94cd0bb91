"""What every page but those of runs keeps to: see `PAGES`; each is opened with something on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pages.axe import serious_faults

OpenTab = Callable[..., Any]
HOSTILE = '"><img src=x onerror=window.hurt=1><script>window.hurt=1;<!--.jsonl'
PAGES = ("/", "/estimate", "/jobs", "/job", "/workers", "/knowledge", "/data")
MEASURE_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
MOST_BYTES = 250_000  # of a first load


@pytest.fixture(scope="module")
def tried(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Keep the one job that the tests of this file look at."""
    return {}


@pytest.fixture
def address(site: Any, start_job: Any, tried: dict[str, Any]) -> Callable[[str], str]:
    """Return a function that says where a page is, once there is something on each."""
    if not tried:
        one = start_job(file_name=HOSTILE, worker=HOSTILE)
        for _ in range(3):
            one.report(text=f"loading {HOSTILE}\n", steps=10)
        one.report(split="validation", steps=10)
        tried["job"] = one

    def say(page: str) -> str:
        return f"/jobs/{tried['job'].job_id}" if page == "/job" else page

    return say


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_whole_quiet_and_open_to_everyone(
    open_tab: OpenTab, address: Any, site: Any, page: str, scheme: str
) -> None:
    """It asks this server alone, complains of nothing, fits 400 px, and axe finds no fault."""
    tab = open_tab(width=400, scheme=scheme)
    tab.page.goto(address(page))
    tab.page.wait_for_timeout(300)

    assert tab.page.evaluate(MEASURE_OVERFLOW) <= 0
    assert serious_faults(tab.page) == []
    assert tab.complaints == []
    assert all(url.startswith(site.url) for url in tab.requests)
    assert tab.page.evaluate("window.hurt") is None


@pytest.mark.parametrize("page", PAGES)
def test_a_first_load_is_small(open_tab: OpenTab, address: Any, page: str) -> None:
    tab = open_tab()
    sizes: list[int] = []
    tab.page.on("response", lambda answer: sizes.append(_size(answer)))
    tab.page.goto(address(page))
    tab.page.wait_for_timeout(300)

    assert len(sizes) >= 4
    assert sum(sizes) <= MOST_BYTES


def _size(answer: Any) -> int:
    is_stream = "event-stream" in answer.headers.get("content-type", "")
    return 0 if is_stream else len(answer.body())


@pytest.mark.parametrize("page", PAGES)
def test_everything_is_reached_with_the_keyboard_and_shows_it(
    open_tab: OpenTab, address: Any, page: str
) -> None:
    tab = open_tab()
    tab.page.goto(address(page))
    tab.page.evaluate(_REST)
    tab.page.wait_for_timeout(500)  # an answer may be on its way still, and be put in place
    tab.page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
    wanted = tab.page.evaluate(_MARK_FOCUSABLE)
    reached = set()

    for _ in range(wanted + 12):
        tab.page.keyboard.press("Tab")
        number, outline = tab.page.evaluate(_LOOK_AT_FOCUS)
        reached.add(number)
        assert outline != "none", number

    assert reached >= set(range(wanted))


# What is marked must not be put in place anew meanwhile, as a page that is seen does.
_REST = """() => {
    Object.defineProperty(document, "hidden", {value: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""
_MARK_FOCUSABLE = """() => {
    const all = [...document.querySelectorAll(
        "a[href], button, input, select, textarea, summary, [tabindex='0']")];
    const shown = all.filter((one) => one.tabIndex >= 0 && one.type !== "hidden"
        && !one.disabled && (one.type !== "radio" || one.checked));
    shown.forEach((one, at) => one.setAttribute("data-at", at));
    return shown.length;
}"""
_LOOK_AT_FOCUS = """() => {
    const one = document.activeElement;
    const shown = one.matches(".segments input") ? one.nextElementSibling : one;
    const outline = one === document.body ? "" : getComputedStyle(shown).outlineStyle;
    return [Number(one.getAttribute("data-at") ?? -1), outline];
}"""


@pytest.mark.parametrize("page", PAGES)
def test_hostile_names_stay_text(open_tab: OpenTab, address: Any, page: str) -> None:
    tab = open_tab()
    tab.page.goto(address(page))

    assert tab.page.locator("img[src='x']").count() == 0
    assert tab.page.evaluate("window.hurt") is None
    if page in {"/jobs", "/job", "/workers", "/data"}:
        assert "onerror=window.hurt" in tab.page.locator("main").inner_text()


def test_hostile_lines_of_a_file_stay_text(open_tab: OpenTab, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(f'{{"prompt": "{HOSTILE}"\n' * 3 + "<script>window.hurt=1</script>\n")
    tab = open_tab()
    tab.page.goto("/data")
    tab.page.get_by_label("File", exact=True).set_input_files(path)
    tab.page.get_by_label("Base model").fill(HOSTILE)
    tab.page.get_by_role("button", name="Check", exact=True).first.click()
    tab.page.get_by_role("alert").wait_for()
    assert tab.page.get_by_label("Base model").input_value() == HOSTILE

    tab.page.get_by_label("File", exact=True).set_input_files(path)
    tab.page.get_by_label("Base model").fill("")
    tab.page.get_by_role("button", name="Check", exact=True).first.click()
    tab.page.get_by_text("Mend the errors first").wait_for()

    assert "<script>window.hurt" in tab.page.locator(".bad-lines").first.inner_text()
    assert tab.page.evaluate("window.hurt") is None
    assert tab.complaints == [] or all("422" in one for one in tab.complaints)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("page", "button"), [("/", "Recommend"), ("/estimate", "Estimate")])
def test_an_answer_is_open_to_everyone(
    open_tab: OpenTab, data_file: Path, page: str, button: str, scheme: str
) -> None:
    tab = open_tab(width=400, scheme=scheme)
    tab.page.goto(page)
    tab.page.get_by_label("Base model").fill("peftwise-tiny")
    tab.page.get_by_label("Your examples").set_input_files(data_file)
    tab.page.get_by_label("Device", exact=True).fill("cpu")
    tab.page.get_by_role("button", name=button).click()
    tab.page.locator("#headline").wait_for()
    tab.page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")

    assert serious_faults(tab.page) == []
    assert tab.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_file_is_checked_mended_kept_and_deleted_without_scripts(
    open_tab: OpenTab, data_file: Path, scheme: str
) -> None:
    with data_file.open("a") as file:
        file.write('{"prompt": "Capital of France?", "completion": "Paris",}\n')
    tab = open_tab(width=400, scheme=scheme, scripts=False)
    tab.page.goto("/data")
    tab.page.get_by_label("File", exact=True).set_input_files(data_file)
    tab.page.get_by_role("button", name="Check", exact=True).first.click()
    tab.page.get_by_text("Mend the errors first").wait_for()
    assert tab.page.evaluate(MEASURE_OVERFLOW) <= 0
    with tab.page.expect_download() as download:
        tab.page.get_by_role("link", name="Download the repaired copy").click()
    assert download.value.suggested_filename == "weeks.repaired.jsonl"

    tab.page.get_by_role("button", name="Keep the repaired copy").click()
    kept = tab.page.locator(".file", has_text="weeks.repaired.jsonl")
    kept.wait_for()
    kept.get_by_role("button", name="Delete").click()

    tab.page.get_by_role("heading", name="Files here").wait_for()
    assert kept.count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_wrong_with_a_file_is_told_to_everyone(
    open_tab: OpenTab, data_file: Path, scheme: str
) -> None:
    with data_file.open("a") as file:
        file.write('{"prompt": "Capital of France?", "completion": "Paris",}\n{"prompt": "Cap\n')
    tab = open_tab(width=400, scheme=scheme)
    tab.page.goto("/data")
    tab.page.get_by_label("File", exact=True).set_input_files(data_file)
    tab.page.get_by_role("button", name="Check", exact=True).first.click()
    tab.page.get_by_text("Mend the errors first").wait_for()

    assert serious_faults(tab.page) == []
    assert tab.complaints == []
