"""Say in sentences what is wrong with a request, and read JSON without its surprises."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from metadata.errors import InvalidRequest

MAX_DEPTH = 64  # levels; the deepest request of ours has 8
MAX_DIGITS = 18  # of an integer: fits the 64 bits of every database
_SHOWN_ERRORS = 5
_SHOWN_CHARACTERS = 60


def describe_errors(errors: Sequence[Any]) -> tuple[str, str | None]:
    """Return what is wrong with a request as sentences, and the first field at fault."""
    shown = [_sentence(error) for error in errors[:_SHOWN_ERRORS]]
    more = len(errors) - len(shown)
    if more:
        shown.append(f"{more} more fields are wrong.")
    shown.append("Mend the request and send it again; GET /openapi.json describes each field.")
    return " ".join(shown), _field(errors[0]) if errors else None


def read_strictly(body: bytes) -> Any:
    """Decode a JSON body without NaN, infinity, numbers beyond 64 bits or bottomless nesting.

    Raises:
        InvalidRequest: The body is none of that; the message says where.
    """
    try:
        value = json.loads(
            body.decode(), parse_constant=_refuse_constant, parse_int=_integer, parse_float=_real
        )
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"The body must be UTF-8, got another byte at position {error.start}. Encode it anew."
        ) from None
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"The body must be JSON: {error.msg} at line {error.lineno}, column {error.colno}, "
            f"near {_short(error.doc[error.pos : error.pos + 20])}. Mend it there and send again."
        ) from None
    except RecursionError:
        raise _too_deep() from None
    _check_depth_and_text(value)
    return value


def _check_depth_and_text(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
    raise _too_deep()


def _children(value: Any) -> Iterator[Any]:
    """Yield what stands inside a value, after a look at its text."""
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict):
        for key, child in value.items():
            _check_text(key)
            yield child
    elif isinstance(value, list):
        yield from value


def _check_text(text: str) -> None:
    """Refuse what no database keeps: NUL, and halves of surrogate pairs."""
    try:
        text.encode()
        bad = "\0" in text
    except UnicodeEncodeError:
        bad = True
    if bad:
        raise InvalidRequest(
            f"Text must be whole Unicode without NUL characters, got {_short(ascii(text))}. "
            "Remove \\u0000 and lone \\ud800-\\udfff escapes."
        )


def _too_deep() -> InvalidRequest:
    return InvalidRequest(
        f"The body may nest at most {MAX_DEPTH} levels, got more. Send flatter JSON."
    )


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidRequest(f"Numbers must be finite, got {name}. Leave the field out or send null.")


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > MAX_DIGITS:
        raise InvalidRequest(
            f"Whole numbers may have at most {MAX_DIGITS} digits, got {_short(text)}. "
            "Send a smaller one."
        )
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise InvalidRequest(f"Numbers must be finite, got {_short(text)}. Send a smaller one.")
    return value


def _sentence(error: Mapping[str, Any]) -> str:
    place = _field(error) or "the body"
    rule = str(error.get("msg", "is not valid")).removeprefix("Value error, ").rstrip(".")
    kind = error.get("type")
    if kind == "missing":
        return f"`{place}` is missing."
    if kind == "extra_forbidden":
        return f"`{place}` is not a field that this route knows; leave it out."
    seen = "" if "got" in rule else f", got {_short(repr(error.get('input')))}"
    return f"`{place}`: {rule}{seen}."


def _field(error: Mapping[str, Any]) -> str | None:
    """Return where an error is, as `budget.usd` or `examples[3].prompt`."""
    place = ""
    for part in error.get("loc", ())[1:]:
        place += f"[{part}]" if isinstance(part, int) else f".{part}"
    return place.lstrip(".")[:200] or None


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
