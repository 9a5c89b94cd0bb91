import re

import pytest

from service.pages.urls import STATIC_FOLDER

LIGHT, DARK = (
    (STATIC_FOLDER / "tokens.css").read_text().split("@media (prefers-color-scheme: dark)")
)
GROUNDS = ("paper", "card")
PAIRS = [
    *((ink, ground) for ink in ("ink", "muted", "accent", "warn", "bad") for ground in GROUNDS),
    ("on-accent", "accent"),
    ("on-accent", "accent-hover"),
    ("ink", "sunken"),
    ("muted", "sunken"),
    ("ink", "accent-soft"),
    ("accent", "accent-soft"),
    ("ink", "warn-soft"),
    ("ink", "bad-soft"),
    ("bad", "bad-soft"),
    ("info", "card"),
]


def colours(css: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): #([0-9a-f]{6})", css))


def luminance(colour: str) -> float:
    """Relative luminance of sRGB, WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), PAIRS)
def test_text_can_be_read_on_its_ground(scheme: str, ink: str, ground: str) -> None:
    named = colours(scheme)

    assert contrast(named[ink], named[ground]) >= 4.5


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("ground", GROUNDS)
def test_borders_of_fields_can_be_seen(scheme: str, ground: str) -> None:
    named = colours(scheme)

    assert contrast(named["line-strong"], named[ground]) >= 3


def test_black_on_white_has_the_contrast_of_the_standard() -> None:
    assert contrast("000000", "ffffff") == pytest.approx(21)
