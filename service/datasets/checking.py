"""Check files on this machine's disk, and keep of the problems what fits an answer."""

import io
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from metadata.data_check.check import DataCheck
from metadata.data_check.copy import repaired_copy
from metadata.data_check.problems import Problem
from metadata.data_check.tokens import counter_for
from service.datasets.schemas import LISTED_LINES, MOST_KEYS, MOST_PROBLEMS, DatasetCheckAnswer
from service.services import Services


@dataclass
class Listed:
    """The first problems of each rule; the others are only counted."""

    most: int
    problems: list[Problem] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    _counts: Counter[str] = field(default_factory=Counter)

    def add(self, problem: Problem) -> None:
        """Keep a problem, unless there are enough of its rule."""
        self._counts[problem.rule] += 1
        if self._counts[problem.rule] <= self.most:
            self.problems.append(problem)
        else:
            self.left_out[problem.rule] += 1


def check_paths(
    services: Services,
    path: Path,
    *,
    validation_file_id: str | None,
    model: str | None,
    copy_to: Path | None = None,
) -> DatasetCheckAnswer:
    """Return what is wrong with a file, beside a validation file that was uploaded.

    Where `copy_to` names a file that is not there yet, a copy with all safe repairs is left there.

    Raises:
        NotFound: There is no such validation file.
        InvalidRequest: It is a file of results, or the model is not known.
    """
    profile = None if model is None else services.models.find(model, param="model")
    folder = None if model is None else services.models.folder(model)
    listed = Listed(LISTED_LINES)
    check = DataCheck(
        report=listed.add,
        model=profile,
        counter=counter_for(profile, folder),
        most_keys=MOST_KEYS,
        most_problems=MOST_PROBLEMS,
    )
    with ExitStack() as stack:
        held_out = None
        if validation_file_id is not None:
            held_out = _open(stored(services, validation_file_id, "validation_file_id"), stack)
        copy = None if copy_to is None else stack.enter_context(repaired_copy(copy_to))
        summary = check.run(_open(path, stack), held_out, copy=copy)
    return DatasetCheckAnswer(
        problems=listed.problems, has_more=bool(listed.left_out), summary=summary
    )


def stored(services: Services, file_id: str, param: str) -> Path:
    """Return where an uploaded training file lies.

    Raises:
        NotFound: There is no such file.
        InvalidRequest: It is a file of results.
    """
    services.files.profile(file_id, param=param)
    return services.files.path(file_id)


def _open(path: Path, stack: ExitStack) -> io.BufferedReader:
    return stack.enter_context(path.open("rb"))
