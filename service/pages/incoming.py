"""What a form brings: its fields, and the data that is stored before it is answered."""

from dataclasses import replace
from pathlib import Path

from fastapi import Request

from service.files.uploads import Upload, receive_upload
from service.pages.ask_form import PASTED_NAME, Form
from service.services import Services
from service.storage.disk import Space


async def receive(request: Request, path: Path, *, space: Space) -> Upload:
    """Read the form; an address-encoded one has no file."""
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/"):
        return await receive_upload(kind, request.stream(), path, is_optional=True, space=space)
    fields = await plain_fields(request, most=40)
    path.touch()
    return Upload(path=path, label="", size_bytes=0, fields=fields)


async def plain_fields(request: Request, *, most: int = 10) -> dict[str, str]:
    """Return the fields of a form that brings no file."""
    async with request.form(max_files=0, max_fields=most) as form:
        return {name: value for name, value in form.items() if isinstance(value, str)}


def keep_data(services: Services, form: Form, upload: Upload) -> Form:
    """Store the data that came with the form; the form then names it by its id."""
    if not upload.size_bytes and not upload.label and form.examples.strip():
        size = upload.path.write_text(form.examples)
        upload = replace(upload, label=PASTED_NAME, size_bytes=size)
    if not upload.label:
        return form
    kept = replace(upload, fields={"purpose": "fine-tune"})
    stored = services.files.add(kept, now=services.now())
    return replace(form, examples="", file_id=stored.id, file_name=stored.label)
