"""What was forecast of a job, beside what has happened so far."""

from collections.abc import Iterator
from datetime import datetime

from metadata.records import Run
from service import wording
from service.jobs.records import Job
from service.pages.forecast_charts import forecast_bar
from service.pages.job_contexts import ForecastLine
from service.recommender.schemas import Interval, RecommendedConfiguration

_ENDS = "90 % interval"


def forecast_lines(
    job: Job, recommended: RecommendedConfiguration | None, run: Run | None, *, now: datetime
) -> tuple[ForecastLine, ...]:
    """Return a line for each quantity that was forecast.

    Args:
        job: As it stands.
        recommended: What it was ordered from, where it was.
        run: What it has left in the history, where it has.
        now: For how long it has trained.
    """
    return tuple(_lines(job, recommended, run, now=now))


def _lines(
    job: Job, recommended: RecommendedConfiguration | None, run: Run | None, *, now: datetime
) -> Iterator[ForecastLine]:
    costs = None if run is None else run.costs
    seconds = None if costs is None else costs.train_seconds
    if recommended is not None:
        yield _time(job, recommended.train_seconds, seconds, now=now)
        peak = None if costs is None else float(costs.peak_tensor_bytes)
        yield _memory(recommended.peak_memory_bytes, peak)
        yield _quality(recommended, run)
    elif job.order.forecast_seconds is not None:
        yield _time_alone(job, job.order.forecast_seconds, seconds, now=now)


def _time(job: Job, forecast: Interval, seconds: float | None, *, now: datetime) -> ForecastLine:
    words = f"{wording.duration(forecast.low)} to {wording.duration(forecast.high)}"
    return ForecastLine(
        name="Training time",
        forecast=wording.duration(forecast.expected),
        interval=words,
        observed=_time_words(job, seconds, now=now),
        verdict=_verdict(forecast, seconds),
        bar=forecast_bar(
            forecast.low, forecast.expected, forecast.high, observed=seconds, label=words
        ),
    )


def _time_alone(job: Job, expected: float, seconds: float | None, *, now: datetime) -> ForecastLine:
    return ForecastLine(
        name="Training time",
        forecast=wording.duration(expected),
        interval="",
        observed=_time_words(job, seconds, now=now),
        verdict="",
        bar=None,
    )


def _memory(forecast: Interval, peak: float | None) -> ForecastLine:
    words = f"{wording.size(forecast.low)} to {wording.size(forecast.high)}"
    return ForecastLine(
        name="Peak tensor memory",
        forecast=wording.size(forecast.expected),
        interval=words,
        observed=wording.DASH if peak is None else wording.size(peak),
        verdict=_verdict(forecast, peak),
        bar=forecast_bar(
            forecast.low, forecast.expected, forecast.high, observed=peak, label=words
        ),
    )


def _quality(recommended: RecommendedConfiguration, run: Run | None) -> ForecastLine:
    """Say the regret; what it turns out to be only other runs on the same data tell."""
    quality = recommended.quality
    words = f"{wording.decimal(quality.low)} to {wording.decimal(quality.high)}"
    gain = None if run is None else run.score
    return ForecastLine(
        name="Regret (0 best, 1 middling)",
        forecast=wording.decimal(quality.expected_regret),
        interval=words,
        observed=wording.DASH if gain is None else f"{wording.decimal(gain, 3)} nats gained",
        verdict="",
        bar=forecast_bar(
            quality.low, quality.expected_regret, quality.high, observed=None, label=words
        ),
    )


def _time_words(job: Job, seconds: float | None, *, now: datetime) -> str:
    """Say how long training took; until that is told, how long all of it has taken so far.

    That holds loading and evaluation too, so it is not held against the forecast.
    """
    if seconds is not None:
        return wording.duration(seconds)
    if job.started_at is None or job.state != "running":
        return wording.DASH
    elapsed = max(0.0, (now - job.started_at).total_seconds())
    return f"{wording.duration(elapsed)} so far, with loading and evaluation"


def _verdict(forecast: Interval, value: float | None) -> str:
    if value is None:
        return ""
    if value > forecast.high:
        return f"above the {_ENDS}"
    return f"below the {_ENDS}" if value < forecast.low else f"within the {_ENDS}"
