"""What of a foreign value may be kept: finite numbers, short texts, no path, no secret."""

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

LONGEST_TEXT = 200
LARGEST_WHOLE = 10**15
DEEPEST = 20
MOST_LEAVES = 20_000

# Names under which people keep what opens a door; their values are never looked at.
_SECRET_NAME = re.compile(
    r"(secret|passw|credential|authoriz|bearer|private[_-]?key|api[_-]?key|access[_-]?key|"
    r"(^|[._/-])(auth|hub|hf|wandb|push_to_hub|use_auth)[_-]?token|(^|[._/-])(token|key)$)",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"(\bhf_[A-Za-z0-9]{8,}|\b(sk|rk|pk)-[A-Za-z0-9_-]{8,}|\bgh[pousr]_[A-Za-z0-9]{8,}|"
    r"\bgithub_pat_|\bAKIA[0-9A-Z]{12,}|\bxox[abprs]-|\beyJ[A-Za-z0-9_-]{10,}\.|"
    r"\b[0-9a-f]{32,}\b|://[^/\s@]*:[^/\s@]*@|-----BEGIN )"
)
_LOCAL = re.compile(r"^(~|\.{1,2}[\\/]|[\\/]|[A-Za-z]:[\\/]|[a-z0-9+]+://)|\\")
_CONTROL = re.compile("[\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]+")


def is_secret_name(name: str) -> bool:
    """Say whether a name is one under which secrets are kept."""
    return _SECRET_NAME.search(name) is not None


def text_of(value: object) -> str | None:
    """Return a short text on one line, a local path or an address cut to its last part.

    None where nothing is left, or where it looks like a key or a password.
    """
    if not isinstance(value, str):
        return None
    text = _CONTROL.sub(" ", value[: 10 * LONGEST_TEXT]).strip()
    if _LOCAL.search(text) or text.count("/") > 1:
        text = last_part(text)
    text = text[:LONGEST_TEXT].strip()
    return None if not text or _SECRET_VALUE.search(text) else text


def last_part(path: str) -> str:
    """Return the last part of a path of any system; of a Hugging Face cache, the model's id."""
    cached = re.search(r"models--([A-Za-z0-9._-]+?)--([A-Za-z0-9._-]+)", path)
    if cached is not None:
        return f"{cached[1]}/{cached[2]}"
    parts = [part for part in re.split(r"[\\/]+", path.split("?")[0]) if part not in ("", ".")]
    return parts[-1] if parts and parts[-1] not in ("..", "~") else ""


def number_of(value: object) -> float | None:
    """Return a finite number, also one written as text; None where it is none."""
    if isinstance(value, str):
        value = value.strip().replace("_", "x")[:64]  # Python would read 1_0
    if not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def is_not_a_number(value: object) -> bool:
    """Say whether a value is NaN or infinite: what a loss is once training has diverged."""
    try:
        return isinstance(value, float | str) and not isfinite(float(value))
    except (ValueError, OverflowError):
        return False


def whole_of(value: object) -> int | None:
    """Return a whole number that a database can hold, None where it is none."""
    number = number_of(value)
    if number is None or number != int(number) or abs(number) > LARGEST_WHOLE:
        return None
    return int(number)


def flag_of(value: object) -> bool | None:
    """Return what is meant as yes or no, None where it is neither."""
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    return words.get(str(value).strip().lower()) if isinstance(value, bool | int | str) else None


def leaves(document: Any, path: str = "", depth: int = 0) -> dict[str, Any]:
    """Return the plain values of nested mappings by dotted path; lists and secrets are left out."""
    found: dict[str, Any] = {}
    if not isinstance(document, Mapping) or depth > DEEPEST:
        return found
    for name, value in document.items():
        if not isinstance(name, str) or is_secret_name(name) or len(found) > MOST_LEAVES:
            continue
        here = f"{path}.{name}" if path else name
        if isinstance(value, Mapping):
            found |= leaves(value, here, depth + 1)
        elif value is None or isinstance(value, bool | int | float | str):
            found[here] = value
    return found
