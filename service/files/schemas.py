"""Files as JSON, in OpenAI's shape."""

from typing import Literal

from metadata.records import DatasetProfile, Record
from service.files.store import StoredFile


class FileAnswer(Record):
    """An uploaded file. `peft.profile` describes it as a training set."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"
    status_details: None = None
    expires_at: None = None
    peft: "FileDetails"


class FileDetails(Record):
    """What OpenAI's shape has no place for; a file of results has no profile."""

    profile: DatasetProfile | None


class FileList(Record):
    """Files, newest first."""

    object: Literal["list"] = "list"
    data: list[FileAnswer]
    has_more: bool
    first_id: str | None
    last_id: str | None


class FileDeleted(Record):
    """A file that is no more."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


def file_answer(file: StoredFile) -> FileAnswer:
    """Return a file as JSON tells it."""
    return FileAnswer(
        id=file.id,
        bytes=file.size_bytes,
        created_at=int(file.created_at.timestamp()),
        filename=file.label,
        purpose=file.purpose,
        peft=FileDetails(profile=file.profile),
    )
