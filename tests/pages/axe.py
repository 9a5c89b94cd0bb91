"""What axe-core finds on a page; skipped where it is not installed.

`npm install --prefix ~/.cache/peftwise/axe axe-core` puts it in its place; `PEFTWISE_AXE` names
another file.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

USUAL_PLACE = Path("~/.cache/peftwise/axe/node_modules/axe-core/axe.min.js")
SERIOUS = ("serious", "critical")


def serious_faults(page: Any) -> list[str]:
    """Return each serious fault in a line: its rule, and the first elements that have it."""
    page.evaluate(_script())
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{fault['id']}: {[node['html'][:160] for node in fault['nodes'][:3]]}"
        for fault in found["violations"]
        if fault["impact"] in SERIOUS
    ]


@cache
def _script() -> str:
    path = Path(os.environ.get("PEFTWISE_AXE", USUAL_PLACE)).expanduser()
    if not path.is_file():
        pytest.skip(f"axe-core is not installed: npm install --prefix {path.parents[2]} axe-core")
    return path.read_text()
