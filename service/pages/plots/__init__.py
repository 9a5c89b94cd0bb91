"""The charts of past runs, in the order of their links: to add one, write its file and name it."""

from collections.abc import Mapping

from service.pages.plots import (
    coverage,
    failures,
    importance,
    parallel,
    pareto,
    predicted,
    repeats,
)
from service.pages.plots.spec import Chart

CHARTS: Mapping[str, Chart] = {
    chart.name: chart
    for chart in (
        pareto.CHART,
        parallel.CHART,
        importance.CHART,
        repeats.CHART,
        predicted.CHART,
        failures.CHART,
        coverage.CHART,
    )
}
