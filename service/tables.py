"""The service's tables: files, recommendations, jobs and what is known of them.

A job's events are numbered under its row lock, so that the order of numbers is that of commits.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from metadata.database import Base, Text, UtcDateTime
from metadata.run_rows import SUPERVISED_JSON

Json = dict[str, Any]


class FileRow(Base):
    """An uploaded file; its bytes lie in the data folder under its id."""

    __tablename__ = "files"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    label: Mapped[str] = mapped_column(Text)  # the name its owner gave: never a path of ours
    purpose: Mapped[str] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    profile: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))  # of training files
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class RecommendationRow(Base):
    """An answer as it was given, so that a job can name one of its ranks."""

    __tablename__ = "recommendations"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    knowledge_version: Mapped[str] = mapped_column(Text)
    request: Mapped[Json] = mapped_column(JSON)
    answer: Mapped[Json] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class JobRow(Base):
    """A request to run one configuration, with what it needs even when its files are gone."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    state: Mapped[str] = mapped_column(Text)
    base_model: Mapped[str] = mapped_column(Text)
    model: Mapped[Json] = mapped_column(JSON)
    dataset: Mapped[Json] = mapped_column(JSON)
    configuration: Mapped[Json] = mapped_column(JSON)
    objective: Mapped[Json] = mapped_column(JSON, server_default=SUPERVISED_JSON)
    chosen_by: Mapped[str] = mapped_column(Text)
    recommendation_id: Mapped[str | None] = mapped_column(Text)
    rank: Mapped[int | None] = mapped_column(Integer)
    forecast_seconds: Mapped[float | None]
    learning_rate_multiplier: Mapped[float | None]  # of the recommended rate; NULL: not ours
    most_seconds: Mapped[float | None]  # of training; NULL: as long as it takes
    result_file: Mapped[str | None] = mapped_column(Text)
    serve_with: Mapped[str | None] = mapped_column(Text)  # NULL: as the method leaves its result
    training_file: Mapped[str] = mapped_column(Text)
    validation_file: Mapped[str | None] = mapped_column(Text)
    suffix: Mapped[str | None] = mapped_column(Text)
    labels: Mapped[Json] = mapped_column(JSON)
    progress: Mapped[float]
    trained_tokens: Mapped[int] = mapped_column(BigInteger)
    error_code: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    run_id: Mapped[str | None] = mapped_column(Text)
    owner: Mapped[str] = mapped_column(Text, default="local", server_default="local")
    priority: Mapped[int] = mapped_column(default=0, server_default="0")  # higher goes first
    retries: Mapped[int] = mapped_column(default=0, server_default="0")  # since the checkpoint
    start_progress: Mapped[float] = mapped_column(default=0.0, server_default="0")
    checkpoint_step: Mapped[int | None] = mapped_column(BigInteger)  # of the newest
    not_before: Mapped[datetime | None] = mapped_column(UtcDateTime)  # waits after a loss
    generation: Mapped[int]  # of its newest attempt: rises with each, 0 before the first
    last_event: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (
        Index(None, "created_at", "id"),
        Index(None, "state", "created_at"),
        Index(None, "owner", "state"),
    )


class EventRow(Base):
    """Something that happened to a job; only ever added."""

    __tablename__ = "job_events"

    job_id: Mapped[str] = mapped_column(Text, ForeignKey("jobs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    level: Mapped[str] = mapped_column(Text)
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[Json] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AttemptRow(Base):
    """One try at a job. Only hashes of its claim code and token are kept."""

    __tablename__ = "attempts"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    job_id: Mapped[str] = mapped_column(Text, ForeignKey("jobs.id"), index=True)
    generation: Mapped[int]
    state: Mapped[str] = mapped_column(Text, index=True)
    started_by: Mapped[str] = mapped_column(Text, default="local", server_default="local")
    last_batch: Mapped[int] = mapped_column(default=0, server_default="0")  # number of its newest
    claim_hash: Mapped[str | None] = mapped_column(Text, unique=True)
    token_hash: Mapped[str | None] = mapped_column(Text)
    lease_expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    outcome: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))
    device: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))
    is_recorded: Mapped[bool]  # in the history; False with an outcome means: still to do
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (UniqueConstraint("job_id", "generation"),)


class MeasurementRow(Base):
    """One point of an attempt's curve; reported again it is written over."""

    __tablename__ = "attempt_measurements"

    attempt_id: Mapped[str] = mapped_column(Text, ForeignKey("attempts.id"), primary_key=True)
    split: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    value: Mapped[float]


class CheckpointRow(Base):
    """A checkpoint that an attempt has written, verified and reported."""

    __tablename__ = "job_checkpoints"

    job_id: Mapped[str] = mapped_column(Text, ForeignKey("jobs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    attempt_id: Mapped[str] = mapped_column(Text)
    step: Mapped[int] = mapped_column(BigInteger)
    progress: Mapped[float]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class IdempotencyRow(Base):
    """The key of an order, so that the same order sent again is the same job; kept for a day.

    It outlives a job that is deleted: the order must not become a second job.
    """

    __tablename__ = "idempotency_keys"

    owner: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    body_hash: Mapped[str] = mapped_column(Text)
    job_id: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
