"""What the routes of runs are asked by, the same on each."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import Query

Text = Annotated[str | None, Query(max_length=200)]
Filter = Annotated[
    str,
    Query(
        alias="filter",
        max_length=4_000,
        description="which runs: and, or, not, in, between, like, is null, over every field; "
        "archived ones only where it names `archived`",
        examples=["method = 'lora' and (score > 0.5 or train_seconds < 60)"],
    ),
]
Sort = Annotated[str, Query(max_length=200, examples=["-score"])]
Names = Annotated[str | None, Query(max_length=8_000, description="fields, by commas")]


def equal_to(values: Mapping[str, str | None]) -> str:
    """Return a filter for what was said in short."""
    given = {name: value for name, value in values.items() if value is not None}
    return " and ".join(
        f"{name} = '{value.replace(chr(39), 2 * chr(39))}'" for name, value in given.items()
    )


def names_of(text: str | None) -> list[str] | None:
    """Return names that commas part, None where there are none."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    return names or None
