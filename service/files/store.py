"""Uploaded files: bytes in the data folder under ids of ours, the rest in the database."""

import secrets
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine, delete, literal, select, tuple_
from sqlalchemy.orm import Session

from metadata.database import UtcDateTime, read_session, write_session
from metadata.errors import InvalidRequest, NotFound, UnknownFate
from metadata.examples import LINE_BYTES, read_examples
from metadata.features.dataset import profile_dataset
from metadata.records import DatasetProfile
from service.files.uploads import Upload, incoming_file, sync_folder
from service.tables import FileRow

PURPOSES = ("fine-tune",)  # of uploads
RESULTS = "fine-tune-results"
LABEL_CHARACTERS = 120
LARGEST_PAGE = 10_000


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """An uploaded file that was read whole and found good, or one of results of ours."""

    id: str
    label: str
    purpose: str
    size_bytes: int
    profile: DatasetProfile | None  # None of results
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class FilePage:
    """Some files, newest first."""

    files: tuple[StoredFile, ...]
    has_more: bool


class FileStore:
    """The files of one data folder."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        """Keep files in `folder` and their descriptions in the database."""
        self._engine = engine
        self.folder = folder

    def remove_unfinished(self) -> None:
        """Remove what an upload left behind that the server did not live to end."""
        for path in self.folder.glob(".incoming-*"):
            path.unlink(missing_ok=True)

    def add(self, upload: Upload, *, now: datetime) -> StoredFile:
        """Check an upload line by line and keep it.

        The check reads in constant memory, so that a bad file costs nothing; a good one is read
        once more for its profile.

        Raises:
            InvalidDataset: A line is bad, or there is none; the message names the first.
            InvalidRequest: The purpose is another than `fine-tune`.
        """
        purpose = _check_purpose(upload.fields)
        for _ in read_examples(_lines(upload.path)):
            pass
        label = _label(upload.label)
        profile = profile_dataset(list(read_examples(_lines(upload.path))), name=label)
        row = FileRow(
            id=f"file-{secrets.token_hex(12)}",
            label=label,
            purpose=purpose,
            size_bytes=upload.size_bytes,
            profile=profile.model_dump(mode="json"),
            created_at=now,
        )
        with self._bytes_kept(upload.path, row.id), write_session(self._engine) as session:
            session.add(row)
            return _file_of(row)

    @contextmanager
    def _bytes_kept(self, path: Path, file_id: str) -> Iterator[None]:
        """Keep bytes under their id, unless it is sure that nothing will name them."""
        kept = path.rename(self.folder / file_id)
        sync_folder(self.folder)
        try:
            yield
        except UnknownFate:
            raise
        except BaseException:
            kept.unlink(missing_ok=True)
            raise

    def get(self, file_id: str, *, param: str = "file_id") -> StoredFile:
        """Return what is known of a file.

        Raises:
            NotFound: There is no such file.
        """
        with read_session(self._engine) as session:
            return _file_of(_find(session, file_id, param=param))

    def profile(self, file_id: str, *, param: str = "dataset.file_id") -> DatasetProfile:
        """Return the profile of a training file.

        Raises:
            NotFound: There is no such file.
            InvalidRequest: It is a file of results.
        """
        file = self.get(file_id, param=param)
        if file.profile is None:
            raise InvalidRequest(
                f"{param} must be a file of examples, got {file_id}, whose purpose is "
                f"{file.purpose}. Upload one with POST /v1/files.",
                param=param,
            )
        return file.profile

    def keep_results(
        self, session: Session, file_id: str, content: bytes, *, label: str, now: datetime
    ) -> None:
        """Keep a file of results under an id of the caller's, in the caller's transaction."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with incoming_file(self.folder) as path:
            path.write_bytes(content)
            path.replace(self.folder / file_id)
        sync_folder(self.folder)
        session.merge(
            FileRow(
                id=file_id,
                label=label,
                purpose=RESULTS,
                size_bytes=len(content),
                profile=None,
                created_at=now,
            )
        )

    def path(self, file_id: str) -> Path:
        """Return where the bytes of a known file lie.

        Raises:
            NotFound: There is no such file, or its bytes were removed behind our back.
        """
        path = self.folder / self.get(file_id).id
        if not path.is_file():
            raise NotFound(
                f"The bytes of file {file_id[:80]!r} are gone from the data folder. Upload it anew."
            )
        return path

    def page(
        self,
        *,
        limit: int = 100,
        after: str | None = None,
        purpose: str | None = None,
        is_ascending: bool = False,
    ) -> FilePage:
        """Return files, newest first unless asked otherwise, from the one after `after`.

        Raises:
            InvalidRequest: `limit` is not 1 to 10,000.
            NotFound: There is no file `after`.
        """
        if not 1 <= limit <= LARGEST_PAGE:
            raise InvalidRequest(
                f"limit is 1 to {LARGEST_PAGE}, got {limit}. Follow last_id for more.",
                param="limit",
            )
        place = tuple_(FileRow.created_at, FileRow.id)
        order = [FileRow.created_at, FileRow.id]
        query = select(FileRow).order_by(*(c if is_ascending else c.desc() for c in order))
        if purpose is not None:
            query = query.where(FileRow.purpose == purpose)
        with read_session(self._engine) as session:
            if after is not None:
                last = _find(session, after, param="after")
                there = tuple_(literal(last.created_at, UtcDateTime), literal(last.id))
                query = query.where(place > there if is_ascending else place < there)
            rows = session.scalars(query.limit(limit + 1)).all()
            files = tuple(_file_of(row) for row in rows[:limit])
            return FilePage(files=files, has_more=len(rows) > limit)

    def remove(self, file_id: str) -> None:
        """Delete a file, its description first: bytes without one are only lost space.

        Raises:
            NotFound: There is no such file.
        """
        with write_session(self._engine) as session:
            row = _find(session, file_id, param="file_id")
            session.execute(delete(FileRow).where(FileRow.id == row.id))
        (self.folder / file_id).unlink(missing_ok=True)


