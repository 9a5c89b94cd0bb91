"""Ask which of several base models to fine-tune."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Body

from service.dependencies import (
    BrowserDep,
    DevicesDep,
    FilesDep,
    KnowledgeStoreDep,
    ModelsDep,
    NowDep,
)
from service.openapi import PROBLEMS, example
from service.outlooks.choose import choose_model
from service.outlooks.examples import MODELS, QUESTION
from service.outlooks.past import losses_of
from service.outlooks.schemas import ModelsAnswer, ModelsRequest

router = APIRouter(tags=["recommendations"], responses=PROBLEMS)


@router.post(
    "/v1/recommendations/models",
    summary="Choose among base models for some data",
    responses=example(MODELS),
)
def ask(
    request: Annotated[ModelsRequest, Body(openapi_examples={"small": QUESTION})],
    store: KnowledgeStoreDep,
    browser: BrowserDep,
    files: FilesDep,
    models: ModelsDep,
    devices: DevicesDep,
    now: NowDep,
) -> ModelsAnswer:
    """Return the models in the order to prefer them, each with a forecast and a configuration.

    From losses at a few training sizes, given or in the history, the rectified scaling law says
    what each would come to on all of the data (arXiv:2402.02314). In the history it finds past runs
    on the same data, and on parts of it where a campaign made them. Parts of your own file are not
    found: give their losses in `runs`.
    """
    return choose_model(
        request,
        store.current,
        now=now,
        past_losses=losses_of(browser),
        find_profile=files.profile,
        known_model=partial(models.find, param="base_models"),
        known_device=devices.find,
    )
