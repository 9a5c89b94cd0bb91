"""From a question to ranked configurations, on one screen.

Axes: C candidates.
"""

from dataclasses import dataclass

import numpy as np

from metadata.arrays import Booleans
from metadata.kinds import Kind
from metadata.knowledge import Forecast, Knowledge
from service.recommender.aim import aim_at
from service.recommender.candidates import propose
from service.recommender.fitting import Planned, kind_of, make_fit, stay_within
from service.recommender.question import Question
from service.recommender.ranking import is_pareto, rank
from service.recommender.schemas import Exclusion


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """A question, every candidate for it and its forecast, and the order of the best."""

    question: Question
    candidates: list[Planned]  # C; row 0 is the default configuration
    forecast: Forecast  # arrays over C
    allowed_C: Booleans  # bool: of a method asked for; can be served and trained as asked
    fits_C: Booleans  # bool: within memory, time and money, whether allowed or not
    pareto_C: (
        Booleans  # bool: nothing that may be chosen is better in regret, seconds and bytes at once
    )
    order: list[int]  # rows of C, best first, at most `question.count`
    kind: Kind  # what regret is among
    excluded: list[Exclusion]


def recommend(question: Question, known: Knowledge, *, rng: np.random.Generator) -> Recommendation:
    """Rank configurations for one question, best first.

    Raises:
        InvalidConfiguration: No method that is asked for can be served as asked, or exists on
            the model.
        NothingFits: No candidate is within the memory and the budget; says what would be.
    """
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
    chosen_C = allowed_C & fits_C
    return Recommendation(
        question=question,
        candidates=candidates,
        forecast=forecast,
        allowed_C=allowed_C,
        fits_C=fits_C,
        pareto_C=is_pareto(forecast, chosen_C),
        order=rank(question, candidates, forecast, chosen_C, known, kind=kind),
        kind=kind,
        excluded=[*proposal.excluded, *excluded],
    )
