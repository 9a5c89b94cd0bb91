"""Read an upload as it streams: the file goes straight to the data folder, never to memory.

Starlette's own reader keeps uploads in the system's temporary folder, which is often memory.
"""

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool

from metadata.errors import InvalidRequest
from service.storage.disk import Space
from service.storage.failures import full_disk_told

if TYPE_CHECKING:  # the library has this name for type checkers only
    from python_multipart.multipart import MultipartCallbacks

FIELD_BYTES = 64 * 1024  # of a field that is no file
MAX_PARTS = 32
_EXAMPLE = "`curl -F purpose=fine-tune -F file=@train.jsonl .../v1/files`"


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A form with one file; `path` is ours, `label` is what the sender calls the file."""

    path: Path
    label: str
    size_bytes: int
    fields: dict[str, str]


@dataclass
class _Part:
    name: str = ""
    label: str | None = None
    data: bytearray = field(default_factory=bytearray)


@contextmanager
def incoming_file(folder: Path) -> Iterator[Path]:
    """Lend a new name in a folder; what lies there at the end is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".incoming-{secrets.token_hex(8)}"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


async def receive_upload(
    content_type: str,
    body: AsyncIterator[bytes],
    path: Path,
    *,
    file_field: str = "file",
    is_optional: bool = False,
    space: Space | None = None,
) -> Upload:
    """Write the file of a multipart form to `path`, down to the disk, and return the form.

    Where the file is optional and not there, `path` is empty and so is the label.

    Args:
        content_type: The header of that name.
        body: The form as it streams.
        path: A new file.
        file_field: The field that holds the file.
        is_optional: Whether a form without a file is good too.
        space: What may be written; anything if None.

    Raises:
        InvalidRequest: The body is not such a form, or has no file or two of them.
        TooLarge: The file would never fit on the disk.
        NoSpace: It does not fit there now.
    """
    with full_disk_told(), path.open("xb") as target:
        form = _Form(content_type, target, file_field, space)
        async for chunk in body:
            await run_in_threadpool(form.write, chunk)
        form.close()
        await run_in_threadpool(_sync, target)
    if form.label is None and not is_optional:
        raise InvalidRequest(
            f"The form needs a file in its field `{file_field}`, got none. Send one: {_EXAMPLE}.",
            param=file_field,
        )
    return Upload(
        path=path, label=form.label or "", size_bytes=path.stat().st_size, fields=form.fields
    )


class _Form:
    """Takes a multipart body apart, chunk by chunk."""

    def __init__(
        self, content_type: str, target: BinaryIO, file_field: str, space: Space | None
    ) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not 1 <= len(boundary) <= 200:
            raise InvalidRequest(
                "A multipart body needs a boundary in its Content-Type, got none. "
                f"Let your client set the header: {_EXAMPLE}."
            )
        self.label: str | None = None
        self.fields: dict[str, str] = {}
        self._target = target
        self._file_field = file_field
        self._space = space
        self._bytes = 0  # of the file, so far
        self._parts = 0
        self._is_whole = False
        self._part = _Part()
        self._header = (bytearray(), bytearray())
        self._parser = MultipartParser(boundary, self._callbacks())

    def write(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _broken(str(error)) from None

    def close(self) -> None:
        if not self._is_whole:  # the parser itself takes a cut body for a whole one
            raise _broken("it ends before its last boundary")

    def _callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._read_header,
            "on_headers_finished": self._open,
            "on_part_data": self._take,
            "on_part_end": self._finish,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._part = _Part()
        self._header = (bytearray(), bytearray())
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise InvalidRequest(f"A form may have at most {MAX_PARTS} parts. Send fewer.")

    def _read_header(self) -> None:
        name, value = (bytes(part) for part in self._header)
        self._header = (bytearray(), bytearray())
        if name.lower() == b"content-disposition":
            options = parse_options_header(value)[1]
            self._part.name = _text(options.get(b"name", b""))
            if b"filename" in options:
                self._part.label = _text(options[b"filename"])

    def _open(self) -> None:
        if self._part.label is None:
            return
        if self._part.name != self._file_field or self.label is not None:
            raise InvalidRequest(
                f"The form takes one file, in its field `{self._file_field}`; got another in "
                f"`{self._part.name[:80]}`. Send: {_EXAMPLE}.",
                param=self._part.name[:80] or None,
            )
        self.label = self._part.label

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._part.label is not None:
            self._write(data[start:end])
            return
        self._part.data += data[start:end]
        if len(self._part.data) > FIELD_BYTES:
            raise InvalidRequest(
                f"Field `{self._part.name[:80]}` may have at most {FIELD_BYTES} bytes, got more. "
                "Send files with a file name.",
                param=self._part.name[:80] or None,
            )

    def _write(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._space is not None:
            self._space.check(self._bytes)
        self._target.write(data)

    def _finish(self) -> None:
        if self._part.label is None:
            self.fields[self._part.name] = _text(bytes(self._part.data))

    def _end(self) -> None:
        self._is_whole = True


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace").replace("\0", "")


def _broken(problem: str) -> InvalidRequest:
    return InvalidRequest(
        f"The body is not the multipart form that its Content-Type says: {problem[:200]}. "
        f"Send it as in {_EXAMPLE}."
    )
