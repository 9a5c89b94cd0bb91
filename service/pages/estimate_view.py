"""From an estimate to what the page shows of it."""

import json

from markupsafe import Markup

from metadata.records import DatasetProfile
from metadata.simulated import KINDS
from service import wording
from service.estimates.knobs import name_of
from service.estimates.picture import memory_picture
from service.estimates.schemas import EstimateAnswer, EstimateRequest
from service.pages import contexts
from service.pages.answer_view import configuration_group
from service.recommender.schemas import Interval

_CHOSEN_BY = {
    "caller": "as you gave it",
    "recommendation": "of a recommendation",
    "recommender": "the recommender's first",
}


def view_estimate(
    answer: EstimateAnswer, request: EstimateRequest, dataset: DatasetProfile
) -> contexts.Estimate:
    """Return everything the page says about one estimate."""
    knobs = tuple(knob.sentence for knob in answer.knobs)
    *shortfalls, room = (line for line in answer.advice if line not in knobs)
    return contexts.Estimate(
        fits=answer.fits,
        verdict=shortfalls[0] if shortfalls else _verdict(answer),
        sentence=wording.capitalised(wording.sentence(answer.configuration)),
        question=_question(answer, request, dataset),
        figures=_figures(answer),
        # ElementTree wrote it, which escapes text
        picture=Markup(memory_picture(answer.phases, limit_bytes=answer.memory_bytes)),
        kinds=tuple(wording.capitalised(name_of(kind)) for kind in KINDS),
        phases=tuple(
            contexts.PhaseLine(
                name=wording.capitalised(phase),
                sizes=(
                    wording.size(peak.peak_bytes),
                    *(wording.size(peak.bytes_of[kind]) for kind in KINDS),
                ),
            )
            for phase, peak in answer.phases.items()
        ),
        shortfalls=tuple(shortfalls[1:]),
        room=room,
        knobs=knobs,
        notes=tuple(answer.notes),
        groups=(configuration_group(answer.configuration), _plan(answer)),
        json=json.dumps(answer.configuration.model_dump(mode="json"), indent=2),
        knowledge_version=answer.knowledge_version,
    )


def _verdict(answer: EstimateAnswer) -> str:
    memory = wording.size(answer.peak_memory_bytes.expected)
    room, time = wording.size(answer.memory_bytes), answer.train_seconds.expected
    return f"It fits: {memory} of {room}, in {wording.duration(time)}"


def _question(
    answer: EstimateAnswer, request: EstimateRequest, dataset: DatasetProfile
) -> tuple[contexts.Row, ...]:
    hardware = request.hardware
    many = "" if hardware.count == 1 else f"{hardware.count} {wording.TIMES} "
    return contexts.rows(
        ("Model", request.base_model.id),
        ("Data", f"{dataset.name}, {dataset.examples:,} examples"),
        ("Device", f"{many}{hardware.device}"),
        ("Configuration", _CHOSEN_BY[answer.chosen_by]),
    )


def _figures(answer: EstimateAnswer) -> tuple[contexts.Row, ...]:
    return contexts.rows(
        ("Time (90 %)", _range(answer.train_seconds, wording.duration)),
        ("Peak memory (90 %)", _range(answer.peak_memory_bytes, wording.size)),
        ("Cost", "" if answer.cost_usd is None else wording.money(answer.cost_usd)),
        ("Micro-batch", f"{answer.micro_batch_size} {wording.TIMES} {answer.accumulation_steps}"),
        ("Checkpointing", "on" if answer.gradient_checkpointing else "off"),
    )


def _plan(answer: EstimateAnswer) -> contexts.Group:
    return contexts.group(
        "On your device",
        [
            ("Optimizer steps", f"{answer.steps:,}"),
            ("Tokens", wording.quantity(answer.tokens)),
            ("Longest batch", f"{answer.length_tokens:,} tokens"),
            ("Micro-batch", str(answer.micro_batch_size)),
            ("Micro-batches a step", str(answer.accumulation_steps)),
            ("Trained weights", f"{answer.trainable_parameters:,}"),
        ],
    )


def _range(interval: Interval, words: wording.Words) -> str:
    low, high = words(interval.low), words(interval.high)
    return low if low == high else f"{low} to {high}"
