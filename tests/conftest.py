"""What all tests share: no network beyond this machine, and a database of each kind."""

import os

# Before any library reads them: nothing is downloaded, and parallel tests share the cores.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import importlib.util
import ipaddress
import itertools
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

POSTGRES_USER = "peftwise"
POSTGRES_PASSWORD = "only-for-tests"


def _is_this_machine(address: Any) -> bool:
    if not isinstance(address, tuple):  # a Unix socket
        return True
    host = str(address[0]).partition("%")[0]
    if host in {"localhost", ""}:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Refuse every connection that would leave this machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "sendto"):
            original = getattr(socket.socket, name)

            def guarded(own: socket.socket, *args: Any, original: Any = original) -> Any:
                if not _is_this_machine(args[-1]):
                    raise OSError(f"tests stay on this machine, asked for {args[-1]}")
                return original(own, *args)

            patch.setattr(socket.socket, name, guarded)
        yield


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server of our own on a loopback port."""

    bin: Path
    folder: Path
    port: int

    def url(self, database: str) -> str:
        return f"postgresql://{POSTGRES_USER}:{POSTGRES_PASSWORD}@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


def _as_postgres(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a user that PostgreSQL accepts: it refuses root."""
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    return subprocess.run(
        [*prefix, *map(str, command)],
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _start(bin_folder: Path, folder: Path) -> Postgres:
    password = folder / "password"
    password.write_text(POSTGRES_PASSWORD)
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
        shutil.chown(password, "postgres")
    made = _as_postgres(
        *(bin_folder / "initdb", "-D", folder / "data", "-U", POSTGRES_USER, "-E", "UTF8"),
        *("--locale=C.UTF-8", "--auth=scram-sha-256", "--pwfile", password, "--no-sync"),
    )
    assert made.returncode == 0, made.stderr
    for _ in range(5):  # another process may take the port between the look and the start
        port = _free_port()
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {folder}"
        log = folder / "log"
        # Output goes to a file: the server would hold a pipe open for ever.
        started = _as_postgres(
            *("sh", "-c", '"$0" "$@" >/dev/null 2>&1', bin_folder / "pg_ctl"),
            *("-D", folder / "data", "-w", "-o", options, "-l", log, "start"),
        )
        if started.returncode == 0:
            return Postgres(bin_folder, folder, port)
    raise AssertionError(f"PostgreSQL does not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """Start a real PostgreSQL for as long as the tests run."""
    pytest.importorskip("psycopg", reason="needs the extra `postgres`")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not installed:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        pytest.skip("PostgreSQL refuses root, and there is no runuser to be another user")
    folder = Path(tempfile.mkdtemp(prefix="peftwise-postgresql-", dir="/tmp"))
    try:
        server = _start(installed[-1].parent, folder)
        yield server
        _as_postgres(server.bin / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_numbers = itertools.count(1)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Return the URL of a SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path}/runs.sqlite"


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """Return the URL of an empty PostgreSQL database."""
    name = f"test_{next(_numbers)}"
    postgres_server.sql(f"CREATE DATABASE {name}")
    yield postgres_server.url(name)
    postgres_server.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty database, once of each kind."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture(scope="session")
def ray_clusters() -> ModuleType:
    """Return the module that starts real clusters of one node, of which each is 1.5 GB large."""
    pytest.importorskip("ray", reason="needs the extra `ray`")
    return _load("ray_cluster")


@pytest.fixture(scope="session")
def ray_cluster(ray_clusters: ModuleType) -> Iterator[Any]:
    """Start a real Ray with two GPUs, as far as it knows, for as long as the tests run."""
    cluster = ray_clusters.RayCluster(gpus=2)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


@pytest.fixture(scope="session")
def world() -> ModuleType:
    """Return `synthetic_world`, whose runs follow a known rule."""
    return _load("synthetic_world")


def _load(name: str) -> ModuleType:
    """Return a module beside this one: tests are no package to import."""
    path = Path(__file__).parent / f"{name}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
