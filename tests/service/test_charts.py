import pytest

from metadata.records import Measurement
from service.pages import charts


def point(step: int, value: float, split: str = "validation") -> Measurement:
    return Measurement.model_validate(
        {"name": "loss", "step": step, "value": value, "split": split}
    )


def test_an_interval_bar_places_regret_on_the_line() -> None:
    bar = charts.interval_bar(0.5, 0.25, 1.0, largest=2.0)

    assert (bar.start, bar.expected, bar.median) == (25.0, 50.0, 100.0)
    assert bar.start + bar.width == 100.0


def test_an_interval_bar_stays_on_its_line() -> None:
    bar = charts.interval_bar(3.0, -1.0, 9.0, largest=2.0)

    assert bar.start == 0.0
    assert bar.start + bar.width == charts.BAR_WIDTH


def test_an_effect_that_helps_points_left_of_the_middle() -> None:
    helps, hurts = (charts.effect_bar(change, largest=0.2) for change in (-0.1, 0.2))

    assert (helps.start, helps.width, helps.helps) == (50.0, 50.0, True)
    assert (hurts.start, hurts.width, hurts.helps) == (100.0, 100.0, False)


def test_effects_of_nothing_have_no_length() -> None:
    assert charts.effect_bar(0.0, largest=0.0).width == 0.0


def test_a_curve_falls_from_left_to_right_inside_its_axes() -> None:
    chart = charts.curve_chart(
        [point(0, 3.0), point(50, 2.0), point(100, 1.5)], name="loss", title=""
    )

    assert chart is not None
    places = chart.lines[0].dots
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert [y for _, y in places] == sorted(y for _, y in places)
    assert all(chart.left <= x <= chart.right and chart.top <= y <= chart.bottom for x, y in places)


@pytest.mark.parametrize("value", [0.0, -2.0, 1e-9, 1e6])
def test_a_flat_curve_is_drawn(value: float) -> None:
    chart = charts.curve_chart([point(0, value), point(10, value)], name="loss", title="")

    assert chart is not None
    assert len(chart.y_ticks) >= 2


def test_without_points_there_is_no_chart() -> None:
    assert charts.curve_chart([], name="loss", title="") is None
    assert charts.curve_chart([point(1, 1.0, "test")], name="loss", title="") is None


def test_ticks_cover_the_values_with_round_numbers() -> None:
    chart = charts.curve_chart([point(0, 4.37), point(376, 1.13)], name="loss", title="")

    assert chart is not None
    assert [tick.label for tick in chart.y_ticks] == ["1", "2", "3", "4", "5"]
    assert [tick.label for tick in chart.x_ticks] == ["0", "100", "200", "300", "400"]
