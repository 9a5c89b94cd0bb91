"""What is asked of a check and what it answers, as JSON."""

from typing import Annotated, Literal

from pydantic import Field

from metadata.data_check.problems import Problem, Summary
from metadata.records import Name, Record

MOST_PROBLEMS = 100_000  # of a file; they take some seconds, in which others wait
MOST_KEYS = 2**22  # different examples that are remembered, some 100 MB
LISTED_LINES = 500  # of each rule, so that one that every line breaks hides no other


class DatasetCheckRequest(Record):
    """Check an uploaded file. In a form the file itself stands in place of its id."""

    file_id: Name
    validation_file_id: Annotated[
        Name | None, Field(description="checked too, and for examples that are in both")
    ] = None
    model: Annotated[
        Name | None, Field(description="id of the base model whose context and tokens count")
    ] = None


class DatasetCheckForm(Record):
    """The fields of a form beside its file."""

    validation_file_id: Name | None = None
    model: Name | None = None


class DatasetCheckAnswer(Record):
    """All that is wrong with a file, in the order in which it was met.

    Of each rule the first 500 lines are listed; `summary.counts` counts all. After 100,000
    problems the rest of a file is not read, and `summary.is_complete` is false.
    """

    object: Literal["dataset_check"] = "dataset_check"
    problems: list[Problem]
    has_more: bool = Field(description="whether more lines break a rule than are listed")
    summary: Summary
