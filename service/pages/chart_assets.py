"""The script that draws charts: Plotly's own, from its wheel, compressed once."""

import gzip
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

from fastapi import Request, Response

from metadata.errors import NotFound
from service.pages import urls
from service.pages.page_route import page_router

KEPT_SECONDS = 365 * 86_400  # its address holds its version, so that it never changes
router = page_router()


@router.get("/static/plotly/{version}/{name}")
def send_plotly(version: str, name: str, request: Request) -> Response:
    """Send the script as its address names it, compressed where that is understood."""
    if f"/static/plotly/{version}/{name}" != urls.plotly():
        raise NotFound(f"There is no such version of the charts, got {version[:40]!r}.")
    headers = {"Cache-Control": f"max-age={KEPT_SECONDS}, immutable", "Vary": "Accept-Encoding"}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(_script(), media_type="text/javascript", headers=headers)
    headers["Content-Encoding"] = "gzip"
    return Response(_compressed(), media_type="text/javascript", headers=headers)


def _script() -> bytes:
    path = distribution("plotly").locate_file(f"plotly/package_data/{urls.PLOTLY_FILE}")
    return Path(str(path)).read_bytes()


@cache
def _compressed() -> bytes:
    """Return 1.5 MB of 4.8, made at the first question and kept."""
    return gzip.compress(_script(), compresslevel=9, mtime=0)
