"""From a question to ranked configurations, on one screen.

Axes: C candidates.
"""

from dataclasses import dataclass
from itertools import compress

import numpy as np

from metadata.arrays import Booleans
from metadata.kinds import Kind
from metadata.knowledge import Forecast, Knowledge
from service.recommender.aim import Aim, aim_at
from service.recommender.candidates import propose
from service.recommender.fitting import Planned, kind_of, make_fit, stay_within
from service.recommender.needs import nothing_fits
from service.recommender.question import Question
from service.recommender.ranking import beyond_margin, front, is_pareto, rank
from service.recommender.schemas import Exclusion


@dataclass(frozen=True, kw_only=True)
class Considered:
    """A question, every candidate for it and its forecast, and which of them may be chosen."""

    question: Question
    aim: Aim
    candidates: list[Planned]  # C; row 0 is the default configuration
    forecast: Forecast  # arrays over C
    allowed_C: Booleans  # bool: of a method asked for; can be served and trained as asked
    fits_C: Booleans  # bool: within memory, time and money, whether allowed or not
    kind: Kind  # what regret is among
    excluded: list[Exclusion]

    @property
    def can_be_chosen(self) -> Booleans:
        """Say which candidates are allowed and fit."""
        return self.allowed_C & self.fits_C


@dataclass(frozen=True, kw_only=True)
class Recommendation(Considered):
    """What was considered, and the order of the best."""

    pareto_C: Booleans  # bool: nothing that may be chosen is better in regret, seconds and bytes
    order: list[int]  # rows of C, best first, at most `question.count`
    front: list[int]  # rows of C that are Pareto-best, the fastest first, at most 20


def recommend(question: Question, known: Knowledge, *, rng: np.random.Generator) -> Recommendation:
    """Rank configurations for one question, best first.

    Raises:
        InvalidConfiguration: No method that is asked for can be served as asked, or exists on
            the model.
        NothingFits: No candidate is within the memory and the budget; says what would be.
    """
    seen = consider(question, known, rng=rng)
    if not seen.can_be_chosen.any():
        allowed = list(compress(seen.candidates, seen.allowed_C))
        raise nothing_fits(
            question, known, seen.aim, allowed, is_answered=lambda one: is_answered(one, known)
        )
    left = beyond_margin(question, seen.forecast, seen.can_be_chosen, known)
    pareto_C = is_pareto(seen.forecast, seen.can_be_chosen)
    return Recommendation(
        **{**vars(seen), "excluded": [*seen.excluded, *left]},
        pareto_C=pareto_C,
        order=rank(
            question, seen.candidates, seen.forecast, seen.can_be_chosen, known, kind=seen.kind
        ),
        front=front(seen.forecast, pareto_C),
    )


def is_answered(question: Question, known: Knowledge) -> bool:
    """Say whether anything fits."""
    return bool(consider(question, known, rng=question.rng(known.version)).can_be_chosen.any())


def consider(question: Question, known: Knowledge, *, rng: np.random.Generator) -> Considered:
    """Return the candidates for one question with their forecasts, and what left and why."""
    aim = aim_at(question, known)
    proposal = propose(question, known, aim, rng=rng)
    candidates = make_fit(proposal.candidates, question, aim)
    kind = kind_of(question, candidates, aim)
    forecast = known.forecast(
        question.task,
        [c.configuration for c in candidates],
        [c.plan for c in candidates],
        kind=kind,
    )
    allowed_C = np.array([question.allows(c.configuration) for c in candidates])
    fits_C, excluded = stay_within(question, forecast, allowed_C)
    return Considered(
        question=question,
        aim=aim,
        candidates=candidates,
        forecast=forecast,
        allowed_C=allowed_C,
        fits_C=fits_C,
        kind=kind,
        excluded=[*proposal.excluded, *excluded],
    )
