"""Runs as rows: typed columns for what is filtered and sorted by, JSON for the rest.

`figures` states each typed column once, for the database and for files alike. Learning curves
stand apart, in chunks, so that lists of runs stay light.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from metadata.database import Base, Text, UtcDateTime
from metadata.errors import InvalidRequest
from metadata.records import SUPERVISED, Measurement, Run, Scalar

SUPERVISED_JSON = SUPERVISED.model_dump_json()
RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOT_HELD = re.compile("[\0\ud800-\udfff]")  # by PostgreSQL
CHUNK_POINTS = 500  # about 20 kB of JSON, one read for most runs

HAS_REASON = text("reason <> ''")

Figures = dict[str, Scalar | datetime]
CurveRow = dict[str, Any]


class RunRow(Base):
    """One run. The JSON columns hold all of it; the typed ones repeat what is asked for."""

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    state: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    model_id: Mapped[str] = mapped_column(Text)
    model_family: Mapped[str] = mapped_column(Text)
    model_parameters: Mapped[int] = mapped_column(BigInteger)
    dataset_name: Mapped[str] = mapped_column(Text)
    dataset_group: Mapped[str] = mapped_column(Text)
    dataset_sha256: Mapped[str] = mapped_column(Text)
    dataset_kind: Mapped[str] = mapped_column(Text)
    examples: Mapped[int] = mapped_column(BigInteger)
    device_name: Mapped[str] = mapped_column(Text)
    method: Mapped[str] = mapped_column(Text)
    target_modules: Mapped[str] = mapped_column(Text)
    optimizer: Mapped[str] = mapped_column(Text)
    schedule: Mapped[str] = mapped_column(Text)
    learning_rate: Mapped[float | None] = mapped_column(Double)
    batch_size: Mapped[int] = mapped_column(BigInteger)
    epochs: Mapped[float] = mapped_column(Double)
    rank: Mapped[int | None] = mapped_column(BigInteger)
    max_length_tokens: Mapped[int] = mapped_column(BigInteger)
    precision: Mapped[str] = mapped_column(Text)
    seed: Mapped[int] = mapped_column(BigInteger)
    core: Mapped[bool]
    score: Mapped[float | None] = mapped_column(Double)
    base_loss: Mapped[float | None] = mapped_column(Double)
    best_loss: Mapped[float | None] = mapped_column(Double)
    last_loss: Mapped[float | None] = mapped_column(Double)
    exact_match: Mapped[float | None] = mapped_column(Double)
    mean_reciprocal_rank: Mapped[float | None] = mapped_column(Double)
    train_seconds: Mapped[float | None] = mapped_column(Double)
    eval_seconds: Mapped[float | None] = mapped_column(Double)
    peak_tensor_bytes: Mapped[int | None] = mapped_column(BigInteger)
    peak_device_bytes: Mapped[int | None] = mapped_column(BigInteger)
    trained_tokens: Mapped[int | None] = mapped_column(BigInteger)
    trainable_parameters: Mapped[int | None] = mapped_column(BigInteger)
    origin_source: Mapped[str] = mapped_column(Text)
    configuration_key: Mapped[str] = mapped_column(Text)
    pair: Mapped[str] = mapped_column(Text)

    # JSON as text keeps every float as it was written; PostgreSQL's jsonb would not keep -0.0.
    task: Mapped[dict[str, Any]] = mapped_column(JSON)
    configuration: Mapped[dict[str, Any]] = mapped_column(JSON)
    objective: Mapped[dict[str, Any]] = mapped_column(JSON, server_default=SUPERVISED_JSON)
    scores: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    costs: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    versions: Mapped[dict[str, str]] = mapped_column(JSON)
    origin: Mapped[dict[str, str]] = mapped_column(JSON)

    __table_args__ = (
        Index(None, "created_at", "id"),
        Index(None, "score", "id"),
        Index(None, "state"),
        Index(None, "method"),
        Index(None, "dataset_name", "method"),
        Index(None, "model_id"),
        Index(None, "origin_source"),
        Index(None, "pair", "configuration_key"),
        Index(None, "train_seconds", "id"),
        Index(
            "ix_runs_with_reason",
            "created_at",
            "id",
            sqlite_where=HAS_REASON,
            postgresql_where=HAS_REASON,
        ),
    )


class DeletedRun(Base):
    """The id of a run that was deleted: added again, it stays away."""

    __tablename__ = "deleted_runs"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    deleted_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CurveChunk(Base):
    """Up to `CHUNK_POINTS` points of a learning curve, each [name, step, value, split]."""

    __tablename__ = "curves"

    run_id: Mapped[str] = mapped_column(
        Text, ForeignKey(RunRow.id, ondelete="CASCADE"), primary_key=True
    )
    chunk: Mapped[int] = mapped_column(primary_key=True)
    points: Mapped[list[list[Any]]] = mapped_column(JSON)


JSON_PARTS = ("task", "configuration", "objective", "scores", "costs", "versions", "origin")
FIGURES = tuple(c.key for c in RunRow.__table__.columns if c.key not in JSON_PARTS)


def columns(run: Run) -> dict[str, Any]:
    """Return the value of every column.

    Raises:
        InvalidRequest: A text that PostgreSQL cannot hold.
    """
    typed = figures(run)
    for name, value in typed.items():
        if isinstance(value, str):
            check_text(name, value)
    return {**typed, **run.model_dump(mode="json", include=set(JSON_PARTS))}


def check_text(name: str, value: str) -> None:
    """Refuse text that PostgreSQL cannot hold or compare."""
    if _NOT_HELD.search(value):
        raise InvalidRequest(
            f"{name} holds a NUL character or half a surrogate pair, got {value[:80]!a}. "
            "Take it out.",
            param=name,
        )


def figures(run: Run) -> Figures:
    """Return the value of every typed column."""
    return {
        "id": run.id,
        "created_at": run.created_at,
        "state": run.state,
        "reason": run.reason,
        "core": run.core,
        "score": run.score,
        "origin_source": run.origin.source,
        **_task_figures(run),
        **_configuration_figures(run),
        **_score_figures(run),
        **_cost_figures(run),
    }


def run_of(row: RunRow, curve: tuple[Measurement, ...] = ()) -> Run:
    """Return the run that a row holds."""
    values = {name: getattr(row, name) for name in JSON_PARTS}
    own = {name: getattr(row, name) for name in ("id", "state", "reason", "core", "created_at")}
    return Run.model_validate({**values, **own, "curve": curve})


def curve_rows(run: Run) -> Iterator[CurveRow]:
    """Cut a learning curve into rows of `CurveChunk`."""
    points = [point_of(measurement) for measurement in run.curve]
    for chunk, start in enumerate(range(0, len(points), CHUNK_POINTS)):
        piece = points[start : start + CHUNK_POINTS]
        yield {"run_id": run.id, "chunk": chunk, "points": piece}


def point_of(measurement: Measurement) -> list[Any]:
    """Return a measurement without its field names."""
    return [measurement.name, measurement.step, measurement.value, measurement.split]


def measurement_of(point: list[Any]) -> Measurement:
    """Return the measurement that a point holds."""
    name, step, value, split = point
    return Measurement(name=name, step=step, value=value, split=split)


def _task_figures(run: Run) -> Figures:
    model, dataset = run.task.model, run.task.dataset
    return {
        "model_id": model.id,
        "model_family": model.family,
        "model_parameters": model.parameters,
        "dataset_name": dataset.name,
        "dataset_group": dataset.group,
        "dataset_sha256": dataset.sha256,
        "dataset_kind": dataset.kind,
        "examples": dataset.examples,
        "device_name": run.task.device.name,
        "pair": run.task.pair,
    }


def _configuration_figures(run: Run) -> Figures:
    chosen = run.configuration
    rank = chosen.method.values.get("r")
    return {
        "method": chosen.method.name,
        "rank": rank if isinstance(rank, int) and abs(rank) < 2**63 else None,
        "target_modules": chosen.target_modules,
        "optimizer": chosen.optimizer.name,
        "schedule": chosen.schedule.name,
        "learning_rate": chosen.optimizer.learning_rate,
        "batch_size": chosen.batch_size,
        "epochs": chosen.epochs,
        "max_length_tokens": chosen.max_length_tokens,
        "precision": chosen.precision,
        "seed": chosen.seed,
        "configuration_key": chosen.key,
    }


def _score_figures(run: Run) -> Figures:
    names = ("base_loss", "best_loss", "last_loss", "exact_match", "mean_reciprocal_rank")
    return {name: getattr(run.scores, name, None) for name in names}


def _cost_figures(run: Run) -> Figures:
    names = (
        "train_seconds",
        "eval_seconds",
        "peak_tensor_bytes",
        "peak_device_bytes",
        "trained_tokens",
        "trainable_parameters",
    )
    return {name: getattr(run.costs, name, None) for name in names}
