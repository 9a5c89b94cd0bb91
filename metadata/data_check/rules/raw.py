"""Rules about bytes: line ends, marks, encodings."""

from collections.abc import Iterator

from metadata.data_check.lines import Line
from metadata.data_check.problems import Seen, shown
from metadata.data_check.rules.spec import LineRule
from metadata.examples import LINE_BYTES


def _long(line: Line) -> Iterator[Seen]:
    if line.is_cut:
        yield Seen(f"over {LINE_BYTES} bytes, starting {shown(_start(line))}")


def _wide(line: Line) -> Iterator[Seen]:
    if line.number == 1 and line.encoding is not None:
        yield Seen(f"{line.encoding.upper()}, starting {shown(_start(line))}")


def _mark(line: Line) -> Iterator[Seen]:
    if line.has_mark:
        yield Seen("the bytes EF BB BF", 1)


def _carriage_return(line: Line) -> Iterator[Seen]:
    if not line.is_cut and line.raw.removesuffix(b"\n").endswith(b"\r"):
        yield Seen("\\r at the end of the line")


def _nul(line: Line) -> Iterator[Seen]:
    place = line.body.find(b"\0")
    if place >= 0 and not line.is_cut:
        around = line.body[max(0, place - 10) : place + 30].decode("ascii", "backslashreplace")
        yield Seen(f"byte 0x00 at byte {place + 1} of the line, near {shown(around)}")


def _not_utf8(line: Line) -> Iterator[Seen]:
    if line.is_cut or line.text is not None or b"\0" in line.body:
        return
    try:
        line.body.decode()
    except UnicodeDecodeError as error:
        around = line.body[max(0, error.start - 10) : error.start + 20]
        near = shown(around.decode("ascii", "backslashreplace"))
        byte = f"0x{line.body[error.start]:02x}"
        yield Seen(f"byte {byte} at byte {error.start + 1} of the line, near {near}")


def _blank(line: Line) -> Iterator[Seen]:
    if line.text is not None and not line.text.strip():
        yield Seen("nothing but white space")


def _start(line: Line) -> str:
    return line.body[:80].decode("utf-8", "replace")


RAW_RULES = (
    LineRule(
        name="line-too-long",
        severity="error",
        needs="bytes",
        must=f"A line has at most {LINE_BYTES} bytes.",
        fix="Write one example per line and split long texts.",
        find=_long,
    ),
    LineRule(
        name="wide-encoding",
        severity="error",
        needs="bytes",
        must="The file is UTF-8.",
        fix="Save it as UTF-8 without a mark; --fix does.",
        find=_wide,
        repair="rewrite",
    ),
    LineRule(
        name="byte-order-mark",
        severity="warning",
        needs="bytes",
        must="The file starts with its first example.",
        fix="Save it as UTF-8 without a byte order mark; --fix removes it.",
        find=_mark,
        repair="rewrite",
    ),
    LineRule(
        name="carriage-return",
        severity="warning",
        needs="bytes",
        must="A line ends with a line feed alone.",
        fix="Save the file with Unix line ends (LF); --fix does.",
        find=_carriage_return,
        repair="rewrite",
    ),
    LineRule(
        name="nul-byte",
        severity="error",
        needs="bytes",
        must="Text has no NUL bytes.",
        fix="Remove the byte, or write the line anew from its source: it was damaged.",
        find=_nul,
    ),
    LineRule(
        name="not-utf8",
        severity="error",
        needs="bytes",
        must="The file is UTF-8.",
        fix="Convert the file from its own encoding, such as `iconv -f WINDOWS-1252 -t UTF-8`.",
        find=_not_utf8,
    ),
    LineRule(
        name="blank-line",
        severity="warning",
        needs="bytes",
        must="Each line holds an example.",
        fix="Remove the line; --fix does.",
        find=_blank,
        repair="drop",
    ),
)
