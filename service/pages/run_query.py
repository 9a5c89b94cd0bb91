"""What the address of a page of runs says: the whole view, so that a link restores it."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import Depends, Query

from metadata.browsing import NEWEST, View
from metadata.errors import InvalidRequest
from metadata.run_rows import RUN_ID
from service.pages.run_columns import DEFAULT_COLUMNS
from service.runs.routes import equal_to

STATES = ("succeeded", "diverged", "out_of_memory", "timed_out", "failed")
MOST_COLUMNS = 30
MOST_CHOSEN = 20  # that a comparison takes
LONGEST_TRAIL = 40  # pages one can go back before only the first is offered
_Text = Annotated[str, Query(max_length=200)]
_Names = Annotated[list[str], Query(max_length=200)]
_Ids = Annotated[str, Query(max_length=4_000)]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which runs, in which order, with which columns, from where.

    Attributes:
        filter: In the language of `metadata.query`.
        sort: A field, the largest first with a leading `-`.
        after: The last run of the page before; "" on the first page.
        trail: Where the pages before began, so that one can go back.
        chosen: Ids to compare, on whatever page they stand.
    """

    filter: str = ""
    state: str = ""
    method: str = ""
    dataset: str = ""
    model: str = ""
    sort: str = NEWEST
    columns: tuple[str, ...] = DEFAULT_COLUMNS
    after: str = ""
    trail: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()

    @property
    def view(self) -> View:
        """Return it as the history is asked."""
        return View(filter=self.filter, also=self.also, sort=self.sort)

    @property
    def also(self) -> str:
        """Return the short filters as one, in the same language."""
        short = {
            "state": self.state,
            "method": self.method,
            "dataset_name": self.dataset,
            "model_id": self.model,
        }
        return equal_to({name: value or None for name, value in short.items()})

    @property
    def whole_filter(self) -> str:
        """Return both filters as one text."""
        if not self.also or not self.filter.strip():
            return self.also or self.filter.strip()
        return f"({self.filter.strip()}) and {self.also}"

    @property
    def is_filtered(self) -> bool:
        """Say whether anything is left out."""
        return bool(self.filter.strip() or self.also)

    def query(self, **changes: Any) -> dict[str, str]:
        """Return it as the query of an address, changed; what is usual is left out."""
        asked = replace(self, **changes)
        found = {
            name: getattr(asked, name)
            for name in ("filter", "state", "method", "dataset", "model", "after")
        }
        found["sort"] = "" if asked.sort == NEWEST else asked.sort
        found["columns"] = "" if asked.columns == DEFAULT_COLUMNS else ",".join(asked.columns)
        found["trail"] = ",".join(asked.trail)
        found["chosen"] = ",".join(asked.chosen)
        return {name: value for name, value in found.items() if value}

    def from_the_start(self, **changes: Any) -> dict[str, str]:
        """Return it as the query of its first page, changed."""
        return self.query(after="", trail=(), **changes)


def read_asked(
    where: Annotated[str, Query(alias="filter", max_length=4_000)] = "",
    state: _Text = "",
    method: _Text = "",
    dataset: _Text = "",
    model: _Text = "",
    sort: _Text = "",
    columns: _Names = [],  # noqa: B006 - FastAPI copies it
    other: _Ids = "",
    after: _Text = "",
    trail: _Ids = "",
    chosen: _Ids = "",
) -> Asked:
    """Read the address; what was typed is checked where it is used, so that it can be shown."""
    named = [name for text in columns for name in split(text)]
    if len(columns) > 1:  # boxes, whose order says nothing
        named.sort(key=_usual_place)
    named += split(other)
    return Asked(
        filter=where,
        state=state,
        method=method,
        dataset=dataset,
        model=model,
        sort=sort or NEWEST,
        columns=tuple(dict.fromkeys(named))[:MOST_COLUMNS] or DEFAULT_COLUMNS,
        after=after,
        trail=tuple(ids(trail))[-LONGEST_TRAIL:],
        chosen=tuple(ids(chosen))[:MOST_CHOSEN],
    )


def _usual_place(name: str) -> int:
    return DEFAULT_COLUMNS.index(name) if name in DEFAULT_COLUMNS else len(DEFAULT_COLUMNS)


def check_state(state: str) -> None:
    """Refuse a state that no run has.

    Raises:
        InvalidRequest: It is none of `STATES`.
    """
    if state and state not in STATES:
        raise InvalidRequest(
            f"state is one of {', '.join(STATES)}, got {state[:40]!r}. Choose one.", param="state"
        )


def split(text: str) -> list[str]:
    """Return what commas part, without empty pieces."""
    return [piece.strip() for piece in text.split(",") if piece.strip()]


def ids(text: str) -> list[str]:
    """Return the ids of runs that commas part, each once; what can be none is left out."""
    return [one for one in dict.fromkeys(split(text)) if RUN_ID.fullmatch(one)]


AskedDep = Annotated[Asked, Depends(read_asked)]
