"""One request, one answer: what the route, the command line and the page all call."""

from datetime import datetime

from metadata.features.device import find_device
from metadata.knowledge import Knowledge
from service.catalogue.devices import FindDevice
from service.recommender.explain import explain
from service.recommender.question import (
    FindModel,
    FindProfile,
    Question,
    build_question,
    find_public_model,
    no_files,
)
from service.recommender.recommend import recommend
from service.recommender.schemas import (
    RecommendationAnswer,
    RecommendationRequest,
)


def answer(
    request: RecommendationRequest,
    known: Knowledge,
    *,
    now: datetime,
    find_profile: FindProfile = no_files,
    known_model: FindModel = find_public_model,
    known_device: FindDevice = find_device,
) -> RecommendationAnswer:
    """Answer how to fine-tune a model on data with a device and a budget.

    The same request and the same knowledge give the same answer, its id too, bit for bit;
    only `created_at` is the time that was passed in.

    Args:
        request: As it came over the wire, or as the command line built it.
        known: The knowledge to answer from, as `KnowledgeStore.current` gives it.
        now: When the answer is made, with a time zone.
        find_profile: Profile of an uploaded file by its id; without it `dataset.file_id` is
            refused.
        known_model: Profile of a model by its id; `Models.find` knows the server's own folders
            too.
        known_device: Device by its name; `Devices.find` knows what was measured here too.

    Raises:
        InvalidRequest: Something asked for cannot be answered; `param` names the field. Its kinds:
            UnknownModel, UnknownDevice, InvalidDataset, NothingFits.
        NotFound: There is no file by that id.
    """
    question = build_question(
        request, find_profile=find_profile, known_model=known_model, known_device=known_device
    )
    return answer_question(question, known, now=now)


def answer_question(question: Question, known: Knowledge, *, now: datetime) -> RecommendationAnswer:
    """Answer a question whose model, data and device are known already.

    Raises:
        NothingFits: No configuration is within memory and budget; says what would be.
    """
    recommendation = recommend(question, known, rng=question.rng(known.version))
    return explain(recommendation, known, now=now)
