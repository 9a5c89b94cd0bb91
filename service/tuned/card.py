"""The model card of what a job made: what it is, how it came to be, and how well it did."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metadata.records import Run
from service import wording
from service.jobs.records import Job
from service.jobs.schemas import tuned_name

LIBRARIES = {True: "peft", False: "transformers"}
_CURVE_POINTS = 12  # lines of the curve that are shown


@dataclass(frozen=True, kw_only=True)
class Made:
    """A job that succeeded, its run, and whether it left an adapter or whole weights."""

    job: Job
    run: Run
    is_adapter: bool


def card_of(made: Made) -> str:
    """Return the card in Markdown, with the front matter that model hubs read."""
    job, run = made.job, made.run
    front = {
        "base_model": job.order.model.id,
        "library_name": LIBRARIES[made.is_adapter],
        "pipeline_tag": "text-generation",
        "tags": ["peftwise", run.configuration.method.name],
    }
    parts = [
        "---\n"
        + "".join(f"{name}: {json.dumps(value)}\n" for name, value in front.items())
        + "---",
        f"# {tuned_name(job)}",
        _about(made),
        "## How it did\n\n" + _table(_results(made)),
        "## Learning curve\n\n" + _curve(run),
        "## Data\n\n" + _table(_data(run)),
        "## Configuration\n\n```json\n" + run.configuration.model_dump_json(indent=2) + "\n```",
        "## Versions\n\n" + _table(dict(sorted(run.versions.items()))),
        "## Licence\n\nThe licence of the base model "
        f"`{job.order.model.id}` goes on to hold for what was made of it, and the terms of the "
        "data for what it has learnt from it. Peftwise knows neither: say both here before you "
        "share it.",
    ]
    return "\n\n".join(parts) + "\n"


def _about(made: Made) -> str:
    order = made.job.order
    what = "An adapter" if made.is_adapter else "Whole weights"
    sentence = wording.sentence(made.run.configuration)
    return (
        f"{what} for [{order.model.id}], trained by {sentence} on `{order.dataset.name}`, "
        f"job `{made.job.id}`, chosen by the {order.chosen_by}."
    )


def _results(made: Made) -> Mapping[str, str]:
    run, forecast = made.run, made.job.order.forecast_seconds
    scores, costs = run.scores, run.costs
    assert scores is not None
    assert costs is not None
    seconds = wording.duration(costs.train_seconds)
    told = "none" if forecast is None else wording.duration(forecast)
    unit = "completion token" if scores.preference is None else "pair (DPO)"
    return {
        f"Loss of the frozen base, nats per {unit}, held out": f"{scores.base_loss:.4f}",
        "Loss of this model": f"{scores.base_loss - scores.gain(run.configuration.keep):.4f}",
        "Exact match": "not measured"
        if scores.exact_match is None
        else f"{scores.exact_match:.3f}",
        "Training time, forecast": told,
        "Training time, measured": f"{seconds} on {run.task.device.name}",
        "Peak of live tensors": wording.size(costs.peak_tensor_bytes),
        "Trained weights": f"{costs.trainable_parameters:,}",
        "Trained tokens": f"{costs.trained_tokens:,}",
    }


def _data(run: Run) -> Mapping[str, str]:
    data = run.task.dataset
    return {
        "Examples": f"{data.examples:,}",
        "SHA-256": f"`{data.sha256}`",
        "Kind": data.kind,
        "Split": "80 % to learn from, 10 % to choose by, 10 % to score on, in file order",
    }


def _curve(run: Run) -> str:
    points = [p for p in run.curve if p.split == "validation" and p.name == "loss"]
    step = max(1, -(-len(points) // _CURVE_POINTS))
    shown = [*points[:-1:step], *points[-1:]]
    return _table({f"{p.step:,}": f"{p.value:.4f}" for p in shown}, ("step", "validation loss"))


def _table(rows: Mapping[str, str], head: Sequence[str] = ("", "")) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows.items())])
