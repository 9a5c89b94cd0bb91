"""From runs to what their pages show."""

from collections.abc import Iterator, Mapping
from itertools import groupby

from metadata.history import Page
from metadata.methods import METHODS
from metadata.records import Measurement, Run, Task
from service import wording
from service.catalogue.answers import FAMILY_OF
from service.pages import charts, contexts, run_contexts, urls
from service.pages.answer_view import configuration_group

STATES = ("succeeded", "diverged", "out_of_memory", "timed_out", "failed")
STATE_KINDS: Mapping[str, str] = {
    "succeeded": "good",
    "running": "running",
    "queued": "waiting",
    "paused": "waiting",
    "diverged": "bad",
    "failed": "bad",
    "out_of_memory": "warn",
    "timed_out": "warn",
    "cancelled": "warn",
}
_CURVE_TITLE = "Loss in nats per {}, over optimizer steps"


def view_runs(
    page: Page, filters: run_contexts.RunFilters, *, total: int, is_first: bool
) -> run_contexts.RunsPage:
    """Return the table of runs."""
    asked = vars(filters)
    return run_contexts.RunsPage(
        title="Past runs",
        filters=filters,
        states=tuple(contexts.Row(name=s, value=state_words(s)) for s in STATES),
        methods=tuple(_families()),
        lines=tuple(_line(run) for run in page.runs),
        total=f"{total:,}",
        first_link="" if is_first else urls.runs(asked),
        next_link=urls.runs(asked, after=page.last_id) if page.has_more else "",
    )


def view_run(run: Run) -> run_contexts.RunPage:
    """Return the page of one run."""
    return run_contexts.RunPage(
        title=f"{wording.capitalised(wording.method(run.configuration.method.name))} "
        f"on {run.task.dataset.name}",
        id=run.id,
        sentence=wording.capitalised(wording.sentence(run.configuration)),
        state=state_words(run.state),
        state_kind=STATE_KINDS[run.state],
        reason=run.reason,
        figures=contexts.rows(*wording.run_figures(run)[:1], *_short_figures(run)),
        chart=loss_chart(run.curve),
        points=tuple((f"{m.step:,}", m.split, m.name, f"{m.value:.5g}") for m in run.curve),
        groups=(
            contexts.group("Results and costs", wording.run_figures(run)),
            task_group(run.task),
            configuration_group(run.configuration),
            contexts.group("Origin", _origin(run)),
        ),
        json_link=urls.run_json(run.id),
    )


def loss_chart(curve: tuple[Measurement, ...]) -> charts.CurveChart | None:
    """Draw the losses of a curve, None where there are none yet."""
    unit = "pair" if any(m.name == "margin" for m in curve) else "completion token"
    losses = [m.model_copy(update={"name": "loss"}) for m in curve if m.name.endswith("loss")]
    return charts.curve_chart(losses, name="loss", title=_CURVE_TITLE.format(unit))


def state_words(state: str) -> str:
    """Say a state."""
    return state.replace("_", " ")


def task_group(task: Task) -> contexts.Group:
    """Return what was trained, on what, where."""
    model, dataset, device = task.model, task.dataset, task.device
    return contexts.group(
        "Task",
        [
            ("Model", model.id),
            ("Weights", wording.quantity(model.parameters)),
            ("Dataset", dataset.name),
            ("Kind", dataset.kind),
            ("Examples", f"{dataset.examples:,}"),
            ("Prompt, median", f"{dataset.prompt_bytes.p50:,} bytes"),
            ("Completion, median", f"{dataset.completion_bytes.p50:,} bytes"),
            ("Device", f"{device.count} {wording.TIMES} {device.name}"),
        ],
    )


def _families() -> Iterator[contexts.Group]:
    """Yield the methods by family, in the order of their table."""
    for family, names in groupby(METHODS, key=FAMILY_OF.__getitem__):
        titles = [(name, wording.capitalised(wording.method(name))) for name in names]
        yield contexts.group(wording.family(family), titles)


def _line(run: Run) -> run_contexts.RunLine:
    configuration = run.configuration
    return run_contexts.RunLine(
        link=urls.run(run.id),
        dataset=run.task.dataset.name,
        model=run.task.model.id,
        method=wording.capitalised(wording.method(configuration.method.name)),
        values=wording.method_values(configuration),
        rate=wording.rate(configuration.optimizer.learning_rate),
        state=state_words(run.state),
        state_kind=STATE_KINDS[run.state],
        score=wording.decimal(run.score, 3),
        time=wording.DASH if run.costs is None else wording.duration(run.costs.train_seconds),
        created=wording.date(run.created_at),
        created_iso=run.created_at.isoformat(),
    )


def _short_figures(run: Run) -> list[tuple[str, str]]:
    shown = ("Exact match", "Training time", "Peak tensor memory", "Trained weights")
    return [(name, value) for name, value in wording.run_figures(run) if name in shown]


def _origin(run: Run) -> list[tuple[str, str]]:
    return [
        ("Source", run.origin.source),
        ("Detail", run.origin.detail),
        ("Finished", wording.date(run.created_at)),
        *((name, version) for name, version in sorted(run.versions.items())),
    ]
