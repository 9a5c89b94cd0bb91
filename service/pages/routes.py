"""The pages: they call what the HTTP interface calls, and work without scripts."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fastapi import Request
from fastapi.responses import FileResponse, HTMLResponse
from starlette.concurrency import run_in_threadpool

from metadata.errors import NotFound, PeftwiseError
from metadata.features.device import THIS_MACHINE, known_devices
from service.dependencies import ServicesDep
from service.errors import status_of
from service.estimates.estimate import estimate
from service.files.uploads import Upload, incoming_file
from service.pages import ask_form, contexts, estimate_form, urls
from service.pages.answer_view import view_answer
from service.pages.data_pages import router as data_pages
from service.pages.estimate_view import view_estimate
from service.pages.incoming import keep_data, receive
from service.pages.jobs_pages import router as jobs_pages
from service.pages.knowledge_pages import router as knowledge_pages
from service.pages.page_route import page_router
from service.pages.rendering import respond
from service.pages.runs_pages import router as runs_pages
from service.pages.workers_pages import router as workers_pages
from service.recommender.answer import answer
from service.services import Services
from service.storage.disk import space_of

STATIC_FILES = {path.name: path for path in urls.STATIC_FOLDER.iterdir() if path.is_file()}
SAMPLE = "sample.jsonl"
ASK_TITLE = "How should I fine-tune?"
ESTIMATE_TITLE = "What would it need?"
OBJECTIVES = (
    contexts.Row(name="quality", value="Best quality"),
    contexts.Row(name="balanced", value="Balanced"),
    contexts.Row(name="cheapest", value="Cheapest"),
)
LOADERS = (
    contexts.Row(name="", value="Any"),
    contexts.Row(name="peft", value="PEFT"),
    contexts.Row(name="merged", value="Merged weights"),
    contexts.Row(name="vllm", value="vLLM as an adapter"),
)
router = page_router()


@router.get("/")
def show_form(services: ServicesDep) -> HTMLResponse:
    """Show the empty form."""
    return respond(_ask_page(services, contexts.AskForm()))


@router.post("/")
async def ask(request: Request, services: ServicesDep) -> HTMLResponse:
    """Answer the form; where that is not possible, show it again as it was typed."""
    with incoming_file(services.files.folder) as path:
        space = await run_in_threadpool(space_of, services.settings)
        upload = await receive(request, path, space=space)
        return await run_in_threadpool(_answer_form, services, upload)


@router.get("/estimate")
def show_estimate_form(services: ServicesDep) -> HTMLResponse:
    """Show the empty form of an estimate."""
    return respond(_estimate_page(services, contexts.EstimateForm()))


@router.post("/estimate")
async def ask_estimate(request: Request, services: ServicesDep) -> HTMLResponse:
    """Answer the form; where that is not possible, show it again as it was typed."""
    with incoming_file(services.files.folder) as path:
        space = await run_in_threadpool(space_of, services.settings)
        upload = await receive(request, path, space=space)
        return await run_in_threadpool(_answer_estimate_form, services, upload)


for _pages in (runs_pages, jobs_pages, workers_pages, knowledge_pages, data_pages):
    router.include_router(_pages)


@router.get("/static/{name}")
def static(name: str) -> FileResponse:
    """Send a file of the static folder; any other name is none."""
    if name not in STATIC_FILES:
        raise NotFound(f"There is no static file {name[:80]!r}.")
    return FileResponse(STATIC_FILES[name], headers={"Cache-Control": "no-cache"})


def _answer_form(services: Services, upload: Upload) -> HTMLResponse:
    return _answer_either(services, upload, ask_form, page=_ask_page, answered=_answered)


def _answer_estimate_form(services: Services, upload: Upload) -> HTMLResponse:
    return _answer_either(services, upload, estimate_form, page=_estimate_page, answered=_estimated)


def _answer_either(
    services: Services,
    upload: Upload,
    typed: Any,
    *,
    page: Callable[..., Any],
    answered: Callable[..., Any],
) -> HTMLResponse:
    """Answer a form, whose module is `typed`, or show it again with the sample or what is wrong."""
    form = typed.read_form(upload.fields)
    if upload.fields.get("action") == "sample":
        sample = STATIC_FILES[SAMPLE].read_text()
        return respond(page(services, ask_form.with_sample(form, sample)))
    try:
        form = keep_data(services, form, upload)
        return respond(answered(services, form))
    except PeftwiseError as error:
        shown = page(services, form, problem=typed.problem_of(error))
        return respond(shown, status=status_of(error))


def _answered(services: Services, form: contexts.AskForm) -> contexts.AskPage:
    request = ask_form.request_of(form)
    found = answer(
        request,
        services.knowledge.current,
        now=services.now(),
        find_profile=services.files.profile,
        known_model=services.models.find,
        known_device=services.devices.find,
    )
    services.recommendations.keep(request, found)
    shown = view_answer(
        found,
        request,
        services.files.profile(form.file_id),
        can_train=_can_train(services, request.base_model.id),
    )
    return replace(_ask_page(services, form), title="Your answer", answer=shown)


def _estimated(services: Services, form: contexts.EstimateForm) -> contexts.EstimatePage:
    request = estimate_form.request_of(form)
    found = estimate(
        request,
        services.knowledge.current,
        recommendations=services.recommendations,
        now=services.now(),
        find_profile=services.files.profile,
        known_model=services.models.find,
        known_device=services.devices.find,
    )
    shown = view_estimate(found, request, services.files.profile(form.file_id))
    return replace(_estimate_page(services, form), title="Your estimate", answer=shown)


def _estimate_page(
    services: Services, form: contexts.EstimateForm, *, problem: contexts.Problem | None = None
) -> contexts.EstimatePage:
    return contexts.EstimatePage(
        title=ESTIMATE_TITLE, form=form, choices=_choices(services), problem=problem
    )


def _can_train(services: Services, model_id: str) -> bool:
    """Say whether a model is here: on the server's own list, or the one every worker brings."""
    return model_id == ask_form.TINY_MODEL or services.models.folder(model_id) is not None


def _ask_page(
    services: Services, form: contexts.AskForm, *, problem: contexts.Problem | None = None
) -> contexts.AskPage:
    return contexts.AskPage(
        title=ASK_TITLE,
        form=form,
        choices=_choices(services),
        runs=f"{services.history.count():,}",
        problem=problem,
    )


def _choices(services: Services) -> contexts.Choices:
    return contexts.Choices(
        models=tuple(model.profile.id for model in services.models),
        devices=(THIS_MACHINE, *(device.name for device in known_devices())),
        objectives=OBJECTIVES,
        loaders=LOADERS,
    )
