"""Put a recommendation into words and numbers a person can check."""

from collections.abc import Sequence
from datetime import datetime

from metadata.knowledge import Forecast, Knowledge, PastRun
from metadata.priors import for_objective
from service.recommender.fitting import Planned
from service.recommender.recommend import Recommendation
from service.recommender.schemas import (
    Effect,
    FrontPoint,
    Interval,
    NearRun,
    Quality,
    RecommendationAnswer,
    RecommendedConfiguration,
    Why,
)
from service.recommender.summary import summarise

NEAREST_RUNS = 3
DEFAULT_ROW = 0


def explain(
    recommendation: Recommendation, known: Knowledge, *, now: datetime
) -> RecommendationAnswer:
    """Return the whole answer of a recommendation."""
    question = recommendation.question
    default, *configurations = _describe(
        [DEFAULT_ROW, *recommendation.order], recommendation, known
    )
    return RecommendationAnswer(
        id=f"rec-{question.content(known.version)[:24]}",
        created_at=now,
        training_objective=question.training_objective,
        configurations=configurations,
        default=default,
        front=[_point(recommendation, row) for row in recommendation.front],
        evidence=summarise(
            known,
            question.task,
            _asked_for(recommendation),
            kind=recommendation.kind,
            objective=question.training_objective,
            weighs_forgetting=question.forgetting_weight > 0,
        ),
        excluded=recommendation.excluded,
        knowledge_version=known.version,
    )


def _asked_for(recommendation: Recommendation) -> list[str]:
    """Return the methods that were asked for by name and are among the candidates."""
    candidates = {c.configuration.method.name for c in recommendation.candidates}
    return [name for name in recommendation.question.methods or () if name in candidates]


def _describe(
    rows: Sequence[int], recommendation: Recommendation, known: Knowledge
) -> list[RecommendedConfiguration]:
    """Describe candidates; their places among `rows` are their ranks."""
    reasons = _reasons([recommendation.candidates[row] for row in rows], recommendation, known)
    return [
        _describe_row(recommendation, row, known, rank=rank, why=why)
        for rank, (row, why) in enumerate(zip(rows, reasons, strict=True))
    ]


def _describe_row(
    recommendation: Recommendation, row: int, known: Knowledge, *, rank: int, why: Why
) -> RecommendedConfiguration:
    candidate, question = recommendation.candidates[row], recommendation.question
    forecast, plan = recommendation.forecast, candidate.plan
    return RecommendedConfiguration(
        rank=rank,
        configuration=for_objective(candidate.configuration, question.learnt),
        quality=_quality(forecast, row),
        train_seconds=_interval(forecast, "seconds", row),
        peak_memory_bytes=_interval(forecast, "bytes", row),
        failure_probability=float(forecast.failure[row]),
        forgotten_nats=_interval(forecast, "forgotten", row) if known.knows_forgetting else None,
        cost_usd=_cost(recommendation, row),
        trainable_parameters=plan.trainable_parameters,
        micro_batch_size=plan.micro_batch_size,
        accumulation_steps=plan.accumulation_steps,
        steps=plan.steps,
        fits=bool(recommendation.fits_C[row]),
        pareto=bool(recommendation.pareto_C[row]),
        why=why,
    )


def _point(recommendation: Recommendation, row: int) -> FrontPoint:
    forecast, candidate = recommendation.forecast, recommendation.candidates[row]
    order = recommendation.order
    return FrontPoint(
        rank=order.index(row) + 1 if row in order else None,
        configuration=for_objective(candidate.configuration, recommendation.question.learnt),
        expected_regret=float(forecast.regret[row]),
        train_seconds=_interval(forecast, "seconds", row),
        peak_memory_bytes=_interval(forecast, "bytes", row),
        cost_usd=_cost(recommendation, row),
    )


def _cost(recommendation: Recommendation, row: int) -> float | None:
    price = recommendation.question.usd_per_second
    return None if price is None else price * float(recommendation.forecast.seconds[row])


def _quality(forecast: Forecast, row: int) -> Quality:
    return Quality(
        expected_regret=float(forecast.regret[row]),
        low=float(forecast.regret_low[row]),
        high=float(forecast.regret_high[row]),
        beats_default_probability=float(forecast.beats_default[row]),
    )


def _interval(forecast: Forecast, name: str, row: int) -> Interval:
    return Interval(
        expected=float(getattr(forecast, name)[row]),
        low=float(getattr(forecast, f"{name}_low")[row]),
        high=float(getattr(forecast, f"{name}_high")[row]),
    )


def _reasons(
    candidates: Sequence[Planned], recommendation: Recommendation, known: Knowledge
) -> list[Why]:
    task, wanted = recommendation.question.task, [one.configuration for one in candidates]
    near = known.nearest_runs(task, wanted, count=NEAREST_RUNS)
    return [
        Why(
            source=candidate.source,
            nearest_runs=[_near_run(one) for one in runs],
            effects=[Effect(**one._asdict()) for one in effects],
        )
        for candidate, runs, effects in zip(
            candidates, near, known.effects(task, wanted), strict=True
        )
    ]


def _near_run(one: PastRun) -> NearRun:
    return NearRun(
        run_id=one.run.id,
        dataset=one.run.task.dataset.name,
        model=one.run.task.model.id,
        score=one.run.score,
        regret=one.regret,
        distance=one.distance,
    )
