"""The pages of past runs in a browser: with no run, with three, with many, with hostile texts."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import delete

from metadata.database import write_session
from metadata.notes import Notes
from metadata.records import Run
from metadata.run_rows import RunRow
from service.pages import plots
from tests.pages.axe import serious_faults
from tests.service.pages.browsing import HOSTILE
from tests.service.pages.past_runs import make_run

OpenTab = Callable[..., Any]
MANY = 400
MOST_BYTES = 250_000  # of a first load without charts
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
TABLE = ("/runs", "/runs?filter=scor > 1", "/runs?columns=id,reason,tags,note,created_at")
CHARTS = tuple(f"/runs/explore/{name}" for name in plots.CHARTS)
COMPARISON = "/runs/compare?run=run-page-000&run=run-page-001&run=run-page-002"


def some_runs(count: int) -> Iterator[Run]:
    methods, datasets = ("lora", "dora", "bitfit", "ia3"), ("weeks", "months", "years")
    for number in range(count):
        run = make_run(number, dataset=datasets[number % 3], method=methods[number % 4])
        assert run.scores is not None
        assert run.costs is not None
        yield run.model_copy(
            update={
                "scores": run.scores.model_copy(update={"best_loss": 2.0 + number % 17 / 20}),
                "costs": run.costs.model_copy(update={"train_seconds": 5.0 + number % 97}),
            }
        )


def fill(site: Any, runs: Iterator[Run]) -> None:
    """Have these runs in the history and no others."""
    services = site.app.state.services
    with write_session(services.engine) as session:
        session.execute(delete(RunRow))
    services.history.add_many(runs)


def wait_until(page: Any, condition: str) -> None:
    """Ask again and again from outside: the policy of the pages forbids to do so from inside."""
    deadline = time.monotonic() + 20
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(50)


def wait_until_drawn(page: Any) -> None:
    wait_until(page, "[...document.querySelectorAll('.plot')].every((one) => one.dataset.isDrawn)")


def is_refused(address: str) -> bool:
    return "scor " in address


def look_at(tab: Any, site: Any, address: str) -> None:
    """Open a page and hold it to what every page promises."""
    response = tab.page.goto(address)
    wait_until_drawn(tab.page)

    assert response.status == (422 if is_refused(address) else 200)
    assert tab.page.evaluate(OVERFLOW) <= 0
    assert [said for said in tab.complaints if "422" not in said] == []
    assert all(url.startswith((site.url, "data:", "blob:")) for url in tab.requests)
    assert serious_faults(tab.page) == []


@pytest.mark.parametrize(
    ("count", "width", "scheme"),
    [(0, 400, "dark"), (3, 1280, "dark"), (MANY, 400, "light"), (MANY, 1280, "light")],
)
def test_pages_with_few_and_many_runs_keep_their_promises(
    open_tab: OpenTab, site: Any, count: int, width: int, scheme: str
) -> None:
    fill(site, some_runs(count))
    addresses = [*TABLE, *CHARTS]
    if count:
        addresses += ["/runs/run-page-000", COMPARISON]

    tab = open_tab(width=width, scheme=scheme)
    for address in addresses:
        look_at(tab, site, address)


def test_the_table_is_light(open_tab: OpenTab, site: Any) -> None:
    fill(site, some_runs(MANY))
    tab = open_tab()
    sizes: list[int] = []
    tab.page.on("response", lambda answer: sizes.append(len(answer.body())))

    tab.page.goto("/runs")
    tab.page.wait_for_load_state("networkidle")

    assert len(sizes) >= 5
    assert sum(sizes) <= MOST_BYTES


def test_a_mistake_is_selected_in_the_field(open_tab: OpenTab, site: Any) -> None:
    tab = open_tab()
    tab.page.goto("/runs")
    tab.page.get_by_label("Filter", exact=True).fill("score > 1 and methd = 'lora'")
    tab.page.keyboard.press("Enter")

    tab.page.get_by_role("alert").wait_for()
    wait_until(tab.page, "document.activeElement.id === 'f-filter'")
    field = tab.page.evaluate("[document.activeElement.id, document.activeElement.selectionStart]")
    assert field == ["f-filter", 14]
    assert tab.page.locator("mark").inner_text() == "methd"


def test_runs_are_chosen_and_compared_with_the_keyboard_alone(open_tab: OpenTab, site: Any) -> None:
    fill(site, some_runs(120))
    tab = open_tab()
    keyboard = tab.page.keyboard
    tab.page.goto("/runs")

    def tab_to(condition: str) -> None:
        for _ in range(400):
            keyboard.press("Tab")
            if tab.page.evaluate(f"((one) => {condition})(document.activeElement)"):
                return
        raise AssertionError(f"no way to {condition}")

    tab_to("one.type === 'checkbox' && one.name === 'run'")
    keyboard.press("Space")
    tab_to("one.textContent === 'Next page'")
    keyboard.press("Enter")
    tab.page.get_by_text("1 of at most 20 chosen").wait_for()
    tab_to("one.type === 'checkbox' && one.name === 'run'")
    keyboard.press("Space")
    tab.page.get_by_text("2 of at most 20 chosen").wait_for()
    assert "chosen=run-page-119%2Crun-page-069" in tab.page.evaluate("location.href")
    keyboard.press("Shift+Tab")
    tab.page.get_by_role("button", name="Compare chosen").focus()
    keyboard.press("Enter")

    tab.page.get_by_role("heading", name="2 runs compared").wait_for()
    wait_until_drawn(tab.page)
    assert tab.page.locator("#curves .scatterlayer .trace").count() == 2
    assert tab.complaints == []


def test_the_address_restores_the_whole_view(open_tab: OpenTab, site: Any) -> None:
    fill(site, some_runs(120))
    tab = open_tab()
    tab.page.goto("/runs?filter=rank = 4&columns=score,method&sort=score")
    tab.page.locator("input[name=run][type=checkbox]").nth(3).check()
    tab.page.locator("input[name=run][type=checkbox]").nth(5).check()
    shown = tab.page.locator("table").inner_text()

    again = open_tab()
    again.page.goto(tab.page.evaluate("location.href"))

    assert again.page.locator("table").inner_text() == shown
    assert again.page.locator("input[name=run]:checked").count() == 2
    assert again.page.get_by_label("Filter", exact=True).input_value() == "rank = 4"
    assert again.page.get_by_role("button", name="Compare chosen").is_enabled()


def test_no_more_than_twenty_can_be_chosen(open_tab: OpenTab, site: Any) -> None:
    fill(site, some_runs(120))
    tab = open_tab()
    tab.page.goto("/runs")
    boxes = tab.page.locator("input[name=run][type=checkbox]")
    assert tab.page.get_by_role("button", name="Compare chosen").is_disabled()

    for number in range(20):
        boxes.nth(number).check()
    assert boxes.nth(20).is_disabled()

    boxes.nth(4).uncheck()
    assert boxes.nth(20).is_enabled()


def test_an_archive_is_undone_by_one_button(open_tab: OpenTab, site: Any) -> None:
    fill(site, some_runs(3))
    tab = open_tab()
    tab.page.goto("/runs")
    tab.page.locator("input[name=run][type=checkbox]").first.check()
    tab.page.get_by_role("button", name="Archive").click()
    tab.page.get_by_text("1 run was archived").wait_for()
    assert tab.page.locator("tbody tr").count() == 2

    tab.page.get_by_role("button", name="Undo").click()

    tab.page.get_by_text("1 run was taken back").wait_for()
    assert tab.page.locator("tbody tr").count() == 3


def test_a_chart_is_drawn_in_the_colours_of_light_and_dark(open_tab: OpenTab, site: Any) -> None:
    fill(site, some_runs(60))
    tab = open_tab(scheme="light")
    tab.page.goto(CHARTS[0])
    wait_until_drawn(tab.page)
    colour = "getComputedStyle(document.querySelector('.scatterlayer .js-line')).stroke"
    light = tab.page.evaluate(colour)

    tab.page.emulate_media(color_scheme="dark")

    wait_until(tab.page, f"{colour} !== '{light}'")
    assert tab.page.locator("details[data-table]").get_attribute("open") is None
    assert tab.complaints == []


def test_a_point_of_a_chart_leads_to_its_run(open_tab: OpenTab, site: Any) -> None:
    fill(site, some_runs(3))
    tab = open_tab()
    tab.page.goto(CHARTS[0])
    wait_until_drawn(tab.page)

    point = tab.page.locator(".scatterlayer .point").first
    point.scroll_into_view_if_needed()
    at = point.bounding_box()
    tab.page.mouse.move(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
    tab.page.locator(".hoverlayer .hovertext").wait_for()
    tab.page.mouse.click(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)

    tab.page.wait_for_url("**/runs/run-page-*")


def test_without_scripts_tables_stand_in_the_place_of_charts(open_tab: OpenTab, site: Any) -> None:
    fill(site, some_runs(60))
    tab = open_tab(scripts=False)

    for address in (*CHARTS[:2], COMPARISON):
        tab.page.goto(address)
        assert tab.page.locator("details[data-table] tbody tr").count() >= 1
        assert tab.page.locator("details[data-table] table").first.is_visible()
        assert tab.page.locator(".plot").first.is_hidden()

    tab.page.goto("/runs")
    for number in (0, 1):
        tab.page.locator("input[name=run][type=checkbox]").nth(number).check()
    tab.page.get_by_role("button", name="Compare chosen").click()
    tab.page.get_by_role("heading", name="2 runs compared").wait_for()


def test_hostile_texts_stay_texts_everywhere(open_tab: OpenTab, site: Any) -> None:
    text = f"{HOSTILE}</script><script>window.hacked = 1</script><b>%{{x}} --accent"
    hostile = [
        make_run(number, dataset=text).model_copy(
            update={
                "state": "failed" if number == 2 else "succeeded",
                "reason": text,
                "versions": {text: text},
            }
        )
        for number in range(3)
    ]
    fill(site, iter(hostile))
    Notes(site.app.state.services.engine).change("run-page-000", text=text, tags=[text[:90]])

    addresses = [
        f"/runs?columns=dataset_name,reason,tags,note,id&filter=reason = '{text}'",
        f"/runs?filter={text}&state={text}",
        f"/runs?dataset={text}&columns={text}&sort={text}",
        "/runs/run-page-000",
        f"{COMPARISON}&all=1&measure={text}&view={text}",
        *CHARTS,
        f"/runs/explore/pareto?cost={text}",
        f"/runs/explore/parallel?axes=dataset_name, reason, method&by={text}",
        "/runs/explore/parallel?axes=dataset_name, reason, method",
        f"/runs/explore/{text}",
    ]
    tab = open_tab()
    tab.page.on("dialog", lambda dialog: pytest.fail(f"a dialog: {dialog.message}"))
    for address in addresses:
        tab.page.goto(address.replace("%", "%25").replace("#", "%23"))
        wait_until_drawn(tab.page)
        assert tab.page.evaluate("window.hacked") is None
        assert tab.page.locator("img[src=x]").count() == 0
        assert [said for said in tab.complaints if "the server responded" not in said] == []

    tab.page.goto("/runs/explore/parallel?axes=dataset_name, reason, method")
    wait_until_drawn(tab.page)
    assert "<img src=x" in tab.page.locator("#parallel").inner_text()