def _lines(path: Path) -> Iterator[bytes]:
    """Yield lines, none longer than what `read_examples` takes, so that memory stays bounded."""
    with path.open("rb") as file:
        while line := file.readline(LINE_BYTES + 2):
            yield line


def _check_purpose(fields: dict[str, str]) -> str:
    unknown = sorted(set(fields) - {"purpose"})
    if unknown:
        raise InvalidRequest(
            f"`{unknown[0][:80]}` is not a field of an upload. Send `file` and `purpose`.",
            param=unknown[0][:80],
        )
    purpose = fields.get("purpose")
    if purpose not in PURPOSES:
        seen = "none" if purpose is None else repr(purpose[:80])
        raise InvalidRequest(
            f"purpose must be {' or '.join(PURPOSES)}, got {seen}. Send -F purpose=fine-tune.",
            param="purpose",
        )
    return purpose


def _label(given: str) -> str:
    """Return a name for people to read: no folders, no control characters, not too long."""
    name = given.replace("\\", "/").rsplit("/", 1)[-1]
    shown = "".join(c for c in name if unicodedata.category(c)[0] != "C").strip(" .")
    return shown[:LABEL_CHARACTERS] or "unnamed"


def _find(session: Session, file_id: str, *, param: str) -> FileRow:
    row = session.get(FileRow, file_id)
    if row is None:
        raise NotFound(
            f"No file has the id {file_id[:80]!r}. Upload it with POST /v1/files, or list what is "
            "there with GET /v1/files.",
            param=param,
        )
    return row


def _file_of(row: FileRow) -> StoredFile:
    return StoredFile(
        id=row.id,
        label=row.label,
        purpose=row.purpose,
        size_bytes=row.size_bytes,
        profile=None if row.profile is None else DatasetProfile.model_validate(row.profile),
        created_at=row.created_at,
    )
