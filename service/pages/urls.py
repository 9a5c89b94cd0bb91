"""Every link of the pages."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

STATIC_FOLDER = Path(__file__).parent / "static"


def home() -> str:
    """Return the page with the form and the answer."""
    return "/"


def estimate() -> str:
    """Return the page that tells what a run would need."""
    return "/estimate"


def runs(filters: Mapping[str, str] | None = None, *, after: str | None = None) -> str:
    """Return the table of runs, filtered, from the run after the given one."""
    query = {name: value for name, value in (filters or {}).items() if value}
    if after:
        query["after"] = after
    return "/runs" + (f"?{urlencode(query)}" if query else "")


def run(run_id: str) -> str:
    """Return the page of one run."""
    return f"/runs/{quote(run_id, safe='')}"


def jobs(*, after: str | None = None) -> str:
    """Return the list of jobs, which a new one is posted to."""
    return "/jobs" + (f"?{urlencode({'after': after})}" if after else "")


def job(job_id: str) -> str:
    """Return the page of one job."""
    return f"/jobs/{quote(job_id, safe='')}"


def move_job(job_id: str, move: str) -> str:
    """Return where a job is paused, resumed or cancelled."""
    return f"{job(job_id)}/{move}"


def recommendation_json(recommendation_id: str) -> str:
    """Return an answer as JSON."""
    return f"/v1/recommendations/{quote(recommendation_id, safe='')}"


def run_json(run_id: str) -> str:
    """Return a run as JSON."""
    return f"/v1/runs/{quote(run_id, safe='')}"


def job_json(job_id: str) -> str:
    """Return a job as JSON."""
    return f"/v1/fine_tuning/jobs/{quote(job_id, safe='')}"


def api_reference() -> str:
    """Return the description of the HTTP interface."""
    return "/openapi.json"


def static(name: str) -> str:
    """Return a file of the static folder."""
    return f"/static/{name}"
