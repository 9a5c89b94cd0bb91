"""Uploads that the data folder or its disk has no room for."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from metadata.errors import NoSpace, TooLarge
from service.settings import MIB, Settings
from service.storage.disk import Space, sizes, space_of, used_bytes

LINE = b'{"prompt": "1 + 1 =", "completion": "2"}\n'


def data(size: int) -> bytes:
    return LINE * (size // len(LINE))


def send(client: TestClient, content: bytes) -> Any:
    files = {"file": ("train.jsonl", content)}
    return client.post("/v1/files", data={"purpose": "fine-tune"}, files=files)


def send_unannounced(client: TestClient, content: bytes) -> Any:
    """Send a file in pieces, so that no header says how long it is."""
    head = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n'
    head += b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'

    def pieces() -> Iterator[bytes]:
        yield head
        for start in range(0, len(content), 10_000):
            yield content[start : start + 10_000]
        yield b"\r\n--b--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return client.post("/v1/files", content=pieces(), headers=headers)


def left_behind(client: TestClient) -> list[str]:
    folder: Path = client.app.state.services.files.folder  # type: ignore[attr-defined]
    return sorted(path.name for path in folder.iterdir())


def known(client: TestClient) -> list[str]:
    return sorted(file["id"] for file in client.get("/v1/files").json()["data"])


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of its own with 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    made = subprocess.run(mount, capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"no file system may be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("sender", [send, send_unannounced])
def test_an_upload_over_the_quota_answers_507_and_leaves_nothing(
    make_client: Any, sender: Any
) -> None:
    client = make_client(disk_bytes=MIB)
    assert sender(client, data(600_000)).status_code == 200

    answer = sender(client, data(600_000))

    assert answer.status_code == 507
    error = answer.json()["error"]
    assert error["code"] == "no_space"
    assert "may hold 1.0 MiB" in error["message"]
    assert "PEFTWISE_DISK_BYTES" in error["message"]
    assert answer.headers["x-should-retry"] == "false"
    assert left_behind(client) == known(client)
    assert client.delete(f"/v1/files/{known(client)[0]}").status_code == 200
    assert sender(client, data(600_000)).status_code == 200


@pytest.mark.parametrize("sender", [send, send_unannounced])
def test_an_upload_that_could_never_fit_answers_413(make_client: Any, sender: Any) -> None:
    client = make_client(disk_bytes=MIB)

    answer = sender(client, data(1_200_000))

    assert answer.status_code == 413
    assert "Send less" in answer.json()["error"]["message"]
    assert left_behind(client) == []


def test_an_upload_keeps_the_floor_of_free_space(make_client: Any, settings: Settings) -> None:
    space = space_of(settings)
    client = make_client(least_free_bytes=space.free_bytes + 10 * MIB)

    answer = send(client, data(1000))

    assert answer.status_code == 507
    assert "must stay free" in answer.json()["error"]["message"]
    assert left_behind(client) == []


def test_an_upload_that_fills_the_disk_answers_507_and_leaves_nothing(
    make_client: Any, settings: Settings, tiny_disk: Path
) -> None:
    """The floor is off, so that it is the kernel that says that there is no space."""
    (settings.data_dir / "files").symlink_to(tiny_disk)
    client = make_client(least_free_bytes=0)
    assert send(client, data(300_000)).status_code == 200

    answer = send(client, data(900_000))

    assert answer.status_code == 507
    assert "The disk is full" in answer.json()["error"]["message"]
    assert left_behind(client) == known(client)
    assert send(client, data(300_000)).status_code == 200


def test_the_database_is_not_counted_wherever_it_lies(tmp_path: Path) -> None:
    for name in ("peftwise.sqlite", "peftwise.sqlite-wal", "files/a", "logs/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * 1000)
    (tmp_path / "link").symlink_to(tmp_path)  # neither followed for ever nor counted twice

    used = used_bytes(Settings(data_dir=tmp_path)) - (tmp_path / "link").lstat().st_size

    assert used == 2000
    elsewhere = Settings(data_dir=tmp_path, database_url="postgresql://u@h/n")
    assert used_bytes(elsewhere) == sum(sizes(tmp_path))


SPACE = {"used_bytes": 60, "free_bytes": 50, "disk_bytes": 200, "quota_bytes": 100}


@pytest.mark.parametrize(
    ("more", "floor", "expected"),
    [
        (40, 10, None),
        (41, 9, NoSpace),  # beyond the quota by one
        (40, 11, NoSpace),  # below the floor by one
        (101, 0, TooLarge),
        (100, 101, TooLarge),
    ],
)
def test_room_ends_at_the_byte(more: int, floor: int, expected: type[Exception] | None) -> None:
    space = Space(**SPACE, least_free_bytes=floor)

    if expected is None:
        space.check(more)
        return
    with pytest.raises(expected, match=f"got {more} "):
        space.check(more)


def test_storage_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEFTWISE_DISK_BYTES", "1000")
    monkeypatch.setenv("PEFTWISE_KEEP_LOGS_DAYS", "0.5")
    monkeypatch.setenv("PEFTWISE_KEEP_FILES_DAYS", " ")  # as compose passes an unset one

    settings = Settings()

    assert (settings.disk_bytes, settings.keep_logs_days) == (1000, 0.5)
    assert (settings.keep_files_days, settings.keep_checkpoints_days) == (None, None)
    assert settings.least_free_bytes == 2**30
    with pytest.raises(ValidationError):
        Settings(keep_logs_days=-1)
