"""Every setting of the service, with its unit and default; each is read from `PEFTWISE_<NAME>`."""

import sys
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIB = 2**20


def _split_names(value: object) -> object:
    """Read `a.example, b.example` as two names: nobody writes JSON in a shell."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


def _none_if_blank(value: object) -> object:
    """Read a blank variable as unset, as compose files pass `${PEFTWISE_API_KEY:-}`."""
    return None if isinstance(value, str) and not value.strip() else value


class Settings(BaseSettings):
    """How this server runs. Frozen, so that no request can change it."""

    model_config = SettingsConfigDict(env_prefix="PEFTWISE_", frozen=True, extra="forbid")

    data_dir: Path = Field(default=Path("peftwise-data"), description="files, logs, adapters")
    database_url: Annotated[str | None, BeforeValidator(_none_if_blank)] = Field(
        default=None, description="SQLAlchemy URL; SQLite in the data folder if unset", repr=False
    )
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    api_key: Annotated[SecretStr | None, BeforeValidator(_none_if_blank)] = Field(
        default=None, description="asked for on every route; needed beyond this machine"
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_names)] = Field(
        default=(), description="further names this server answers to, separated by commas"
    )
    upload_bytes: Annotated[int, Field(gt=0)] = Field(
        default=512 * MIB, description="largest body of an upload"
    )
    json_bytes: Annotated[int, Field(gt=0)] = Field(
        default=8 * MIB, description="largest body of any other request"
    )
    models: Mapping[str, Path] = Field(
        default_factory=dict, description="local base models: JSON of id to folder"
    )
    executor: Literal["local", "ray", "none"] = Field(
        default="local", description="what starts attempts; none leaves jobs in the queue"
    )
    worker_python: Path = Field(
        default=Path(sys.executable), description="interpreter in which torch is installed"
    )
    parallel_runs: Annotated[int, Field(ge=1, le=64)] = 1
    devices_per_run: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1, description="that train one job together, each by a process of its own"
    )
    lease_seconds: Annotated[float, Field(gt=0)] = Field(
        default=60.0, description="how long an attempt may be silent; renewals and waits follow"
    )
    checkpoint_seconds: Annotated[float, Field(ge=0)] = Field(
        default=60.0, description="between two checkpoints of a run; 0 after every step"
    )
    usd_per_hour: Annotated[float | None, Field(gt=0), BeforeValidator(_none_if_blank)] = Field(
        default=None, description="price of the machine that trains, for `max_usd` of a job"
    )
    live_jobs: Annotated[int, Field(ge=1)] = Field(
        default=1000, description="jobs that have not ended, of one caller"
    )
    stop_seconds: Annotated[float, Field(gt=0)] = Field(
        default=30.0, description="from the polite signal to the sure one, for a checkpoint"
    )
    ray_address: Annotated[str | None, BeforeValidator(_none_if_blank)] = Field(
        default=None, description="Ray's dashboard, such as http://127.0.0.1:8265"
    )
    ray_token: Annotated[SecretStr | None, BeforeValidator(_none_if_blank)] = Field(
        default=None, description="the cluster's token, where RAY_AUTH_MODE=token"
    )
    ray_python: Annotated[Path | None, BeforeValidator(_none_if_blank)] = Field(
        default=None, description="interpreter on Ray's nodes; worker_python if unset"
    )
    ray_server_url: Annotated[str | None, BeforeValidator(_none_if_blank)] = Field(
        default=None, description="where Ray's nodes find this server; its own address if unset"
    )
    ray_output_dir: Annotated[Path | None, BeforeValidator(_none_if_blank)] = Field(
        default=None, description="folder for adapters that Ray's nodes and this server share"
    )
    disk_bytes: Annotated[int | None, Field(gt=0), BeforeValidator(_none_if_blank)] = Field(
        default=None, description="of all in the data folder but the database; unlimited if unset"
    )
    least_free_bytes: Annotated[int, Field(ge=0)] = Field(
        default=1024 * MIB, description="what uploads leave free on the disk"
    )
    keep_logs_days: Annotated[float | None, Field(ge=0), BeforeValidator(_none_if_blank)] = Field(
        default=None, description="after the end of their job; for ever if unset"
    )
    keep_checkpoints_days: Annotated[float | None, Field(ge=0), BeforeValidator(_none_if_blank)] = (
        Field(default=None, description="after the end of their job; for ever if unset")
    )
    keep_files_days: Annotated[float | None, Field(ge=0), BeforeValidator(_none_if_blank)] = Field(
        default=None, description="after the last job that needed them; for ever if unset"
    )

    @property
    def is_local(self) -> bool:
        """Say whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def database(self) -> str:
        """Return the database's URL."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'peftwise.sqlite'}"

    @property
    def url(self) -> str:
        """Return where a worker on this machine finds the server."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(self.host, self.host)
        return f"http://{host}:{self.port}"
