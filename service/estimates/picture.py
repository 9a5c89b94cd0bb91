"""A picture of the memory over one step: a column for each phase, stacked by kind, as SVG.

Classes name the parts, and a style sheet gives them their colours in light and dark; without one
the fills that stand here hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from metadata.simulated import PHASES, Kind, Peak, Phase
from service import wording

WIDTH, HEIGHT = 480.0, 400.0
LEFT, RIGHT, TOP, BOTTOM = 16.0, 464.0, 56.0, 316.0
COLUMN = 112.0
LABELLED = 18.0  # a part less high has no room for its figure
FAR = 2.0  # a limit beyond this many peaks would leave the columns too small to read
HEADROOM = 1.15  # above the highest column, for its figure
LEGEND_COLUMN, LEGEND_LINE = 150.0, 22.0
_TITLES: Mapping[Phase, str] = {
    "forward": "Forward",
    "backward": "Backward",
    "optimizer": "Optimizer",
}
_NAMES: Mapping[Kind, str] = {
    "weights": "Weights",
    "gradients": "Gradients",
    "state": "Optimizer state",
    "activations": "Activations",
    "logits": "Logits",
}
_FILLS: Mapping[Kind, str] = {
    "weights": "#44617c",
    "state": "#75539b",
    "gradients": "#96560c",
    "activations": "#0b6b5d",
    "logits": "#a8323c",
}
_ORDER: tuple[Kind, ...] = ("weights", "state", "gradients", "activations", "logits")


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """From bytes to the height at which they stand."""

    top_bytes: float

    def at(self, held: float) -> float:
        """Return where so many bytes end, from the top of the picture down."""
        return BOTTOM - (BOTTOM - TOP) * held / self.top_bytes


def memory_picture(phases: Mapping[Phase, Peak], *, limit_bytes: int, style: str = "") -> str:
    """Return the memory of one step as SVG, with what the device offers as a line.

    Args:
        phases: What is held at the peak of each phase.
        limit_bytes: What the device offers.
        style: A style sheet for a picture that stands alone.
    """
    highest = max(peak.peak_bytes for peak in phases.values())
    is_near = limit_bytes <= FAR * highest
    scale = _Scale(top_bytes=max(1.0, HEADROOM * highest, HEADROOM * limit_bytes * is_near))
    label = _in_words(phases, limit_bytes)
    root = Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "class": "memory",
            "viewBox": f"0 0 {WIDTH:g} {HEIGHT:g}",
            "role": "img",
            "aria-label": label,
        },
    )
    if style:
        SubElement(root, "title").text = label
        SubElement(root, "style").text = style
        ground = {"class": "ground", "fill": "#ffffff"}
        SubElement(root, "rect", {**ground, "width": f"{WIDTH:g}", "height": f"{HEIGHT:g}"})
    for number, phase in enumerate(PHASES):
        _draw_column(root, phases[phase], _TITLES[phase], _left_of(number), scale)
    _line(root, "axis", BOTTOM)
    _draw_limit(root, limit_bytes, scale.at(limit_bytes) if is_near else None)
    _draw_legend(root)
    return ElementTree.tostring(root, encoding="unicode")


def _in_words(phases: Mapping[Phase, Peak], limit_bytes: int) -> str:
    """Return what the picture shows, for those who do not see it."""
    peaks = (f"{_TITLES[phase]} {wording.size(phases[phase].peak_bytes)}" for phase in PHASES)
    return (
        f"Memory over one training step: {', '.join(peaks)}; "
        f"a device offers {wording.size(limit_bytes)}."
    )


def _left_of(number: int) -> float:
    gap = (RIGHT - LEFT - len(PHASES) * COLUMN) / len(PHASES)
    return LEFT + gap / 2 + number * (COLUMN + gap)


def _draw_column(root: Element, peak: Peak, title: str, left: float, scale: _Scale) -> None:
    middle, held = left + COLUMN / 2, 0.0
    for kind in _ORDER:
        part = peak.bytes_of[kind]
        top, height = scale.at(held + part), scale.at(held) - scale.at(held + part)
        held += part
        if part == 0:
            continue
        shape = SubElement(
            root,
            "rect",
            {
                "class": f"part part-{kind}",
                "fill": _FILLS[kind],
                "x": f"{left:.1f}",
                "y": f"{top:.1f}",
                "width": f"{COLUMN:.1f}",
                "height": f"{height:.1f}",
            },
        )
        SubElement(shape, "title").text = f"{_NAMES[kind]} {wording.size(part)}"
        if height >= LABELLED:
            _write(root, "in-part", wording.size(part), middle, top + height / 2 + 5, "#ffffff")
    _write(root, "total", wording.size(peak.peak_bytes), middle, scale.at(held) - 7)
    _write(root, "phase", title, middle, BOTTOM + 20)


def _draw_limit(root: Element, limit_bytes: int, at: float | None) -> None:
    """Draw what the device offers; far above the columns it is but told."""
    words = f"A device offers {wording.size(limit_bytes)}"
    if at is None:
        _write(root, "key", f"{words}, far above this picture", LEFT, 20, anchor="start")
        return
    _line(root, "halo", at)
    _line(root, "limit", at)
    _line(root, "limit", 15, left=LEFT, right=LEFT + 28)
    _write(root, "limit-label", words, LEFT + 36, 20, anchor="start")


def _draw_legend(root: Element) -> None:
    for number, kind in enumerate(_ORDER):
        left = LEFT + LEGEND_COLUMN * (number % 3)
        top = BOTTOM + 40 + LEGEND_LINE * (number // 3)
        square = {"x": f"{left:.1f}", "y": f"{top:.1f}", "width": "12", "height": "12"}
        SubElement(root, "rect", {"class": f"part part-{kind}", "fill": _FILLS[kind], **square})
        _write(root, "key", _NAMES[kind], left + 18, top + 11, anchor="start")


def _line(root: Element, name: str, at: float, *, left: float = LEFT, right: float = RIGHT) -> None:
    ends = {"x1": f"{left:.1f}", "x2": f"{right:.1f}", "y1": f"{at:.1f}", "y2": f"{at:.1f}"}
    look = {
        "axis": {"stroke": "#1b1d21"},
        "halo": {"stroke": "#ffffff", "stroke-width": "5"},
        "limit": {"stroke": "#9c2429", "stroke-width": "2", "stroke-dasharray": "6 4"},
    }
    SubElement(root, "line", {"class": name, **look[name], **ends})


def _write(
    root: Element,
    name: str,
    text: str,
    x: float,
    y: float,
    fill: str = "#1b1d21",
    *,
    anchor: str = "middle",
) -> None:
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "fill": fill}
    font = {"font-family": "sans-serif", "font-size": "14"}
    SubElement(root, "text", {"class": name, **font, **place}).text = text
