"""What people say of runs, as forms send it: notes, tags, the archive with its undo, deletion."""

from collections.abc import Sequence
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.datastructures import FormData

from metadata.browsing import Browser
from metadata.errors import InvalidRequest
from metadata.notes import Note, Notes
from service.pages import run_contexts, urls
from service.pages.run_query import MOST_CHOSEN, split

MOST_FIELDS = 200
DONE = {
    "saved": "Kept.",
    "archived": "Archived: it is out of sight and teaches nothing until it is taken back.",
    "restored": "Taken back from the archive.",
}
_CONTRARY = {"archived": "restore", "restored": "archive"}


async def read_form(request: Request) -> FormData:
    """Return the fields of a form without files."""
    async with request.form(max_files=0, max_fields=MOST_FIELDS) as form:
        return form


def text_of(form: FormData, name: str) -> str:
    """Return one field of a form, its line ends as they are stored."""
    value = form.get(name)
    return value.replace("\r\n", "\n").strip() if isinstance(value, str) else ""


def chosen_of(form: FormData) -> list[str]:
    """Return the runs that were ticked.

    Raises:
        InvalidRequest: None was, or more than a page may change.
    """
    ids = list(dict.fromkeys(one for one in form.getlist("run") if isinstance(one, str)))
    if not 1 <= len(ids) <= MOST_CHOSEN:
        raise InvalidRequest(
            f"Tick 1 to {MOST_CHOSEN} runs in the table, got {len(ids)}. Go back and tick some.",
            param="run",
        )
    return ids


def say(notes: Notes, run_id: str, form: FormData) -> Note:
    """Keep the note and the tags that were typed.

    Raises:
        NotFound: No run has that id.
        InvalidRequest: A note or a tag that cannot be kept.
    """
    return notes.change(run_id, text=text_of(form, "note"), tags=split(text_of(form, "tags")))


def note_form(
    run_id: str, note: Note, *, known_tags: Sequence[str], done: str = ""
) -> run_contexts.NoteForm:
    """Return the form with what is said now."""
    move = "restore" if note.archived else "archive"
    return run_contexts.NoteForm(
        action=urls.change_run(run_id, "note"),
        note=note.text,
        tags=", ".join(note.tags),
        known_tags=tuple(known_tags),
        is_archived=note.archived,
        archive_action=urls.change_run(run_id, move),
        delete_action=urls.change_run(run_id, "delete"),
        done=DONE.get(done, ""),
    )


def back_to_table(form: FormData, *, done: str, ids: Sequence[str]) -> str:
    """Return the view of the table that the form came from, with what can be undone."""
    kept = dict(parse_qsl(text_of(form, "view")))
    for name in ("chosen", "after", "trail", "done", "undo"):
        kept.pop(name, None)
    return urls.runs({**kept, "done": done, "undo": ",".join(ids)})


def undo_of(done: str, run_ids: Sequence[str], browser: Browser) -> run_contexts.Undo | None:
    """Return what the table says of a change that was just made, None where nothing was."""
    if done == "deleted":
        return run_contexts.Undo(message="The run was deleted for good.", ids=(), move="")
    known = tuple(run.id for run in browser.some(run_ids))
    if done not in _CONTRARY or not known:
        return None
    runs = "1 run was" if len(known) == 1 else f"{len(known)} runs were"
    ways = {"archived": "archived", "restored": "taken back from the archive"}
    return run_contexts.Undo(message=f"{runs} {ways[done]}.", ids=known, move=_CONTRARY[done])
