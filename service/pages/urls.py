"""Every link of the pages."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote, urlencode

STATIC_FOLDER = Path(__file__).parent / "static"
PLOTLY_FILE = "plotly.min.js"


def home() -> str:
    """Return the page with the form and the answer."""
    return "/"


def estimate() -> str:
    """Return the page that tells what a run would need."""
    return "/estimate"


def runs(query: Mapping[str, str] | None = None) -> str:
    """Return the table of runs, as a query asks for it."""
    return _with_query("/runs", query)


def compare(run_ids: Sequence[str], query: Mapping[str, str] | None = None) -> str:
    """Return the comparison of some runs."""
    pairs = [*(("run", run_id) for run_id in run_ids), *(query or {}).items()]
    return "/runs/compare" + (f"?{urlencode(pairs)}" if pairs else "")


def explore(chart: str, query: Mapping[str, str] | None = None) -> str:
    """Return a chart of the runs that a query asks for."""
    return _with_query(f"/runs/explore/{quote(chart, safe='')}", query)


def export(query: Mapping[str, str]) -> str:
    """Return runs as a file to download."""
    return _with_query("/v1/runs/export", query)


def run_fields() -> str:
    """Return what runs can be filtered and sorted by, as JSON."""
    return "/v1/runs/fields"


def chosen_runs(move: str) -> str:
    """Return where the runs that were chosen are archived or taken back."""
    return f"/runs/chosen/{move}"


def run(run_id: str) -> str:
    """Return the page of one run."""
    return f"/runs/{quote(run_id, safe='')}"


def change_run(run_id: str, move: str) -> str:
    """Return where a note of a run is kept, or where it is archived, taken back or deleted."""
    return f"{run(run_id)}/{move}"


def jobs(*, after: str | None = None, state: str = "") -> str:
    """Return the list of jobs, all or those in one state; a new one is posted to it."""
    query = {"state": state, "after": after or ""}
    return _with_query("/jobs", {name: value for name, value in query.items() if value})


def job(job_id: str) -> str:
    """Return the page of one job."""
    return f"/jobs/{quote(job_id, safe='')}"


def move_job(job_id: str, move: str) -> str:
    """Return where a job is paused, resumed or cancelled."""
    return f"{job(job_id)}/{move}"


def live_jobs() -> str:
    """Return the stream of what changes in the list of jobs."""
    return "/live/jobs"


def live_job(job_id: str, *, after: str) -> str:
    """Return the stream of what happens to a job after what is known."""
    return _with_query(f"/live/jobs/{quote(job_id, safe='')}", {"after": after})


def job_log(job_id: str) -> str:
    """Return what a job printed, as JSON."""
    return f"/v1/fine_tuning/jobs/{quote(job_id, safe='')}/logs?last_bytes=1048576"


def workers() -> str:
    """Return the page of those who work."""
    return "/workers"


def workers_json() -> str:
    """Return those who work as JSON."""
    return "/v1/workers"


def knowledge(version: str = "") -> str:
    """Return the page of what was learnt, of the live version or another one."""
    return _with_query("/knowledge", {"version": version} if version else {})


def refit() -> str:
    """Return where learning from all runs is asked for."""
    return "/knowledge/refit"


def activate(version: str) -> str:
    """Return where a version is made live."""
    return f"/knowledge/{quote(version, safe='')}/activate"


def knowledge_json() -> str:
    """Return the versions of knowledge as JSON."""
    return "/v1/knowledge"


def calibration_json(version: str) -> str:
    """Return how the forecasts of a version hold, as JSON."""
    return f"/v1/knowledge/{quote(version, safe='')}/calibration"


def data(*, after: str | None = None) -> str:
    """Return the page of training files, which one to check is posted to."""
    return _with_query("/data", {"after": after} if after else {})


def data_move(file_id: str, move: str) -> str:
    """Return where an uploaded file is checked or deleted."""
    return f"/data/{quote(file_id, safe='')}/{move}"


def repaired(token: str, name: str) -> str:
    """Return the repaired copy of a file that was checked a moment ago."""
    return _with_query(f"/data/repaired/{quote(token, safe='')}", {"name": name})


def keep_checked() -> str:
    """Return where a file that was checked a moment ago is kept."""
    return "/data/kept"


def file_content(file_id: str) -> str:
    """Return an uploaded file as it was sent."""
    return f"/v1/files/{quote(file_id, safe='')}/content"


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


def plotly() -> str:
    """Return the library that draws charts; the address changes with its version."""
    return f"/static/plotly/{version('plotly')}/{PLOTLY_FILE}"


def _with_query(path: str, query: Mapping[str, str] | None) -> str:
    return path + (f"?{urlencode(query)}" if query else "")
