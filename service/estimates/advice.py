"""What takes the room and what is short, in sentences whose figures were all computed."""

from collections.abc import Iterator, Mapping, Sequence

from metadata.records import ModelProfile
from metadata.simulated import Peak, Phase
from service import wording
from service.estimates.choosing import Chosen
from service.estimates.knobs import name_of, plainly
from service.estimates.schemas import Knob
from service.recommender.question import Question

TOLD_CORRECTION = 0.05  # past runs move the formula's peak by less: no word of it
_IN = {
    "forward": "at the end of the forward pass",
    "backward": "in the backward pass",
    "optimizer": "in the optimizer's step",
}


def advise(
    question: Question,
    chosen: Chosen,
    phases: Mapping[Phase, Peak],
    knobs: Sequence[Knob],
) -> list[str]:
    """Return what is short, what takes the room, and which knob frees how much."""
    return [
        *(plainly(one) for one in overruns(question, chosen)),
        plainly(_room(phases)),
        *(knob.sentence for knob in knobs),
    ]


def overruns(question: Question, chosen: Chosen) -> Iterator[str]:
    """Yield a sentence for each limit that the upper end of a forecast is over."""
    needed, has = chosen.upper_bytes, question.memory_bytes
    if needed > has:
        yield (
            f"It does not fit: memory may reach {wording.size(needed)}, and a device offers "
            f"{wording.size(has)}."
        )
    seconds, minutes = float(chosen.forecast.seconds_high[0]), question.budget.train_minutes
    if minutes is not None and seconds > 60 * minutes:
        yield (
            f"It takes too long: training may take {wording.duration(seconds)}, and the budget "
            f"is {wording.duration(60 * minutes)}."
        )
    price, usd = question.usd_per_second, question.budget.usd
    if usd is not None and price is not None and seconds * price > usd:
        yield (
            f"It costs too much: training may cost {wording.money(seconds * price)}, and the "
            f"budget is {wording.money(usd)}."
        )


def notes_on(
    chosen: Chosen, model: ModelProfile, *, asked_checkpointing: bool, fits: bool
) -> list[str]:
    """Return what is a guess, what was chosen otherwise than asked, and how the parts differ."""
    notes = [said for said in (wording.unknown_layout(model),) if said]
    if chosen.configuration.gradient_checkpointing != asked_checkpointing:
        switched = "off" if asked_checkpointing else "on"
        reason = "takes the least time of what fits" if fits else "needs the least memory"
        notes.append(
            f"Gradient checkpointing is estimated {switched}, which {reason}. "
            "Submit the configuration of this answer to run it so."
        )
    expected, formula = float(chosen.forecast.bytes[0]), chosen.plan.peak_bytes
    if abs(expected / formula - 1) >= TOLD_CORRECTION:
        notes.append(
            plainly(
                f"The parts add up to the formula's {wording.size(formula)}; past runs let expect "
                f"{wording.size(expected)}."
            )
        )
    return notes


def _room(phases: Mapping[Phase, Peak]) -> str:
    phase = max(phases, key=lambda name: phases[name].peak_bytes)
    peak = phases[phase]
    parts = sorted(peak.bytes_of.items(), key=lambda part: -part[1])
    named = [f"{name_of(kind)} {wording.size(held)}" for kind, held in parts if held]
    return (
        f"The peak of one step, {wording.size(peak.peak_bytes)}, comes {_IN[phase]}: "
        f"{', '.join(named)}."
    )
