"""From a run to what its page shows."""

from collections.abc import Iterator

from metadata.records import Measurement, Run, Task
from metadata.showing.together import thinned
from service import wording
from service.pages import charts, contexts, run_contexts, urls
from service.pages.answer_view import configuration_group
from service.pages.run_columns import STATE_KINDS, state_words
from service.runs.routes import equal_to

_CURVE_TITLE = "Loss in nats per {}, over optimizer steps"


def view_run(run: Run, form: run_contexts.NoteForm) -> run_contexts.RunPage:
    """Return the page of one run."""
    curve = thinned(run.curve)
    return run_contexts.RunPage(
        title=f"{wording.capitalised(wording.method(run.configuration.method.name))} "
        f"on {run.task.dataset.name}",
        id=run.id,
        sentence=wording.capitalised(wording.sentence(run.configuration)),
        state=state_words(run.state),
        state_kind=STATE_KINDS[run.state],
        reason=run.reason,
        figures=contexts.rows(*wording.run_figures(run)[:1], *_short_figures(run)),
        chart=loss_chart(curve),
        points=tuple((f"{m.step:,}", m.split, m.name, f"{m.value:.5g}") for m in curve),
        left_out=_left_out(run, shown=len(curve)),
        groups=(
            contexts.group("Results and costs", wording.run_figures(run)),
            task_group(run.task),
            configuration_group(run.configuration),
            contexts.group("Origin", _origin(run)),
        ),
        related=tuple(_related(run)),
        json_link=urls.run_json(run.id),
        form=form,
    )


def _left_out(run: Run, *, shown: int) -> str:
    if shown == len(run.curve):
        return ""
    return f"{shown:,} of {len(run.curve):,} points, evenly chosen; the JSON has all."


def _related(run: Run) -> Iterator[contexts.Row]:
    """Yield links to the table, filtered to runs that this one is like."""
    task = {"dataset_name": run.task.dataset.name, "model_id": run.task.model.id}
    own = {"method": run.configuration.method.name}
    for words, wanted in (
        ("Runs of this dataset and model, the best first", task),
        ("Of these, the same method", task | own),
        ("All runs of this method", own),
    ):
        query = {"filter": equal_to(wanted), "sort": "-score"}
        yield contexts.Row(name=words, value="", link=urls.runs(query))


def loss_chart(curve: tuple[Measurement, ...]) -> charts.CurveChart | None:
    """Draw the losses of a curve, None where there are none yet."""
    unit = "pair" if any(m.name == "margin" for m in curve) else "completion token"
    losses = [m.model_copy(update={"name": "loss"}) for m in curve if m.name.endswith("loss")]
    return charts.curve_chart(losses, name="loss", title=_CURVE_TITLE.format(unit))


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


def _short_figures(run: Run) -> list[tuple[str, str]]:
    shown = ("Exact match", "Training time", "Peak tensor memory", "Trained weights")
    return [(name, value) for name, value in wording.run_figures(run) if name in shown]


def _origin(run: Run) -> list[tuple[str, str]]:
    return [
        ("Source", run.origin.source),
        ("Detail", run.origin.detail),
        ("Left open", wording.left_open(run)),
        ("Finished", wording.date(run.created_at)),
        *((name, version) for name, version in sorted(run.versions.items())),
    ]
