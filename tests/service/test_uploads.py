import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from metadata.errors import InvalidRequest
from service.files.uploads import FIELD_BYTES, Upload, incoming_file, receive_upload

BOUNDARY = "----b0undary"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
LINES = b'{"prompt": "a", "completion": "b"}\r\n--not the boundary\r\n\r\n--'


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    label = "" if filename is None else f'; filename="{filename}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{label}\r\n\r\n'
    return head.encode() + value + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


GOOD = form(part("purpose", b"fine-tune"), part("file", LINES, "train.jsonl"))


def receive(body: bytes, path: Path, *, size: int = 7, content_type: str = CONTENT_TYPE) -> Upload:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    return asyncio.run(receive_upload(content_type, chunks(), path))


@pytest.mark.parametrize("size", [1, 2, 3, 16, 10_000])
def test_a_file_arrives_byte_for_byte_however_it_is_cut(tmp_path: Path, size: int) -> None:
    upload = receive(GOOD, tmp_path / "new", size=size)

    assert upload.path.read_bytes() == LINES
    assert (upload.label, upload.size_bytes) == ("train.jsonl", len(LINES))
    assert upload.fields == {"purpose": "fine-tune"}


def test_a_form_without_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="needs a file in its field `file`"):
        receive(form(part("purpose", b"fine-tune")), tmp_path / "new")


def test_a_second_file_is_refused(tmp_path: Path) -> None:
    body = form(part("file", b"1", "a"), part("file", b"2", "b"))

    with pytest.raises(InvalidRequest, match="one file"):
        receive(body, tmp_path / "new")


def test_a_file_in_another_field_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="got another in `upload`"):
        receive(form(part("upload", b"1", "a")), tmp_path / "new")


def test_a_field_as_large_as_a_file_is_refused(tmp_path: Path) -> None:
    body = form(part("purpose", b"x" * (FIELD_BYTES + 1)))

    with pytest.raises(InvalidRequest, match="`purpose` may have at most"):
        receive(body, tmp_path / "new", size=1000)


@pytest.mark.parametrize("body", [GOOD[:-10], b"", b"nonsense", GOOD.replace(b"----", b"===")])
def test_a_broken_form_is_refused(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        receive(body, tmp_path / "new")


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data;"],
)
def test_a_form_without_a_boundary_is_refused(tmp_path: Path, content_type: str) -> None:
    with pytest.raises(InvalidRequest, match="needs a boundary"):
        receive(GOOD, tmp_path / "new", content_type=content_type)


def test_what_is_not_kept_is_removed(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest), incoming_file(tmp_path / "files") as path:
        receive(GOOD[:-10], path)

    assert list((tmp_path / "files").iterdir()) == []
