"""Archives that lead outside, lie or never end: nothing is written, nothing crashes."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from metadata.errors import InvalidRequest
from metadata.importers import archives
from tests.metadata.importers.conftest import STATE, trainer_folder


def zip_of(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_DOT_", "."), content)
    return path


def test_a_zip_of_a_folder_is_taken_like_the_folder(tmp_path: Path, take: Any) -> None:
    folder = trainer_folder(tmp_path / "out")
    (folder / "optimizer.pt").write_bytes(b"\x80\x04.")
    archive = tmp_path / "out.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for path in folder.iterdir():
            target.write(path, f"out/{path.name}")

    assert take(archive).only.id == take(folder).only.id


@pytest.mark.parametrize(
    "name",
    ["../escaped.json", "/escaped.json", "a/../../escaped.json", "..\\escaped.json",
     "C:\\escaped.json", "C:/escaped.json"],
)  # fmt: skip
def test_names_that_lead_out_of_an_archive_write_nothing(
    tmp_path: Path, take: Any, name: str
) -> None:
    (tmp_path / "in").mkdir()
    archive = tmp_path / "in" / "runs.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr(name, json.dumps(STATE))
        target.writestr("ok/trainer_state.json", json.dumps(STATE))

    taken = take(archive)

    assert len(taken.runs) == 1
    assert taken.report.refused[0].where == "escaped.json"
    assert list(tmp_path.rglob("*escaped*")) == []


def test_a_link_in_an_archive_is_left_out(tmp_path: Path, take: Any) -> None:
    archive = tmp_path / "runs.zip"
    with zipfile.ZipFile(archive, "w") as target:
        link = zipfile.ZipInfo("run/trainer_state.json")
        link.external_attr = 0o120777 << 16
        target.writestr(link, "/etc/passwd")

    taken = take(archive)

    assert taken.runs == []
    assert taken.report.refused[0].reason == "it is a link"


def test_an_archive_that_unpacks_to_more_than_any_folder_of_runs_is_refused(
    tmp_path: Path, take: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MOST_BYTES", 4 * 2**20)
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for number in range(8):
            target.writestr(f"run{number}/trainer_state.json", b" " * 2**20)
    raw = bytearray(archive.read_bytes())
    assert len(raw) < 2**17

    with pytest.raises(InvalidRequest, match="may unpack to 4 MiB"):
        take(archive)


def test_an_archive_that_lies_about_its_sizes_is_refused(tmp_path: Path, take: Any) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("run/trainer_state.json", b" " * 100_000)
    raw = buffer.getvalue().replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    (tmp_path / "lies.zip").write_bytes(raw)

    with pytest.raises(InvalidRequest, match="cannot be unpacked"):
        take(tmp_path / "lies.zip")


@pytest.mark.parametrize("cut", [10, 100, 200])
def test_an_archive_cut_off_is_refused(tmp_path: Path, take: Any, cut: int) -> None:
    archive = zip_of(tmp_path / "runs.zip", run__trainer_state_DOT_json=json.dumps(STATE).encode())
    archive.write_bytes(archive.read_bytes()[:-cut])

    with pytest.raises(InvalidRequest, match="cannot be unpacked"):
        take(archive)
