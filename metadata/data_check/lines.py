"""Read a file line by line: none longer than a limit in memory, whatever the encoding."""

import codecs
import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from metadata.data_check.decoding import Decoded, Decoder
from metadata.data_check.forms import Form, form_of
from metadata.errors import InvalidDataset
from metadata.examples import BYTE_ORDER_MARK, LINE_BYTES, Example, parse_example

SKIPPED_BYTES = 2**20  # read at once of a line that is over the limit
_BROKEN = "peftwise-broken"  # error handler: what cannot be decoded becomes half a pair
codecs.register_error(_BROKEN, lambda error: ("\udcff", error.end))  # type: ignore[attr-defined]


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line, and what can be made of it; each step is taken when it is first asked for."""

    number: int
    raw: bytes
    decoder: Decoder
    encoding: str | None = None  # of the file, where it is not UTF-8

    @cached_property
    def is_cut(self) -> bool:
        """Say whether the line is over the limit; `raw` is then its beginning."""
        return len(self.raw) > LINE_BYTES

    @property
    def has_mark(self) -> bool:
        """Say whether the file starts with a byte order mark of UTF-8."""
        return self.number == 1 and self.raw.startswith(BYTE_ORDER_MARK)

    @cached_property
    def body(self) -> bytes:
        """Return the line without mark and line end."""
        body = self.raw.removesuffix(b"\n").rstrip(b"\r")
        return body.removeprefix(BYTE_ORDER_MARK) if self.number == 1 else body

    @cached_property
    def text(self) -> str | None:
        """Return the line as text, None where it is none."""
        if self.is_cut or b"\0" in self.body:
            return None
        try:
            return self.body.decode()
        except UnicodeDecodeError:
            return None

    @cached_property
    def decoded(self) -> Decoded:
        """Return what the text holds as JSON."""
        return self.decoder.decode(self.text or "")

    @property
    def record(self) -> dict[str, Any]:
        """Return the JSON object of the line, which must be one."""
        assert isinstance(self.decoded.value, dict)
        return self.decoded.value

    @cached_property
    def form(self) -> Form | None:
        """Return the form of the record, which must be there."""
        return form_of(self.record)

    @cached_property
    def example(self) -> Example | InvalidDataset:
        """Return the example as training reads it, or why it refuses."""
        try:
            return parse_example(self.record, line=self.number)
        except InvalidDataset as error:
            return error


def read_lines(
    file: io.BufferedReader,
    *,
    spill: Callable[[bytes], object] = lambda piece: None,
) -> Iterator[Line]:
    """Yield the lines of a file; the rest of a line over the limit goes to `spill` in pieces.

    UTF-16 and UTF-32 are recognised by their mark or their zeros, and decoded.
    """
    encoding = wide_encoding(file.peek(4)[:4])
    read = file.readline if encoding is None else _transcoded(file, encoding)
    decoder = Decoder()
    number = 0
    while raw := read(LINE_BYTES + 1):
        number += 1
        yield Line(number=number, raw=raw, decoder=decoder, encoding=encoding)
        is_cut = len(raw) > LINE_BYTES and not raw.endswith(b"\n")
        while is_cut:
            piece = read(SKIPPED_BYTES)
            spill(piece)
            is_cut = bool(piece) and not piece.endswith(b"\n")


def wide_encoding(head: bytes) -> str | None:
    """Return the encoding of a file by its first four bytes, None where UTF-8 is likely."""
    if head in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        return "utf-32"
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    zeros = [byte == 0 for byte in head]
    if zeros == [False, True, False, True]:
        return "utf-16-le"
    return "utf-16-be" if zeros == [True, False, True, False] else None


def _transcoded(file: io.BufferedReader, encoding: str) -> Callable[[int], bytes]:
    """Return a reader of lines as UTF-8; broken pairs stay broken, for a rule to find."""
    reader = _Unclosed(file, encoding=encoding, errors=_BROKEN, newline="\n")
    return lambda size: reader.readline(size).encode("utf-8", "surrogatepass")


class _Unclosed(io.TextIOWrapper):
    """Leaves the file underneath open when it is forgotten: it is not ours."""

    def __del__(self) -> None:
        with suppress(ValueError):  # it may be closed by now
            self.detach()
